"""Golden rows probe more than the everyday."""

from __future__ import annotations

import numpy as np

from contracts.schema import Feature, FeatureSchema
from tests.training.small_world import OFFSET, Exported
from training.golden import golden_rows
from training.trees import Examples


def test_golden_rows_are_real_rows_absent_entries_and_bounds(exported: Exported, examples: Examples) -> None:
    """Entries go absent only where the schema allows it; the answers are the model's; the same seed, the same rows."""
    features = (Feature(str(i), -5.0, 25.0, nullable=i in {5, 8}) for i in range(examples.matrix.shape[1]))
    schema = FeatureSchema("small", tuple(features))
    golden = golden_rows(exported.model, examples.matrix, schema, rows=256, seed=0)
    rows = golden.matrix
    assert rows.shape == (256, 10)
    assert np.isnan(rows[:, [5, 8]]).all(axis=1).any()
    assert not np.isnan(np.delete(rows, [5, 8], axis=1)).any()
    assert (rows[:, OFFSET] == -5.0).any()
    assert (rows[:, OFFSET] == 25.0).any()
    real = {row.tobytes() for row in examples.matrix}
    assert sum(row.tobytes() in real for row in rows) >= 128
    np.testing.assert_array_equal(golden.eta_s, exported.model.run(rows)[0])
    again = golden_rows(exported.model, examples.matrix, schema, rows=256, seed=0)
    np.testing.assert_array_equal(again.matrix, rows)
