"""A controller that is killed at any line: the next one ends where it would have ended."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec
import pytest

from model_registry.lifecycle import Phase
from tests.model_registry.world import BAD, GOOD_END, OPERATOR, World


class Killed(BaseException):
    """The process is gone."""


WATCHED = ("controller.py", "desk.py", "enforce.py", "records.py", "rollout.py", "ledger.py", "state.py")


def killed_at(instruction: int, act: Callable[[], Any]) -> int:
    """Run something and kill it at the n-th line of the controller's modules; returns how many lines it ran."""
    lines = 0

    def local(_frame: FrameType, event: str, _arg: Any) -> Any:
        nonlocal lines
        if event == "line":
            lines += 1
            if lines == instruction:
                raise Killed
        return local

    def trace(frame: FrameType, _event: str, _arg: Any) -> Any:
        return local if frame.f_code.co_filename.endswith(WATCHED) else None

    sys.settrace(trace)
    try:
        act()
    except Killed:
        pass
    finally:
        sys.settrace(None)
    return lines


def life(folder: Path, *, faulty: bool, kills: random.Random | None) -> tuple[Any, ...]:
    """A rollout from start to end, its controller killed at random lines in about half of its ticks."""
    folder.mkdir()
    world = World(folder)
    world.start()
    for minute in range(GOOD_END):
        if faulty and minute == 4:
            world.arms.faulty, world.arms.fault_at = BAD, world.clock.time
        world.clock.time += 60
        while kills and kills.random() < 0.5:
            killed_at(kills.randrange(1, 260), lambda: world.controller.tick("eta"))
            world.controller = world.process()
        world.controller.tick("eta")
        if not world.latest().active:
            break
    # The revision counts writes; a life with kills looks, and so writes, more often.
    rollout = msgspec.structs.replace(world.latest(), revision=0)
    end = (rollout, world.journal(), world.table(), world.shelf.alias["eta"], world.ledger.verify())
    world.close()
    return end


@pytest.mark.parametrize("faulty", [False, True])
def test_kills_at_any_line_change_nothing(tmp_path: Path, faulty: bool) -> None:  # noqa: FBT001
    """Final state, journal, route table and alias are those of a life without kills."""
    expected = life(tmp_path / "calm", faulty=faulty, kills=None)
    for seed in range(5):
        assert life(tmp_path / f"{seed}", faulty=faulty, kills=random.Random(seed)) == expected


def test_an_operators_word_is_kept_whole_or_not_at_all(tmp_path: Path) -> None:
    """A desk that dies at any line of a promotion leaves it undone, or for the controller's next tick to finish."""
    outcomes = set()
    for line in range(5, 125, 12):
        (tmp_path / f"{line}").mkdir()
        world = World(tmp_path / f"{line}")
        world.start()
        world.tick(4)
        killed_at(line, lambda world=world: world.desk.act("eta-1", "promote", OPERATOR, "now"))
        said = "promote" in world.phases()
        world.clock.time += 1
        world.process().tick("eta")
        outcomes.add(said)
        assert (world.latest().phase is Phase.SUCCEEDED) == said
        assert (world.table().champion, world.shelf.alias["eta"]) == ((2, 2) if said else (1, 1))
        assert world.phases().count("Succeeded") == said
        world.close()
    assert outcomes == {False, True}
