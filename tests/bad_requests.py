"""A thousand requests that break the contract, each with the field that its answer has to name."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

JSON = {"content-type": "application/json"}
MIB = 1 << 20


@dataclass(frozen=True)
class BadRequest:
    """What is sent, and what must come back."""

    kind: str
    body: bytes
    status: int
    field: str | None = None  # None: no field to name
    headers: tuple[tuple[str, str], ...] = tuple(JSON.items())
    method: str = "POST"
    path: str = "/v1/eta"


def bad_requests(count: int, now: float, seed: int = 1) -> list[BadRequest]:
    """Make `count` of them, all kinds in turn, over 1 to 20 trips of zones 1 to 3, for a server's present."""
    rng = random.Random(seed)
    moment = datetime.fromtimestamp(now, UTC).isoformat().encode()
    made = [KINDS[i % len(KINDS)](rng) for i in range(count)]
    return [replace(request, body=request.body.replace(b'"NOW"', b'"%b"' % moment)) for request in made]


def trip(rng: random.Random) -> dict[str, Any]:
    """A good trip."""
    places: list[dict[str, Any]] = [{"zone": str(rng.randint(1, 3))}, {"lat": 40.755, "lon": -73.985}]
    return {"pickup": rng.choice(places), "dropoff": {"zone": str(rng.randint(1, 3))}}


def _trips(rng: random.Random) -> tuple[list[dict[str, Any]], int]:
    rows = [trip(rng) for _ in range(rng.randint(1, 20))]
    return rows, rng.randrange(len(rows))


def _dump(trips: Any, **more: Any) -> bytes:
    return json.dumps({"trips": trips, **more}).encode()


def _set(path: str, value: Any, field: str | None = None) -> Callable[[random.Random], BadRequest]:
    """Give a kind that puts one value at a path of one trip; the named field is the path, or `field`."""

    def make(rng: random.Random) -> BadRequest:
        rows, at = _trips(rng)
        *parents, last = path.split(".")
        target = rows[at]
        for parent in parents:
            place = {} if isinstance(value, _Bare) else dict(target.get(parent, {}))
            target[parent] = place
            target = place
        target[last] = value.value if isinstance(value, _Bare) else value
        if isinstance(value, _Bare) and last in ("lat", "lon"):
            target["lon" if last == "lat" else "lat"] = -73.98 if last == "lat" else 40.75
        named = path if field is None else field
        return BadRequest(f"{path}={value!r}"[:40], _dump(rows), 422, f"trips[{at}]" + (f".{named}" if named else ""))

    return make


@dataclass(frozen=True)
class _Bare:
    """A coordinate in a place that has no zone."""

    value: Any


def _raw(token: str, status: int, *, named: bool) -> Callable[[random.Random], BadRequest]:
    """Give a kind with a token that json can't write, as a latitude."""

    def make(rng: random.Random) -> BadRequest:
        rows, at = _trips(rng)
        rows[at]["pickup"] = {"lat": "TOKEN", "lon": -73.98}
        body = _dump(rows).replace(b'"TOKEN"', token.encode())
        return BadRequest(f"lat={token[:20]}", body, status, f"trips[{at}].pickup.lat" if named else None)

    return make


def _whole(kind: str, make_body: Callable[[random.Random], bytes], status: int, field: str | None = None) -> Any:
    return lambda rng: BadRequest(kind, make_body(rng), status, field)


def _without(member: str) -> Callable[[random.Random], BadRequest]:
    def make(rng: random.Random) -> BadRequest:
        rows, at = _trips(rng)
        del rows[at][member]
        return BadRequest(f"no {member}", _dump(rows), 422, f"trips[{at}].{member}")

    return make


def _repeated_id(rng: random.Random) -> BadRequest:
    rows = [{**trip(rng), "id": f"t{i}"} for i in range(2 + rng.randrange(10))]
    rows[-1]["id"] = rows[0]["id"]
    return BadRequest("repeated id", _dump(rows), 422, f"trips[{len(rows) - 1}].id")


def _broken(rng: random.Random) -> BadRequest:
    body = _dump([trip(rng)])
    return BadRequest("broken JSON", body[: rng.randrange(1, len(body))], 400)


def _content_type(rng: random.Random) -> BadRequest:
    kind = rng.choice(["text/plain", "application/xml", "", "application/json; charset=utf-16", "json"])
    return BadRequest(f"content type {kind}", _dump([trip(rng)]), 415, None, (("content-type", kind),))


def _outcome(field: str, value: Any, named: str) -> Callable[[random.Random], BadRequest]:
    def make(_rng: random.Random) -> BadRequest:
        good = {"request_id": "r", "id": "a", "event": "completed", "actual_s": 10, "at": "NOW"}
        body = json.dumps({"outcomes": [{**good, field: value}]}).encode()
        return BadRequest(f"outcome {field}={value!r}"[:40], body, 422, named, path="/v1/outcomes")

    return make


KINDS: list[Callable[[random.Random], BadRequest]] = [
    _set("pickup.zone", 7),
    _set("pickup.zone", None),
    _set("dropoff.zone", "999"),
    _set("dropoff.zone", ""),
    _set("pickup.zone", "9" * 17),
    _set("pickup.zone", True),
    _set("pickup", "74"),
    _set("pickup", {}, "pickup"),
    _set("pickup", {"zone": "1", "lat": 40.7, "lon": -73.9}, "pickup"),
    _set("dropoff", {"lat": 40.7}, "dropoff"),
    _set("pickup", {"lat": 51.5, "lon": -0.1}, "pickup"),
    _set("dropoff", {"lat": 0, "lon": 0}, "dropoff"),
    _set("pickup.lat", _Bare("40.7")),
    _set("pickup.lat", _Bare(True)),
    _set("pickup.lon", _Bare(181)),
    _set("pickup.lat", _Bare(-91.5)),
    _set("pickup.lat", _Bare([40.7])),
    _set("at", "2026-01-01T00:00:00"),
    _set("at", "yesterday"),
    _set("at", "1999-01-01T00:00:00Z"),
    _set("at", "9999-12-31T23:59:59-14:00"),
    _set("at", "0001-01-01T00:00:00+14:00"),
    _set("at", 1_800_000_000),
    _set("id", ""),
    _set("id", "x" * 129),
    _set("id", 5),
    _set("surge", 1.5),
    _set("pickup.name", "Times Square"),
    _raw("NaN", 400, named=False),
    _raw("Infinity", 400, named=False),
    _raw("-Infinity", 400, named=False),
    _raw("1e400", 422, named=True),
    _raw("-1e400", 422, named=True),
    _raw("1" * 400, 422, named=True),
    _raw("0x28", 400, named=False),
    _without("pickup"),
    _without("dropoff"),
    _repeated_id,
    _broken,
    _content_type,
    _whole("empty batch", lambda _: _dump([]), 422, "trips"),
    _whole("513 trips", lambda rng: _dump([trip(rng) for _ in range(513)]), 422, "trips"),
    _whole("no trips", lambda _: b"{}", 422, "trips"),
    _whole("trips is an object", lambda _: b'{"trips":{}}', 422, "trips"),
    _whole("a trip is a number", lambda _: b'{"trips":[1]}', 422, "trips[0]"),
    _whole("unknown member", lambda rng: _dump([trip(rng)], model="eta"), 422, "model"),
    _whole("unit is a number", lambda rng: _dump([trip(rng)], unit=1), 422, "unit"),
    _whole("unit is empty", lambda rng: _dump([trip(rng)], unit=""), 422, "unit"),
    _whole("a list", lambda rng: json.dumps([trip(rng)]).encode(), 400),
    _whole("null", lambda _: b"null", 400),
    _whole("nothing", lambda _: b"", 400),
    _whole("text", lambda _: b"hello", 400),
    _whole("more after the end", lambda rng: _dump([trip(rng)]) + b"]", 400),
    _whole("byte order mark", lambda rng: b"\xef\xbb\xbf" + _dump([trip(rng)]), 400),
    _whole("UTF-16", lambda rng: _dump([trip(rng)]).decode().encode("utf-16"), 400),
    _whole("a byte that is not UTF-8", lambda _: b'{"trips":[{"id":"\xff"}]}', 400),
    _whole("lone surrogate", lambda _: b'{"trips":[{"id":"\\ud800"}]}', 400),
    _whole("nested deeply", lambda _: b'{"trips":' + b"[" * 100_000, 422, "trips[0]"),
    _whole("deep in the unknown", lambda _: b'{"x":' * 50_000, 422, "x"),
    _whole("5 MB", lambda _: b" " * 5_000_000, 413),
    _whole("one byte too many", lambda rng: _dump([trip(rng)]).ljust(MIB + 1), 413),
    lambda _: BadRequest("GET", b"", 405, method="GET"),
    lambda _: BadRequest("DELETE", b"", 405, method="DELETE"),
    lambda rng: BadRequest("unknown route", _dump([trip(rng)]), 404, path="/v1/etas"),
    lambda rng: BadRequest("gzip", _dump([trip(rng)]), 415, headers=(*JSON.items(), ("content-encoding", "gzip"))),
    _outcome("event", "lost", "outcomes[0].event"),
    _outcome("actual_s", "ten", "outcomes[0].actual_s"),
    _outcome("actual_s", -1, "outcomes[0].actual_s"),
    _outcome("event", "booked", "outcomes[0]"),
    _outcome("at", "2026-01-01", "outcomes[0].at"),
    _outcome("at", "1990-01-01T00:00:00Z", "outcomes[0].at"),
    _outcome("tip", 3, "outcomes[0].tip"),
    _outcome("id", "a\0b", "outcomes[0].id"),
]
