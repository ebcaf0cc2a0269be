"""`python -m pipelines.refill`: an online store that lost its rows gets them back from the offline store.

Live rows come back by the stream, from the cells that it has filled again from its own log. Of several that are started
at once, as by the consumers of several machines, one does it.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from adapters.feast_encoding import PROJECT
from adapters.invalidations import invalidations_stream, publish_invalidations
from adapters.redis_client import redis_client, unavailable
from contracts.errors import TandemError
from feature_repo.store import open_store
from pipelines.layout import Layout
from pipelines.materialize import materialize
from pipelines.stack import Stack
from serving.settings import load_settings

_LOCK: Final = f"{PROJECT}:refill"
_LOCK_S: Final = 300  # longer than it takes
_TIMEOUT_S: Final = 5.0


def refill(home: Path, redis_url: str) -> dict[str, Any]:
    """Write the latest rows of every view and tell the caches, unless another is doing so or there are no tables.

    Args:
        home: TANDEM_HOME, with the tables of `train`.
        redis_url: of the online store, for Feast: redis[s]://.

    """
    if not Layout(home).features.is_dir():
        return {"rows": {}, "why": f"no features in {Layout(home).features}"}
    client = redis_client(redis_url, _TIMEOUT_S)
    with unavailable("online store", "features_unavailable"):
        if not client.set(_LOCK, os.getpid(), nx=True, ex=_LOCK_S):
            return {"rows": {}, "why": "another process is filling it"}
    try:
        store, stream = open_store(home, redis_url=redis_url), invalidations_stream(redis_url)

        def tell(entity: str, keys: list[str]) -> None:
            publish_invalidations(stream, [(entity, key) for key in keys])

        return materialize(home, store, datetime.now(UTC), anew=False, written=tell)
    finally:
        with unavailable("online store", "features_unavailable"):
            if client.get(_LOCK) == b"%d" % os.getpid():  # it may have run out, and be another's by now
                client.delete(_LOCK)


def main() -> int:
    """Refill the store of TANDEM_HOME's stack; returns 1 with the reason where that can't be done."""
    settings = load_settings(os.environ)
    home = settings.home.resolve()
    # The stack's processes know the embedded server by its socket, which Feast can't use; its record has the port.
    url = Stack(home).read_record().get("redis_url") or settings.redis_url
    try:
        sys.stdout.write(json.dumps({"refill": refill(home, url)}) + "\n")
    except TandemError as error:
        sys.stderr.write(f"refill: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
