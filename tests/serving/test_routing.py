"""The route table in force: what becomes of tables that change while their versions load, or that can't be loaded."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from contracts.errors import ArtifactInvalid, Unavailable
from contracts.routes import RouteTable
from serving.artifacts import LoadedModel, load_artifact
from serving.routing import Routing
from tests.fakes import SCHEMA, tiny_artifact

FIRST = RouteTable("eta", 1, champion=1)
CANARY = RouteTable("eta", 2, champion=1, candidate=2, candidate_percent=5.0, salt="eta-1")
BACK = RouteTable("eta", 3, champion=1, salt="eta-1")


@dataclass
class Shelf:
    """Loads versions, all of them alike; what is told of happens during a load."""

    model: LoadedModel
    table: RouteTable = FIRST
    bad: set[int] = field(default_factory=set)
    loaded: list[int] = field(default_factory=list)
    meanwhile: dict[int, RouteTable] = field(default_factory=dict)

    def load(self, version: int) -> LoadedModel:
        """Load a version."""
        self.loaded.append(version)
        self.table = self.meanwhile.pop(version, self.table)
        if version in self.bad:
            raise ArtifactInvalid(f"eta@{version}", "hash", "eta.onnx is another")
        return self.model

    def newest(self) -> RouteTable:
        """The table in the database."""
        return self.table


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    """A shelf of one model under any number."""
    return Shelf(load_artifact(tiny_artifact(tmp_path / "eta@1"), schema=SCHEMA))


@pytest.fixture
def routing(shelf: Shelf) -> Routing:
    """The first table is in force."""
    made = Routing(shelf.load)
    assert made.follow(shelf.newest)
    return made


def test_a_table_taken_back_while_it_loads_is_never_in_force(shelf: Shelf, routing: Routing) -> None:
    """A rollback that comes during the candidate's load is the next table in force, without a moment of the canary."""
    shelf.table, shelf.meanwhile = CANARY, {2: BACK}
    assert routing.follow(shelf.newest)
    assert routing.table == BACK
    assert list(routing.loaded()) == ["1"]


def test_a_version_that_loaded_is_not_loaded_again(shelf: Shelf, routing: Routing) -> None:
    """Where only the weight changed meanwhile, what was loaded serves."""
    more = msgspec.structs.replace(CANARY, generation=3, candidate_percent=25.0)
    shelf.table, shelf.meanwhile = CANARY, {2: more}
    assert routing.follow(shelf.newest)
    assert (routing.table, shelf.loaded) == (more, [1, 2])


def test_nothing_new_changes_nothing(shelf: Shelf, routing: Routing) -> None:
    """The same generation and an older one."""
    assert not routing.follow(shelf.newest)
    shelf.table = BACK
    assert routing.follow(shelf.newest)
    shelf.table = CANARY
    assert not routing.follow(shelf.newest)
    assert (routing.table, shelf.loaded) == (BACK, [1])


def test_the_switch_of_a_refused_table_is_heeded(shelf: Shelf, routing: Routing) -> None:
    """Who throws the kill switch while a candidate can't be loaded gets the fallback all the same, and back again."""
    shelf.bad, shelf.table = {2}, CANARY
    assert not routing.follow(shelf.newest)
    assert routing.table == FIRST
    for generation, off in ((3, True), (4, False)):
        shelf.table = msgspec.structs.replace(CANARY, generation=generation, fallback_only=off)
        assert routing.follow(shelf.newest)
        assert routing.table.fallback_only is off
        assert routing.table.candidate is None
        assert not routing.follow(shelf.newest)
    shelf.table = msgspec.structs.replace(BACK, generation=5)
    assert routing.follow(shelf.newest)


def test_a_refused_version_is_not_loaded_at_every_look(shelf: Shelf, routing: Routing) -> None:
    """A published version never gets better: once a generation is enough."""
    shelf.bad, shelf.table = {2}, CANARY
    for _ in range(3):
        assert not routing.follow(shelf.newest)
    assert shelf.loaded == [1, 2]


def test_before_the_first_table_errors_are_raised(shelf: Shelf) -> None:
    """A replica without a table does not start, and says why."""
    shelf.bad = {1}
    empty = Routing(shelf.load)
    with pytest.raises(ArtifactInvalid, match="hash check"):
        empty.follow(shelf.newest)
    with pytest.raises(Unavailable, match="not_loaded"):
        _ = empty.table
