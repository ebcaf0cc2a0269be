"""The city's zones without Parquet in this process: a short-lived one reads the file and says what is in it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np

from adapters.artifact_store import ZONES_FILE, ArtifactStore
from contracts.errors import DataRefused, NotFound
from contracts.zones import Zones
from pipelines.layout import MODEL, Layout


class ZoneRows(msgspec.Struct, frozen=True):
    """The zones' columns; polygons are WKT, null where only a point is known."""

    ids: list[str]
    names: list[str]
    boroughs: list[str]
    lat: list[float]
    lon: list[float]
    polygons: list[str | None]

    def zones(self) -> Zones:
        """As arrays."""
        return Zones(tuple(self.ids), tuple(self.names), tuple(self.boroughs), np.array(self.lat), np.array(self.lon))


def served_zones(home: Path) -> Path:
    """The file of the zones that a home serves: its data's, else those of its newest version. Raises NotFound."""
    if Layout(home).zones.is_file():
        return Layout(home).zones
    store = ArtifactStore(Layout(home).artifacts)
    versions = store.versions(MODEL)
    if not versions:
        raise NotFound("zones file", str(Layout(home).zones), "`tandem data` brings it in")
    return store.path(MODEL, versions[-1]) / ZONES_FILE


def read_zone_rows(path: Path) -> ZoneRows:
    """Read a zones file; raises DataRefused with the reason. Parquet would stay in memory for 26 MB."""
    command = [sys.executable, "-m", "pipelines.zone_points", str(path)]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        raise DataRefused(str(path), done.stderr.decode(errors="replace").strip().rpartition("\n")[2])
    return msgspec.msgpack.decode(done.stdout, type=ZoneRows)


def main(argv: list[str]) -> int:
    """Write the zones of a file as MessagePack, which knows NaN."""
    from adapters.tables import read_polygons, read_zones  # noqa: PLC0415 - the caller has no use for Parquet

    path = Path(argv[0])
    zones, polygons = read_zones(path), read_polygons(path)
    rows = ZoneRows(
        list(zones.ids), list(zones.names), list(zones.boroughs), zones.lat.tolist(), zones.lon.tolist(), polygons
    )
    sys.stdout.buffer.write(msgspec.msgpack.encode(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
