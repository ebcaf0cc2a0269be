"""Two who act at once: one of them wins, and what the other has begun does no harm."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from adapters.state import State
from contracts.routes import RouteTable
from model_registry.desk import Refused
from model_registry.enforce import replace_table
from model_registry.lifecycle import Phase
from tests.model_registry.world import GOOD_END, OPERATOR, World, small_policy


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
