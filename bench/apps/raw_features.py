"""The limit of table B: raw ASGI, one pipelined read of Feast's rows, the same vector and the same model."""

import os
from datetime import datetime
from typing import Any

import msgspec
from onnx_model import Model
from trips import ENTITY_OF_ROLE, Trips, answer

from adapters.online_store import RedisOnlineStore, RowLayout
from adapters.redis_pipe import RedisPipe
from contracts.features import LOOKUPS, VIEWS
from contracts.schema import Floats


class Place(msgspec.Struct):
    """A zone."""

    zone: str


class Trip(msgspec.Struct):
    """One trip."""

    pickup: Place
    dropoff: Place
    at: datetime


class Request(msgspec.Struct):
    """Trips to estimate."""

    trips: list[Trip]


model = Model()
decode = msgspec.json.Decoder(Request).decode
encode = msgspec.json.Encoder().encode
store = RedisOnlineStore(RedisPipe(os.environ["BENCH_REDIS"]), VIEWS)
OFFSETS = RowLayout(VIEWS).offsets
FEATURES = {view.name: view.features for view in VIEWS}


async def looked_up(trips: Trips) -> dict[str, Floats]:
    """Read every distinct key of the request once, and lay its row out for each role."""
    places: dict[tuple[str, str], int] = {}
    positions = {
        role: [places.setdefault((entity, key), len(places)) for key in trips.keys[role]]
        for role, entity in ENTITY_OF_ROLE.items()
    }
    rows = await store.read(list(places))
    of_role = {role: rows[at].T for role, at in positions.items()}
    return {
        f"{lookup.role}.{name}": of_role[lookup.role][OFFSETS[lookup.view] + 1 + i]
        for lookup in LOOKUPS
        for i, name in enumerate(FEATURES[lookup.view])
    }


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer any POST as `POST /v1/eta`."""
    if scope["type"] != "http":
        return
    message = await receive()
    body = message["body"]
    while message.get("more_body"):
        message = await receive()
        body += message["body"]
    asked = decode(body).trips
    trips = Trips([t.pickup.zone for t in asked], [t.dropoff.zone for t in asked], [t.at for t in asked])
    content = encode(answer(model.run(trips.vectors(await looked_up(trips)))))
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})
