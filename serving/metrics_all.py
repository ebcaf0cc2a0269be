"""`/metrics` of the whole tier: the replica that is asked asks the others over their sockets.

The front sends each scrape to whichever replica it likes; one replica's own numbers would jump between scrapes. What
Serve knows comes from files that the process beside its controller writes (see `control_metrics`), what the stack's
other processes count from files of theirs (`component_metrics`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from serving.component_metrics import read_components
from serving.control_metrics import read_control, read_serves_own
from serving.exposition import CONTENT_TYPE, LOCAL_PATH, labelled, render
from serving.listener import socket_path
from serving.metric_cells import Family, Series

DEADLINE_S: Final = 0.5  # a busy replica answers after what it has in hand
_REQUEST: Final = f"GET {LOCAL_PATH} HTTP/1.1\r\nhost: replica\r\nconnection: close\r\n\r\n".encode()
_MOST_BYTES: Final = 8 << 20
_DECODE: Final = msgspec.json.Decoder(list[Family]).decode


class TierMetrics:
    """Asks the replicas of a stack; `own` gives the snapshot of the one that is asked, whose slot is `slot`."""

    def __init__(
        self,
        folder: Path,
        slots: int,
        slot: int,
        own: Callable[[], list[Family]],
        *,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self._folder = folder
        self._slots = slots
        self._slot = slot
        self._own = own
        self._deadline_s = deadline_s

    async def exposition(self) -> tuple[bytes, bytes]:
        """Give the text and its content type, within the deadline whatever the others do."""
        slots = [slot for slot in range(self._slots) if slot != self._slot]
        answers = await asyncio.gather(*(self._ask(slot) for slot in slots))
        snapshots = {str(self._slot): self._own()}
        silent = 0
        for slot, answer in zip(slots, answers, strict=True):
            if isinstance(answer, list):
                snapshots[str(slot)] = answer
            elif answer is not None:
                silent += 1
        count = Family(
            "tandem_metrics_replicas",
            "Replicas that gave their numbers to this answer, and those that listen but did not in time",
            "gauge",
            ("state",),
            (),
            [Series(("reached",), [len(snapshots)]), Series(("silent",), [silent])],
        )
        others = [*read_control(self._folder), *read_components(self._folder)]
        text = render([count, *others, *labelled(snapshots)])
        return text + read_serves_own(self._folder), CONTENT_TYPE

    async def _ask(self, slot: int) -> list[Family] | Exception | None:
        """The snapshot of a slot, why there is none, or None where nobody listens."""
        try:
            async with asyncio.timeout(self._deadline_s):
                return _DECODE(await _get(socket_path(self._folder, slot)))
        except (FileNotFoundError, ConnectionRefusedError):
            return None
        except (OSError, TimeoutError, ValueError, EOFError, msgspec.MsgspecError) as error:
            return error


async def _get(path: Path) -> bytes:
    """The body of a replica's answer; raises ValueError where it is not a 200."""
    reader, writer = await asyncio.open_unix_connection(str(path), limit=_MOST_BYTES)
    try:
        writer.write(_REQUEST)
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in head.partition(b"\r\n")[0]:
            raise ValueError(f"{path} answers {head[:80]!r}")
        return await reader.read(-1)
    finally:
        writer.close()
