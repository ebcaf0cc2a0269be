"""The controller: it carries out what was decided, once, whoever else is there and whatever happens to it."""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from adapters.ledger import JournalBroken, Ledger
from adapters.state import State
from contracts.errors import ArtifactInvalid, InvalidInput, NotAllowed, Unavailable
from contracts.roles import Actor
from contracts.routes import RouteTable
from model_registry.desk import Refused
from model_registry.enforce import replace_table
from model_registry.lifecycle import IllegalTransition, Phase
from tests.model_registry.world import ADMIN, BAD, BAD_SCHEMA, BROKEN, OPERATOR, START, World, small_policy

GOOD_END = 40  # ticks in which a good candidate surely arrives


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


def test_only_the_holder_of_the_lease_acts(world: World) -> None:
    """A second controller is told no until the first one's lease runs out, and then goes on where that was."""
    world.start()
    world.tick()
    other = world.process("b")
    assert not other.tick("eta")
    world.clock.time += 15
    assert other.tick("eta")
    assert not world.controller.tick("eta")
    other.stop()
    assert world.controller.tick("eta")


def test_the_lease_is_renewed_before_it_ends_and_not_at_each_tick(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A renewal is a synced write; ticks of a second share one for a third of the lease, and never leave a gap."""
    renewed: list[float] = []
    lease = world.controller._ledger.lease

    def counted(name: str, holder: str, now: float, seconds: float) -> bool:
        renewed.append(now)
        return lease(name, holder, now, seconds)

    monkeypatch.setattr(world.controller._ledger, "lease", counted)
    other = world.process("b")
    for _ in range(30):
        world.clock.time += 1
        assert world.controller.tick("eta")
        assert not other.tick("eta")
        assert world.ledger.holder("controller", world.clock.now()) == "a"
    assert len(renewed) == 6
    world.clock.time -= 3600  # a clock that was set back must not keep the lease from being renewed
    assert world.controller.tick("eta")
    assert len(renewed) == 7
    world.controller.stop()
    assert world.ledger.holder("controller", world.clock.now()) is None


def test_two_controllers_at_once_write_one_history(world: World) -> None:
    """Two that start together, with a lease that no longer keeps them apart, still leave one line of transitions."""
    world.start()
    first, second = world.process("a"), world.process("a")
    for _ in range(GOOD_END):
        world.clock.time += 60
        threads = [threading.Thread(target=each.tick, args=("eta",)) for each in (first, second)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert world.phases() == ["start", "Shadow", "Canary", "Canary", "AB", "Promoting", "Succeeded"]
    world.ledger.verify()


@pytest.mark.parametrize("moment", ["route_table", "put_route_table"])
def test_a_rollback_is_never_written_over(world: World, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    """An operator acts between the controller's reading and writing: no later table gives the candidate anything."""
    world.start()
    world.tick(4)
    stray = msgspec.structs.replace(world.table(), candidate_percent=90.0, generation=world.table().generation + 1)
    world.state.put_route_table(stray)
    routes = world.controller._enforcer._routes
    real, back = getattr(routes, moment), list[int]()

    def meanwhile(*words: Any) -> Any:
        if not back:
            back.append(0)
            assert world.desk.act("eta-1", "rollback", OPERATOR, "now").phase is Phase.ROLLED_BACK
            back.append(world.table().generation)
        return real(*words)

    monkeypatch.setattr(routes, moment, meanwhile)
    world.clock.time += 1
    assert world.controller.tick("eta")
    assert world.latest().phase is Phase.ROLLED_BACK
    assert len(back) == 2
    with sa.create_engine(world.url).connect() as connection:
        later = sa.text("SELECT document FROM route_tables WHERE generation >= :back")
        tables = [
            msgspec.json.decode(text, type=RouteTable) for (text,) in connection.execute(later, {"back": back[1]})
        ]
    assert [table.candidate for table in tables] == [None] * len(tables)


def test_a_stray_table_after_the_end_is_put_right(world: World) -> None:
    """What a killed process may have left of an old state is gone at the next tick, without a rollout under way."""
    world.start()
    world.tick(4)
    canary = world.table()
    world.desk.act("eta-1", "rollback", OPERATOR, "now")
    world.state.put_route_table(msgspec.structs.replace(canary, generation=world.table().generation + 1))
    world.clock.time += 1
    world.controller.tick("eta")
    assert (world.table().champion, world.table().candidate) == (1, None)
    settled = world.table()
    world.clock.time += 1
    world.controller.tick("eta")
    assert world.table() == settled


def test_an_alias_that_was_set_too_late_is_set_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A promotion whose registry is slow is overtaken by a rollback: alias and table are the old champion's."""
    world.start()
    world.tick(4)
    real, overtaken = world.shelf.set_champion, list[str]()

    def slow(model: str, version: int) -> None:
        if version == 2 and not overtaken:
            overtaken.append(model)
            world.desk.act("eta-1", "rollback", OPERATOR, "no")
        real(model, version)

    monkeypatch.setattr(world.shelf, "set_champion", slow)
    assert world.desk.act("eta-1", "promote", OPERATOR, "now").phase is Phase.ROLLED_BACK
    assert (world.table().champion, world.shelf.alias["eta"]) == (1, 1)


def test_of_two_starts_at_once_one_wins(world: World) -> None:
    """The other is told the name of the rollout that is under way."""

    def start(candidate: int) -> str:
        try:
            return world.start(candidate=candidate).id
        except Refused as error:
            return str(error)

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(start, [2, 3, 4, 5]))
    assert answers.count("eta-1") == 1
    assert sum("eta-1 is" in answer for answer in answers) == 3
    assert world.phases() == ["start"]


def test_a_replacing_start_ends_the_running_one(world: World) -> None:
    """`--replace` aborts what is under way and begins anew, in one transaction."""
    world.start()
    world.tick(4)
    begun = world.desk.start(small_policy(), 3, OPERATOR, "better", replace=True)
    assert world.desk.records.get("eta-1").phase is Phase.ABORTED
    assert begun.id == "eta-2"
    assert world.table().candidate is None
    assert world.phases()[-2:] == ["abort", "start"]


@pytest.mark.parametrize("promotes", [1000])
def test_concurrent_promotes_get_a_generation_each(tmp_path: Path, promotes: int) -> None:
    """No table is lost and no generation is given twice."""
    state = State(f"sqlite:///{tmp_path / 'state.db'}")
    state.put_route_table(RouteTable("eta", 1, champion=1))

    def promote(version: int) -> int:
        return replace_table(state, "eta", lambda t: msgspec.structs.replace(t, champion=version)).generation

    with ThreadPoolExecutor(4) as pool:
        generations = list(pool.map(promote, range(2, promotes + 2)))
    assert sorted(generations) == list(range(2, promotes + 2))
    assert state.route_table("eta").generation == promotes + 1
    state.close()


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
