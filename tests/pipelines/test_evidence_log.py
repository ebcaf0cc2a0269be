"""The prediction log as it is followed: what is new, compacted, torn, late or left by the dead counts once."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from contracts.errors import Unavailable
from pipelines.compaction import compact
from pipelines.matured import SETTLE_S
from pipelines.partition_files import SEGMENTS
from tests.fakes import NOW
from tests.logged_arms import CUT_S, Arms, total, watched

EVERYTHING = 1 << 40
LATER = NOW + CUT_S + SETTLE_S


def test_looking_again_reads_what_is_new(arms: Arms, monkeypatch: pytest.MonkeyPatch) -> None:
    """An open segment from where it ended; a closed one that was read, and its Parquet, never again."""
    source, seen = arms.source(), []
    monkeypatch.setattr("pipelines.answered_rows.SegmentReader", watched(seen))
    for i in range(4):
        arms.answer(after_s=i)
        arms.log.flush()
        assert total(source.evidence(arms.rollout, NOW + 10), "champion").requests == i + 1
    assert len(seen) == 4
    arms.log.close()
    source.evidence(arms.rollout, NOW + 15)  # to its end, now that it has one
    compact(arms.predictions, keep_bytes=EVERYTHING)
    monkeypatch.setattr("pipelines.answered_rows.ParquetRows.read", None)
    assert total(source.evidence(arms.rollout, NOW + 20), "champion").requests == 4
    assert len(seen) == 4


def test_what_was_compacted_unread_is_read_from_parquet_once(arms: Arms) -> None:
    """A controller that was away: of one segment it had read a part, of another nothing."""
    source = arms.source()
    arms.answer(after_s=1)
    arms.log.flush()
    assert total(source.evidence(arms.rollout, NOW + 10), "champion").requests == 1
    arms.answer(after_s=2)
    arms.log.close()
    arms.log = arms.replica()
    arms.answer(after_s=3)
    arms.log.close()
    compact(arms.predictions, keep_bytes=EVERYTHING)
    arms.log = arms.replica()
    arms.answer(after_s=4)
    arms.log.flush()
    for _ in range(2):
        assert total(source.evidence(arms.rollout, NOW + 10), "champion").requests == 4
    assert source.evidence(arms.rollout, NOW + 10) == arms.source().evidence(arms.rollout, NOW + 10)


def test_the_unread_end_of_a_compacted_segment_is_read(arms: Arms) -> None:
    """The file's only segment was looked at while it grew; afterwards nothing is remembered of it."""
    source = arms.source()
    arms.answer(after_s=1)
    arms.log.flush()
    source.evidence(arms.rollout, NOW + 10)
    arms.answer(after_s=2)
    arms.log.close()
    compact(arms.predictions, keep_bytes=EVERYTHING)
    assert total(source.evidence(arms.rollout, NOW + 10), "champion").requests == 2
    assert source._step
    assert source._step.state.cursor.segments == {}


def test_a_file_of_an_older_release_is_left_alone(arms: Arms) -> None:
    """It does not say of which segments it is, and it is older than the rollout."""
    arms.answer()
    arms.log.close()
    compact(arms.predictions, keep_bytes=EVERYTHING)
    (path,) = arms.predictions.glob("parquet/*/*.parquet")
    table = pq.read_table(path, partitioning=None)
    kept = {name: value for name, value in table.schema.metadata.items() if name != SEGMENTS}
    pq.write_table(table.replace_schema_metadata(kept), path)
    assert arms.source().evidence(arms.rollout, NOW + 60).cells == ()


def test_a_compaction_in_its_midst_doubles_nothing(arms: Arms) -> None:
    """Parquet is there before its segments go."""
    source = arms.source()
    arms.answer()
    arms.log.close()
    (segment,) = arms.predictions.glob("*.log")
    whole = segment.read_bytes()
    assert total(source.evidence(arms.rollout, NOW + 10), "champion").requests == 1
    compact(arms.predictions, keep_bytes=EVERYTHING)
    segment.write_bytes(whole)
    for each in (source, arms.source()):
        assert total(each.evidence(arms.rollout, NOW + 10), "champion").requests == 1
    segment.unlink()
    assert total(source.evidence(arms.rollout, NOW + 10), "champion").requests == 1


def test_a_killed_replica_leaves_what_it_had_written(arms: Arms) -> None:
    """Its torn end is nothing, its next life goes on, and no count starts again."""
    source = arms.source()
    arms.answer(after_s=1)
    arms.answer(after_s=2)
    arms.log.flush()
    (segment,) = arms.predictions.glob("*.open")
    whole = segment.read_bytes()
    segment.write_bytes(whole[:-7])
    assert total(source.evidence(arms.rollout, NOW + 10), "champion").requests == 1
    arms.log = arms.replica()
    arms.answer(after_s=3)
    arms.log.flush()
    assert total(source.evidence(arms.rollout, NOW + 10), "champion").requests == 2


def test_a_half_written_record_is_read_when_it_is_whole(arms: Arms) -> None:
    """Whoever looks while a replica writes goes on at the record's beginning."""
    source = arms.source()
    arms.answer(after_s=1)
    arms.log.flush()
    (segment,) = arms.predictions.glob("*.open")
    whole = segment.read_bytes()
    segment.write_bytes(whole[:-7])
    assert total(source.evidence(arms.rollout, NOW + 10), "champion").requests == 0
    segment.write_bytes(whole)
    assert total(source.evidence(arms.rollout, NOW + 10), "champion").requests == 1


def test_a_late_record_is_counted_in_its_minute(arms: Arms) -> None:
    """A disk that took nothing for minutes."""
    source = arms.source()
    arms.answer(after_s=200)
    arms.log.flush()
    source.evidence(arms.rollout, NOW + 240)
    arms.answer(after_s=10)
    arms.log.flush()
    assert [cell.at for cell in source.evidence(arms.rollout, NOW + 300).cells] == [NOW, NOW + 180]


def test_damaged_parquet_is_named(arms: Arms) -> None:
    """Evidence with a hole in it is none."""
    arms.answer()
    arms.log.close()
    compact(arms.predictions, keep_bytes=EVERYTHING)
    (path,) = arms.predictions.glob("parquet/*/*.parquet")
    path.write_bytes(b"PAR1 no more")
    with pytest.raises(Unavailable, match=path.name):
        arms.source().evidence(arms.rollout, NOW + 60)
