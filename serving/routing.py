"""The route table in force and the loaded models that it names."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from contracts.errors import TandemError, Unavailable
from contracts.predictions import SHADOW
from contracts.routes import RouteTable
from serving.artifacts import LoadedModel
from serving.traffic import CANARY, CHAMPION, choose, shadowed

_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Route:
    """The version that answers a request, and its arm."""

    model: LoadedModel
    arm: str
    generation: int
    shadow: LoadedModel | None  # runs after the reply, unseen


@dataclass(frozen=True)
class _InForce:
    table: RouteTable
    models: dict[int, LoadedModel]


class Routing:
    """Holds every version of the table side by side and swaps tables whole, so that a request sees one or the other."""

    def __init__(self, load: Callable[[int], LoadedModel]) -> None:
        self._load = load
        self._in_force: _InForce | None = None
        self._refused = 0  # generation that failed; a published version never gets better

    @property
    def table(self) -> RouteTable:
        """The table in force; raises Unavailable before the first."""
        return self._current().table

    def champion(self) -> LoadedModel:
        """The champion; raises Unavailable before the first table."""
        current = self._current()
        return current.models[current.table.champion]

    def route(self, unit: str, override: str | None = None) -> Route:
        """Which version answers an experiment unit, and which shadows it; raises Unavailable before the first table.

        `override` is the arm that a tester wants; nothing shadows that. Raises InvalidInput where there is no such arm.
        """
        current = self._current()
        table = current.table
        version, arm = choose(table, unit, override)
        if override is not None:
            return Route(current.models[version], arm, table.generation, None)
        shadow = shadowed(table, unit) if table.shadow is not None else None
        return Route(current.models[version], arm, table.generation, None if shadow is None else current.models[shadow])

    def arm_of(self, model: LoadedModel) -> str:
        """The arm that a loaded model is in the table in force; champion where it is more than one."""
        current = self._current()
        table = current.table
        arms = ((CHAMPION, table.champion), (CANARY, table.candidate), (SHADOW, table.shadow))
        return next((arm for arm, version in arms if version and current.models.get(version) is model), CHAMPION)

    def allow_model(self) -> None:
        """Raise Unavailable while the kill switch is on."""
        if self._current().table.fallback_only:
            raise Unavailable("model", "kill_switch", "switched off by the route table")

    def loaded(self) -> dict[str, LoadedModel]:
        """Return every version of the table in force, by its number in words."""
        return {str(version): model for version, model in self._current().models.items()}

    def offer(self, table: RouteTable) -> bool:
        """Put a newer table in force and say so; one that names a version which can't serve leaves the old in force.

        Loads and warms up new versions, so it takes a while: call it off the event loop. The first table has no
        incumbent to keep: there the error of loading is raised.
        """
        return self.follow(lambda: table)

    def follow(self, newest: Callable[[], RouteTable]) -> bool:
        """Put the newest table in force, as `offer` does.

        It is asked for again once its versions are loaded: one that was taken back meanwhile is never in force.
        """
        table, models = newest(), dict(self._in_force.models) if self._in_force else {}
        while self._is_news(table):
            try:
                missing = table.versions() - models.keys()
                for version in missing:
                    models[version] = self._load(version)
            except TandemError as error:
                if self._in_force is None:
                    raise
                return self._refuse(table, error)
            following = newest() if missing else table
            if following.generation == table.generation:
                self._put(table, models)
                return True
            table = following
        return False

    def _is_news(self, table: RouteTable) -> bool:
        held = self._in_force.table.generation if self._in_force else 0
        return table.generation > max(held, self._refused)

    def _put(self, table: RouteTable, models: dict[int, LoadedModel]) -> None:
        self._in_force = _InForce(table, {version: models[version] for version in table.versions()})
        _LOG.info("route table %d in force: %s", table.generation, table)

    def _refuse(self, table: RouteTable, error: TandemError) -> bool:
        """Keep the table in force, but for its switch: who wants no model's answers must get none."""
        held = self._current()
        _LOG.error("route table %d refused, %d stays in force: %s", table.generation, held.table.generation, error)
        self._refused = table.generation
        if table.fallback_only == held.table.fallback_only:
            return False
        self._put(msgspec.structs.replace(held.table, fallback_only=table.fallback_only), held.models)
        return True

    def _current(self) -> _InForce:
        if self._in_force is None:
            raise Unavailable("route table", "not_loaded")
        return self._in_force
