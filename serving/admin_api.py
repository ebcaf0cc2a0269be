"""The admin API: rollouts and flags over HTTP. An application of its own, in another process than the replicas.

Reading needs no token where it comes from this machine; acting always needs one, and the token's name is the actor of
the audit log.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from typing import Any, Final, Protocol, TypeVar

import msgspec
from msgspec import UNSET

from contracts.admin import MAX_POLICY_BYTES, ActRequest, FlagRequest, StartRequest, TokenRequest
from contracts.errors import InvalidInput
from contracts.roles import Actor, Role
from serving.answers import failed, guarded, other_method
from serving.bearer import whoever
from serving.exchange import Answer, Request
from serving.intake import check_type
from serving.problems import Refused, decode_error

PEER: Final = b"x-tandem-peer"
"""The header in which the front says who asked; it overwrites a caller's own."""
_FORWARDED: Final = frozenset({b"forwarded", b"x-forwarded-for", b"x-real-ip", b"via"})
_ROLLOUT: Final = re.compile(
    r"/v1/rollouts/(?P<id>[a-z][a-z0-9_]{0,62}-[1-9][0-9]{0,8})"
    r"(/(?P<verb>approve|pause|resume|abort|promote|rollback))?\Z"
)
_TOKEN: Final = re.compile(r"/v1/tokens/(?P<name>[a-z0-9_-]{1,63})\Z")
T = TypeVar("T")
Handler = Callable[[Request], Awaitable[Answer]]


class Office(Protocol):
    """What stands behind the routes; calls block, and raise the errors of `contracts`."""

    def actor(self, token: str) -> Actor | None:
        """Who holds a bearer token."""
        ...

    def rollouts(self) -> dict[str, Any]:
        """All of them."""
        ...

    def rollout(self, name: str) -> dict[str, Any]:
        """One of them."""
        ...

    def start(
        self, version: int, actor: Actor, *, document: str = ..., reason: str = ..., replace: bool = ...
    ) -> dict[str, Any]:
        """Begin one."""
        ...

    def act(self, name: str, verb: Any, actor: Actor, reason: str = ...) -> dict[str, Any]:
        """Do one of the verbs."""
        ...

    def flags(self) -> dict[str, Any]:
        """Every flag by name."""
        ...

    def set_flag(self, name: str, actor: Actor, reason: str, *, on: bool) -> dict[str, Any]:
        """Set a flag."""
        ...

    def tokens(self, actor: Actor) -> dict[str, Any]:
        """Every token, without its secret."""
        ...

    def create_token(self, name: str, role: Role, days: int, actor: Actor) -> dict[str, Any]:
        """Make one."""
        ...

    def revoke_token(self, name: str, actor: Actor) -> dict[str, Any]:
        """End one."""
        ...


class AdminApi:
    """The application of a `Listener`."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._token = msgspec.json.Decoder(TokenRequest)
        self._start = msgspec.json.Decoder(StartRequest)
        self._act = msgspec.json.Decoder(ActRequest)
        self._flag = msgspec.json.Decoder(FlagRequest)

    def arrived(self, _request: Request) -> Answer | None:
        """See Application: nobody is turned away; the front bounds how many come."""
        return None

    def answer(self, request: Request) -> Answer | Awaitable[Answer]:
        """See Application."""
        try:
            handlers = self._route(request.path)
        except Refused as error:
            return failed(request, error)
        handler = handlers.get("GET" if request.method == "HEAD" else request.method)
        return other_method(request.method, *handlers) if handler is None else guarded(request, handler(request))

    def answered(self, _request: Request, _answer: Answer) -> None:
        """See Application."""

    def _route(self, path: str) -> dict[str, Handler]:
        if path == "/v1/rollouts":
            return {"GET": lambda request: self._read(request, self._office.rollouts), "POST": self._begin}
        if path == "/v1/flags":
            return {"GET": lambda request: self._read(request, self._office.flags), "PUT": self._set_flag}
        if path == "/v1/tokens":
            return {"GET": self._list_tokens, "POST": self._create_token}
        if match := _TOKEN.match(path):
            ended = match["name"]
            return {"DELETE": lambda request: self._revoke_token(request, ended)}
        match = _ROLLOUT.match(path)
        if match is None:
            raise Refused(404, f"no route {path[:200]!r}; /openapi.json lists them")
        name, verb = match["id"], match["verb"]
        if verb:
            return {"POST": lambda request: self._do(request, name, verb)}
        return {"GET": lambda request: self._read(request, lambda: self._office.rollout(name))}

    async def _read(self, request: Request, read: Callable[[], dict[str, Any]]) -> Answer:
        if request.header(b"authorization") is not None or not _from_here(request):
            (await whoever(request, self._office.actor)).must_be("viewer", "read")
        return _answer(await asyncio.to_thread(read))

    async def _begin(self, request: Request) -> Answer:
        actor, asked = await self._acting(request, self._start)
        document = b"" if asked.policy is UNSET else bytes(asked.policy)
        if len(document) > MAX_POLICY_BYTES:
            raise InvalidInput("policy", f"has {len(document)} bytes, at most {MAX_POLICY_BYTES}")
        try:
            text = document.decode()
        except UnicodeDecodeError as error:
            raise InvalidInput("policy", f"is not UTF-8 at byte {error.start}") from None
        words = _reason(asked.reason) | {"document": text, "replace": asked.replace}
        begun = await asyncio.to_thread(self._office.start, asked.version, actor, **words)
        return _answer(begun, 201, ((b"location", f"/v1/rollouts/{begun['id']}".encode()),))

    async def _do(self, request: Request, name: str, verb: str) -> Answer:
        actor, asked = await self._acting(request, self._act)
        return _answer(await asyncio.to_thread(self._office.act, name, verb, actor, **_reason(asked.reason)))

    async def _set_flag(self, request: Request) -> Answer:
        actor, asked = await self._acting(request, self._flag)
        return _answer(await asyncio.to_thread(self._office.set_flag, asked.name, actor, asked.reason, on=asked.on))

    async def _list_tokens(self, request: Request) -> Answer:
        actor = await whoever(request, self._office.actor)
        return _answer(await asyncio.to_thread(self._office.tokens, actor))

    async def _create_token(self, request: Request) -> Answer:
        actor, asked = await self._acting(request, self._token)
        made = await asyncio.to_thread(self._office.create_token, asked.name, asked.role, asked.days, actor)
        return _answer(made, 201, ((b"location", f"/v1/tokens/{asked.name}".encode()),))

    async def _revoke_token(self, request: Request, name: str) -> Answer:
        actor = await whoever(request, self._office.actor)
        return _answer(await asyncio.to_thread(self._office.revoke_token, name, actor))

    async def _acting(self, request: Request, decoder: msgspec.json.Decoder[T]) -> tuple[Actor, T]:
        """Who acts and what they ask; who may not even ask learns nothing of the body's faults."""
        actor = await whoever(request, self._office.actor)
        body = request.body
        if body or decoder is not self._act:
            check_type(request)
        try:
            return actor, decoder.decode(body or b"{}")
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise decode_error(error, body) from None


def _from_here(request: Request) -> bool:
    """Whether a request comes from this machine, and was not handed on by a proxy or lured from a browser.

    A page that had its own name resolved to 127.0.0.1 sends that name as the host.
    """
    peer, host = request.header(PEER), request.header(b"host") or b""
    if peer is None or any(name in _FORWARDED for name, _ in request.headers):
        return False
    name = host.decode("latin-1").rpartition(":")[0] if host.rpartition(b":")[2].isdigit() else host.decode("latin-1")
    return _is_loopback(peer.decode("latin-1")) and (name == "localhost" or _is_loopback(name.strip("[]")))


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address.removeprefix("::ffff:")).is_loopback
    except ValueError:
        return False


def _reason(given: Any) -> dict[str, Any]:
    return {} if given is UNSET else {"reason": given}


def _answer(value: dict[str, Any], status: int = 200, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Answer:
    return Answer(status, msgspec.json.encode(value), headers=headers)
