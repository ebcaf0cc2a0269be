"""Where things lie below TANDEM_HOME."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

MODEL: Final = "eta"


@dataclass(frozen=True)
class Layout:
    """Paths and addresses below one home."""

    home: Path

    @property
    def trips(self) -> Path:
        """The canonical trip frame."""
        return self.home / "data" / "trips.parquet"

    @property
    def zones(self) -> Path:
        """The served city's zones."""
        return self.home / "data" / "zones.parquet"

    @property
    def features(self) -> Path:
        """Folder of the offline feature tables."""
        return self.home / "features"

    @property
    def artifacts(self) -> Path:
        """Root of the published versions."""
        return self.home / "artifacts"

    @property
    def predictions(self) -> Path:
        """Folder of the prediction log: segments as they are written, and below it their Parquet."""
        return self.home / "predictions"

    @property
    def outbox(self) -> Path:
        """Events of this home's producers that the broker has yet to take."""
        return self.home / "outbox.db"

    @property
    def counted_trips(self) -> Path:
        """Folder of the trips that the live windows counted."""
        return self.home / "live" / "trips"

    @property
    def mlflow_uri(self) -> str:
        """MLflow's tracking store and registry."""
        return f"sqlite:///{self.home.resolve() / 'mlflow.db'}"

    @property
    def mlflow_artifacts(self) -> str:
        """Root of the files that MLflow keeps, as a URI."""
        return (self.home.resolve() / "mlartifacts").as_uri()

    @property
    def retraining(self) -> Path:
        """What the retraining policy remembers from look to look; beside it stands the lock of whoever looks."""
        return self.home / "retraining.json"

    @property
    def registry_lock(self) -> Path:
        """File that whoever writes to the registry locks."""
        return self.home / "registry.lock"
