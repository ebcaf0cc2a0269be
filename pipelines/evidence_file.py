"""What was gathered, on disk, so that a controller that starts again need not read a step of weeks anew.

It is a copy: where it is missing, damaged, of another release or of another step, the log is read from the step's
beginning.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Final

import msgspec

from pipelines.step_evidence import StepKey, StepState

_LAYOUT: Final = 1  # raise it with every change of what the numbers mean
_LOG: Final = logging.getLogger(__name__)


class _Kept(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    layout: int
    state: StepState


def load(path: Path, key: StepKey) -> StepState | None:
    """What was kept of a step; None where there is nothing of use."""
    try:
        kept = msgspec.msgpack.decode(path.read_bytes(), type=_Kept)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        _LOG.warning("%s can't be used, the log is read from the step's beginning: %s", path, error)
        return None
    return kept.state if (kept.layout, kept.state.key) == (_LAYOUT, key) else None


def save(path: Path, state: StepState) -> None:
    """Keep it, in one step; what can't be kept is told and does no harm."""
    partial = path.with_suffix(".partial")
    try:
        with os.fdopen(os.open(partial, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "wb") as file:
            file.write(msgspec.msgpack.encode(_Kept(_LAYOUT, state)))
        partial.replace(path)
    except OSError as error:
        _LOG.warning("%s can't be written: %s", path, error)
