"""BentoML."""

from __future__ import annotations

from collections.abc import Mapping

from bench.rows.protocol import APPS, Row, Site
from bench.wire import NamedRows


def command(site: Site) -> list[str]:
    """`bentoml serve` is the production server; development mode is its option."""
    where = ["--working-dir", str(APPS), "--host", site.host, "--port", str(site.port)]
    return [str(site.bin / "bentoml"), "serve", "bentoml_app:Eta", *where]


def variables(site: Site) -> Mapping[str, str]:
    """Keep its store out of the user's home and send no usage report."""
    return {"BENTOML_HOME": str(site.scratch / "bentoml"), "BENTOML_DO_NOT_TRACK": "True"}


ROW = Row(
    name="BentoML",
    table="A",
    wire=NamedRows("/predict", answer=()),
    command=command,
    packages=("bentoml",),
    settings="one worker, numpy in and out, metrics on (default), no access log",
    source="BentoML, Configurations: workers, logging; Create online API Services",
    peer="bentoml",
    variables=variables,
)
