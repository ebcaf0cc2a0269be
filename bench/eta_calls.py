"""A caller that asks for one ETA after the other while a suite does something else, and counts what it gets."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Self

import msgspec

from pipelines.open_loop import Answer, Request, send_all

RATE = 20.0
SERVER_ERROR = 500


class EtaCalls:
    """Asks at a rate from when it is entered until it is left."""

    def __init__(self, address: tuple[str, int], zones: Sequence[str], rate: float = RATE) -> None:
        self._address, self._zones, self._rate = address, list(zones), rate
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.answers: list[tuple[int, str]] = []  # status, and who answered or why nobody did

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._ended.set()
        self._thread.join()

    def summary(self) -> dict[str, Any]:
        """Counts so far."""
        answers = list(self.answers)
        return {
            "requests": len(answers),
            "server_errors": sum(status >= SERVER_ERROR for status, _ in answers),
            "unanswered": sum(status == 0 for status, _ in answers),
            "answered_by": dict(Counter(word for _, word in answers)),
        }

    def _run(self) -> None:
        asyncio.run(send_all(self._address, self._requests(), self._took, connections=32))

    def _requests(self) -> Iterator[Request]:
        begun, sent = time.monotonic(), 0
        while not self._ended.is_set():
            pickup, dropoff = (self._zones[(sent * step) % len(self._zones)] for step in (1, 7))
            trip = {"pickup": {"zone": pickup}, "dropoff": {"zone": dropoff}}
            yield Request(begun + sent / self._rate, "/v1/eta", msgspec.json.encode({"trips": [trip]}), sent)
            sent += 1

    def _took(self, answer: Answer) -> None:
        if answer.status != 200:
            self.answers.append((answer.status, str(answer.status) if answer.status else answer.body.decode()))
            return
        eta = msgspec.json.decode(answer.body)["etas"][0]
        self.answers.append((200, eta.get("reason") or eta["source"]))
