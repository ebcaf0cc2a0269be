"""Where a Redis or Valkey is, read from a URL."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass(frozen=True)
class Address:
    """Where a server listens and how to greet it."""

    host: str = ""
    port: int = 6379
    path: str = ""  # a unix socket, instead of host and port
    user: str = ""
    password: str = ""
    database: int = 0
    tls: bool = False


def parse_url(url: str) -> Address:
    """Read redis[s]://[user:password@]host[:port][/db] or unix://[user:password@]/path[?db=n]; raises ValueError."""
    parts = urlsplit(url)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if parts.scheme == "unix":
        database = int(parse_qs(parts.query).get("db", ["0"])[0])
        return Address(path=unquote(parts.path), user=user, password=password, database=database)
    if parts.scheme not in ("redis", "rediss") or not parts.hostname:
        raise ValueError("must be redis[s]://host[:port][/db] or unix:///path")
    database = int(parts.path.strip("/") or 0)
    tls = parts.scheme == "rediss"
    return Address(parts.hostname, parts.port or 6379, "", user, password, database, tls=tls)
