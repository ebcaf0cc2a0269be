"""The shadow: another version on the same vectors, after the reply and unseen; the first work to be shed."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Final

import numpy as np

from contracts.predictions import MODEL_ERROR, MODEL_OUTPUT, Prediction
from serving.artifacts import LoadedModel
from serving.call import Call
from serving.records import shadow_record
from serving.running import run
from serving.sanity import sane
from serving.work import Work

_WAITING: Final = 64
_LOG: Final = logging.getLogger(__name__)


class Shadows:
    """Runs what is offered, one at a time between requests; `has_room` says whether there is time for it now."""

    def __init__(self, has_room: Callable[[], bool], log: Callable[[Prediction], None]) -> None:
        self._has_room = has_room
        self._log = log
        self._waiting: deque[tuple[Work, LoadedModel]] = deque()
        self._offered = asyncio.Event()
        self.ran = 0
        self.shed = 0
        self.failed = 0

    def offer(self, work: Work) -> None:
        """Take an answered request whose route has a shadow."""
        model = work.route.shadow
        if model is None or work.matrix is None:
            return
        if len(self._waiting) >= _WAITING or not self._has_room():
            self.shed += 1
            return
        self._waiting.append((work, model))
        self._offered.set()

    async def follow(self) -> None:
        """Run what waits, until cancelled."""
        while True:
            await self._offered.wait()
            while self._waiting:
                work, model = self._waiting.popleft()
                if self._has_room():
                    await self._run(work, model)
                else:
                    self.shed += 1
                await asyncio.sleep(0)  # requests first
            self._offered.clear()

    async def _run(self, work: Work, model: LoadedModel) -> None:
        call, reason = Call(), MODEL_OUTPUT
        assert work.matrix is not None  # noqa: S101 - `offer` has seen to it
        try:
            outputs = run(model.onnx, work.matrix, call)
            answers = np.array(outputs if isinstance(outputs, tuple) else await outputs)
        except Exception:  # noqa: BLE001 - nobody waits for it
            if not self.failed:
                _LOG.exception("shadow %s failed; more are only counted", model.name)
            answers, reason = np.full((3, len(work.matrix)), np.nan), MODEL_ERROR
        failed = ~np.array(sane(answers))
        if failed.any():
            self.failed += 1
            self._log(shadow_record(work, model, answers, failed, reason=reason, model_s=call.model_s))
        else:
            self.ran += 1
            self._log(shadow_record(work, model, answers, None, reason="", model_s=call.model_s))
