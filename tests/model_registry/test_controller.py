"""The controller: it carries out what was decided, once, whoever else is there and whatever happens to it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from adapters.ledger import JournalBroken, Ledger
from contracts.errors import ArtifactInvalid, Unavailable
from model_registry.desk import Refused
from model_registry.lifecycle import Phase
from tests.model_registry.world import BAD, BAD_SCHEMA, BROKEN, GOOD_END, OPERATOR, START, World


def test_a_good_candidate_goes_all_the_way(world: World) -> None:
    """Shadow, both canaries, the A/B step, the champion; table and alias follow and the journal has each transition."""
    world.start()
    assert world.tick(GOOD_END).phase is Phase.SUCCEEDED
    assert world.phases() == ["start", "Shadow", "Canary", "Canary", "AB", "Promoting", "Succeeded"]
    assert (world.table().champion, world.table().candidate, world.shelf.alias["eta"]) == (2, None, 2)
    assert world.ledger.verify() == 7


def test_a_bad_candidate_is_rolled_back_and_stays_away(world: World) -> None:
    """A breach that lasts ends the rollout; champion, table and alias are the old ones."""
    world.start()
    world.tick(4)
    world.arms.faulty, world.arms.fault_at = BAD, world.clock.time
    assert world.tick(30).phase is Phase.ROLLED_BACK
    assert (world.table().champion, world.table().candidate, world.shelf.alias["eta"]) == (1, None, 1)
    assert "error_rate" in world.latest().reason


def test_a_hard_breach_needs_no_second_look(world: World) -> None:
    """A candidate that only fails is gone at the first tick that sees it."""
    world.start()
    world.tick(4)
    assert world.latest().phase is Phase.CANARY
    world.arms.faulty, world.arms.fault_at = BROKEN, world.clock.time
    assert world.tick(1).phase is Phase.ROLLED_BACK


def test_a_sick_platform_rolls_nothing_back(world: World) -> None:
    """An outage that hits both arms holds the rollout, which goes on afterwards."""
    world.start()
    world.tick(4)
    now = world.clock.time
    world.arms.faulty = world.arms.faulty_champion = BROKEN
    world.arms.fault_at, world.arms.fault_until = now, now + 600
    assert world.tick(10).phase is Phase.CANARY
    assert "the platform is sick" in world.latest().reason
    assert world.tick(GOOD_END).phase is Phase.SUCCEEDED


def test_no_evidence_holds(world: World) -> None:
    """A source that can't be reached is no data, and no data is never a pass."""
    arms = world.arms

    class Gone:
        def evidence(self, *_: Any) -> Any:
            raise Unavailable("log", "refused")

    world.start()
    world.arms = Gone()
    world.controller = world.process()
    assert world.tick(20).phase is Phase.SHADOW
    world.arms = arms
    world.controller = world.process()
    assert world.tick(GOOD_END).phase is Phase.SUCCEEDED


def test_a_source_with_a_bug_is_no_evidence(world: World) -> None:
    """Whatever it raises, the rollout holds, and its deadline still counts."""

    class Broken:
        def evidence(self, *_: Any) -> Any:
            raise ZeroDivisionError

    world.arms = Broken()
    world.controller = world.process()
    world.start()
    assert world.tick(30).phase is Phase.SHADOW
    assert world.tick(40).phase is Phase.ROLLED_BACK
    assert "no new sample" in world.latest().reason


def test_evidence_that_was_away_is_asked_for_again_at_the_next_tick(world: World) -> None:
    """A source that is catching up need not wait for the policy's interval."""
    world.start()
    world.tick(2)
    arms, asked = world.arms, []

    class Late:
        def evidence(self, rollout: Any, now: float) -> Any:
            asked.append(now)
            if len(asked) < 4:
                raise Unavailable("evidence", "catching_up")
            return arms.evidence(rollout, now)

    world.arms = Late()
    world.controller = world.process()
    for _ in range(10):
        world.clock.time += 1
        world.controller.tick("eta")
    assert [at - asked[0] for at in asked] == [0, 1, 2, 3]


def test_looks_keep_the_policys_interval(world: World) -> None:
    """Ticks every ten seconds look once a minute, but a route table that is not ours is put right at any tick."""
    world.start()
    for _ in range(5 * 6):
        world.clock.time += 10
        world.controller.tick("eta")
    often = world.latest()
    assert often.phase is Phase.CANARY
    assert {record.entry.at % 60 for record in world.journal()[1:]} == {(START + 10) % 60}
    stray = msgspec.structs.replace(world.table(), candidate_percent=90.0, generation=world.table().generation + 1)
    world.state.put_route_table(stray)
    world.clock.time += 1
    world.controller.tick("eta")
    assert world.table().candidate_percent == often.percent


def test_a_moved_alias_is_found_and_refused(world: World) -> None:
    """The registry's alias moved by another hand pauses the rollout, and promoting is refused until it is back."""
    world.start()
    world.tick(4)
    world.shelf.alias["eta"] = 4
    assert world.tick().phase is Phase.PAUSED
    assert "moved by another hand" in world.latest().reason
    with pytest.raises(Refused, match="is 4, was 1"):
        world.desk.act("eta-1", "promote", OPERATOR, "anyway")
    world.shelf.alias["eta"] = 1
    world.desk.act("eta-1", "resume", OPERATOR, "put back")
    assert world.tick(GOOD_END).phase is Phase.SUCCEEDED


def test_a_rollout_begins_only_where_the_alias_is_on_the_champion(world: World) -> None:
    """A registry that names another champion than the one that serves is put right first."""
    for alias in ({"eta": 4}, {}):
        world.shelf.alias = alias
        with pytest.raises(Refused, match=rf"on version {alias.get('eta')}, while eta@1 serves"):
            world.start()
    assert world.phases() == []


def test_what_no_replica_can_load_is_not_begun(world: World) -> None:
    """A version of another release's schema would wait in its shadow for the deadline."""
    world.shelf.artifacts[2] = BAD_SCHEMA
    with pytest.raises(ArtifactInvalid, match="schema check"):
        world.start()
    assert world.phases() == []


def test_a_changed_artifact_is_never_promoted(world: World) -> None:
    """A candidate whose files are not those that were tested is rolled back."""
    world.start()
    world.tick(4)
    world.shelf.artifacts[2] = "something else"
    assert world.tick().phase is Phase.ROLLED_BACK
    assert "was changed" in world.latest().reason


def test_an_unreachable_registry_holds_but_does_not_blind(world: World) -> None:
    """Nothing moves on while the alias can't be checked; a broken candidate's traffic is taken away all the same."""
    world.start()
    world.tick(4)
    world.shelf.down = True
    step = world.latest().step
    assert world.tick(10).step == step
    world.arms.faulty, world.arms.fault_at = BROKEN, world.clock.time
    assert world.tick().phase is Phase.ROLLING_BACK
    assert world.table().candidate is None
    world.shelf.down = False
    assert world.tick().phase is Phase.ROLLED_BACK


def test_a_registry_with_a_bug_does_not_blind_either(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever asking it raises: a broken candidate is rolled back, and a good one waits."""
    world.start()
    world.tick(4)

    def broken(*_: object) -> None:
        raise ImportError("no module of that name")

    monkeypatch.setattr("model_registry.enforce.Enforcer.alias_problem", broken)
    step = world.latest().step
    assert world.tick(10).step == step
    world.arms.faulty, world.arms.fault_at = BROKEN, world.clock.time
    assert world.tick().phase in {Phase.ROLLING_BACK, Phase.ROLLED_BACK}
    assert world.table().candidate is None


def test_webhooks_arrive_in_order_and_give_up_in_the_end(world: World) -> None:
    """A receiver that is down costs one try a tick, later ones wait; once it is up, all arrive in order."""
    world.wire.down = True
    world.start()
    world.tick(3)
    assert world.wire.got == []
    world.wire.down = False
    world.tick(GOOD_END)
    assert world.wire.got == sorted(world.wire.got, key=int)
    assert len(world.wire.got) == len(world.journal())


def test_a_locked_database_is_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tick that can't write says nothing and does nothing; the next one goes on."""
    world.start()
    world.tick(4)
    held = world.latest()
    with monkeypatch.context() as patch:
        patch.setattr(world.controller._ledger, "_writing", locked)
        world.clock.time += 60
        assert world.controller.tick("eta")
    assert world.latest() == held
    assert world.tick(GOOD_END).phase is Phase.SUCCEEDED


def locked() -> Any:
    """What a database does that somebody else writes to for too long."""
    raise Unavailable("state database", "failed", "database is locked")


def test_the_journal_shows_a_change_made_behind_its_back(world: World) -> None:
    """An edited reason and a deleted entry both break the chain, at their number."""
    world.start()
    world.tick(6)
    with sa.create_engine(world.url).begin() as connection:
        connection.execute(sa.text("UPDATE journal SET reason = 'never happened' WHERE seq = 2"))
    with pytest.raises(JournalBroken, match="entry 2"):
        world.ledger.verify()
    with sa.create_engine(world.url).begin() as connection:
        connection.execute(sa.text("DELETE FROM journal WHERE seq = 1"))
    with pytest.raises(JournalBroken, match="entry 1: is missing"):
        Ledger(world.url).verify()
