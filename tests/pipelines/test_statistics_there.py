"""No trip is compared with statistics that are not there yet."""

from __future__ import annotations

from pathlib import Path

from pipelines.statistics_there import StatisticsThere
from tests.fakes import FakeClock


class Store:
    """An online store, as far as it is asked."""

    there = False

    def filled(self) -> bool:
        """Whether it is."""
        return self.there


def test_who_has_tables_waits_for_the_store_and_asks_after_a_minute(tmp_path: Path) -> None:
    """Once a minute; and no more when it is filled. Without tables nobody waits."""
    asked, store, clock = list[int](), Store(), FakeClock()
    there = StatisticsThere(tmp_path / "features", store, lambda: asked.append(1), clock)  # type: ignore[arg-type]
    assert there()
    (tmp_path / "features").mkdir()
    for seconds, asks in ((0, 0), (59, 0), (60, 1), (61, 1), (119, 1), (120, 2)):
        clock.seconds = 1000.0 + seconds
        assert not there()
        assert len(asked) == asks
    store.there = True
    assert there()
    store.there, clock.seconds = False, 2000.0
    assert not there()
    assert len(asked) == 2
