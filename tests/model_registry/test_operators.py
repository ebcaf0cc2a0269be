"""What people and flags may do to a rollout, and when."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.errors import InvalidInput, NotAllowed
from contracts.roles import Actor
from model_registry.desk import Refused
from model_registry.lifecycle import IllegalTransition, Phase
from tests.model_registry.world import ADMIN, BROKEN, GOOD_END, OPERATOR, World, small_policy


def test_people_may_stop_and_resume(world: World) -> None:
    """Pause keeps the traffic and moves nothing on; resume begins the step's time again."""
    world.start()
    world.tick(4)
    paused = world.desk.act("eta-1", "pause", OPERATOR, "look at it")
    weight = world.table().candidate_percent
    assert world.tick(20).phase is Phase.PAUSED
    assert world.table().candidate_percent == weight == 5
    world.desk.act("eta-1", "resume", OPERATOR, "fine")
    assert world.latest().step == paused.step
    assert world.latest().since == world.clock.time
    assert world.tick(GOOD_END).phase is Phase.SUCCEEDED


def test_a_paused_candidate_is_still_watched(world: World) -> None:
    """Users of a paused canary are protected like any others."""
    world.start()
    world.tick(4)
    world.desk.act("eta-1", "pause", OPERATOR, "lunch")
    world.arms.faulty, world.arms.fault_at = BROKEN, world.clock.time
    assert world.tick(1).phase is Phase.ROLLED_BACK


@pytest.mark.parametrize(
    ("verb", "phase", "champion"),
    [("abort", Phase.ABORTED, 1), ("rollback", Phase.ROLLED_BACK, 1), ("promote", Phase.SUCCEEDED, 2)],
)
def test_an_operators_word_is_carried_out_before_the_answer(
    world: World, verb: Any, phase: Phase, champion: int
) -> None:
    """Abort, rollback and promote have reached the table when the call returns."""
    world.start()
    world.tick(4)
    assert world.desk.act("eta-1", verb, OPERATOR, "because").phase is phase
    assert (world.table().champion, world.table().candidate) == (champion, None)
    assert world.shelf.alias["eta"] == champion
    assert world.journal()[-2].entry.actor == "olga"


def test_second_thoughts_bring_the_old_champion_back(world: World) -> None:
    """A rollback after the success is a new table with a higher generation."""
    world.start()
    world.tick(GOOD_END)
    before = world.table().generation
    assert world.desk.act("eta-1", "rollback", OPERATOR, "complaints").phase is Phase.ROLLED_BACK
    assert (world.table().champion, world.table().generation) == (1, before + 1)


def test_only_the_newest_success_can_be_taken_back(world: World) -> None:
    """Rolling back an older rollout would skip a champion; it is refused with the newer one's name."""
    world.start()
    world.desk.act("eta-1", "promote", OPERATOR, "now")
    world.start(candidate=3)
    with pytest.raises(Refused, match="eta-1 is over; eta-2 came after it"):
        world.desk.act("eta-1", "rollback", OPERATOR, "no")
    world.desk.act("eta-2", "promote", OPERATOR, "now")
    with pytest.raises(Refused, match="eta-2 came after it"):
        world.desk.act("eta-1", "rollback", OPERATOR, "no")
    world.desk.act("eta-2", "rollback", OPERATOR, "yes")
    assert (world.table().champion, world.shelf.alias["eta"]) == (2, 2)


def test_an_approval_opens_the_gate(world: World) -> None:
    """The A/B step waits for a person with the role that the policy names."""
    world.start(small_policy("approvals: {before: [ab], role: admin}"))
    with pytest.raises(IllegalTransition, match="needs no approval"):
        world.desk.act("eta-1", "approve", ADMIN, "early")
    held = world.tick(GOOD_END)
    assert (held.phase, held.reason) == (Phase.CANARY, "waiting for an approval (admin) before ab")
    with pytest.raises(NotAllowed, match="olga is operator, must be admin"):
        world.desk.act("eta-1", "approve", OPERATOR, "fine")
    world.desk.act("eta-1", "approve", ADMIN, "fine")
    assert world.tick(GOOD_END).phase is Phase.SUCCEEDED


def test_a_viewer_may_not_act(world: World) -> None:
    """Reading is all that a viewer does."""
    world.start()
    with pytest.raises(NotAllowed, match="must be operator"):
        world.desk.act("eta-1", "abort", Actor("vera", "viewer"), "no")
    with pytest.raises(NotAllowed, match="must be admin"):
        world.desk.set_flag("freeze", OPERATOR, "no", on=True)


def test_the_kill_switch_is_in_the_table_and_stops_the_clocks(world: World) -> None:
    """All answers are the fallback's at once; a day of it neither promotes nor rolls back."""
    world.start()
    world.tick(4)
    world.desk.set_flag("kill_switch", ADMIN, "incident", on=True)
    assert world.table().fallback_only
    step = world.tick(120).step
    assert world.latest().phase is Phase.CANARY
    world.desk.set_flag("kill_switch", ADMIN, "over", on=False)
    assert not world.table().fallback_only
    assert world.latest().step == step
    assert world.tick(GOOD_END).phase is Phase.SUCCEEDED


def test_a_disabled_model_answers_by_fallback_without_a_rollout(world: World) -> None:
    """The per-model switch reaches the table; one of a model that there is not would switch nothing, and is refused."""
    world.desk.set_flag("enabled.eta", ADMIN, "licence", on=False)
    assert world.table().fallback_only
    with pytest.raises(InvalidInput, match="there is no model 'other', there is eta"):
        world.desk.set_flag("enabled.other", ADMIN, "licence", on=False)
    world.desk.set_flag("enabled.eta", ADMIN, "renewed", on=True)
    assert not world.table().fallback_only
    with pytest.raises(InvalidInput, match="'typo' is none of"):
        world.desk.set_flag("typo", ADMIN, "", on=True)


def test_a_freeze_lets_nothing_on_but_a_rollback_out(world: World) -> None:
    """Frozen, a good candidate waits and a bad one still goes."""
    world.start()
    world.tick(4)
    world.desk.set_flag("freeze", ADMIN, "new year", on=True)
    step = world.latest().step
    assert world.tick(20).step == step
    assert world.latest().reason == "frozen by a flag"
    with pytest.raises(Refused, match="frozen"):
        world.desk.act("eta-1", "promote", OPERATOR, "now")
    world.arms.faulty, world.arms.fault_at = BROKEN, world.clock.time
    assert world.tick().phase is Phase.ROLLED_BACK
