"""redis-py as it should be for what has a time limit: nothing is retried behind the caller's back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from contracts.errors import Unavailable


def redis_client(url: str, timeout_s: float) -> Any:
    """A client of one server, for redis[s]:// and unix:// URLs; by default its retries would defeat the timeouts."""
    return redis.Redis.from_url(
        url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=Retry(NoBackoff(), 0)
    )


@contextmanager
def unavailable(dependency: str, reason: str) -> Iterator[None]:
    """Turn what redis-py raises of a server that is gone, slow or at its limit into Unavailable."""
    try:
        yield
    except (redis.RedisError, OSError) as error:
        raise Unavailable(dependency, reason, str(error) or type(error).__name__) from error
