"""The limit of table A: nothing between the socket and the model but uvicorn and a decoder."""

from bench.rows.protocol import APPS, Row
from bench.rows.uvicorn import uvicorn
from bench.wire import OpenInference

ROW = Row(
    name="Limit: raw ASGI",
    table="A",
    wire=OpenInference(),
    command=uvicorn("raw_asgi", APPS),
    packages=("uvicorn", "msgspec"),
    settings="an ASGI function on uvicorn (uvloop, httptools), msgspec, session in the process; checks types only",
    source="uvicorn, Settings: Implementation",
)
