"""The net learns what is there to learn, and its graph says what it says."""

from __future__ import annotations

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from adapters.onnx_session import OnnxModel
from contracts.features import ETA_SCHEMA, OFFSET
from contracts.schema import Matrix
from tests.training.small_town import COLUMNS, SMALL_NET, WIDTH, draw_town, town_encoding
from training.encoding import LIMIT, columns_of
from training.net import Net, _gradient, _initial, fit_net, forward
from training.net_graph import NetHead, net_graph
from training.trees import Examples

HEAD = NetHead(low_margin=-0.02, high_margin=0.03, offset=COLUMNS.offset)


@pytest.fixture(scope="module")
def town() -> Examples:
    """Four thousand trips."""
    return draw_town(4000)


@pytest.fixture(scope="module")
def net(town: Examples) -> Net:
    """A net of the town."""
    return fit_net(town, town_encoding(town), SMALL_NET, seed=1)


@pytest.fixture(scope="module")
def served(net: Net) -> OnnxModel:
    """The net as it is served."""
    return OnnxModel(net_graph(net, WIDTH, HEAD))


def awkward(matrix: Matrix, seed: int = 3) -> Matrix:
    """Rows with NaN in every entry but the reference, absurd numbers, and places that are none."""
    rng = np.random.default_rng(seed)
    rows = matrix.copy()
    rows[rng.random(rows.shape) < 0.2] = np.nan
    rows[rng.random(rows.shape) < 0.05] = 1e6
    rows[rng.random(rows.shape) < 0.05] = -180.0
    rows[:, COLUMNS.offset] = matrix[:, COLUMNS.offset]
    return rows


def test_it_learns_places_hours_and_what_absence_means(net: Net, town: Examples) -> None:
    """On trips it has not seen it comes near the noise, and 80 % lie between its ends without any calibration."""
    fresh = draw_town(4000, seed=9)
    eta_s, low_s, high_s = NetHead(0.0, 0.0, COLUMNS.offset).seconds(net.raw(fresh.matrix), fresh.matrix)
    off = np.abs(np.log(eta_s / fresh.duration_s)).mean()
    assert off < 1.25 * 0.15 * np.sqrt(2 / np.pi)
    assert 0.72 < ((fresh.duration_s >= low_s) & (fresh.duration_s <= high_s)).mean() < 0.88


def test_the_graph_says_what_the_net_says(net: Net, served: OnnxModel, town: Examples) -> None:
    """On rows as they come and on awkward ones; nothing is NaN, and 60 s <= low <= eta <= high <= 7200 s."""
    for rows in (town.matrix, awkward(town.matrix)):
        answers = served.run(rows)
        for ours, theirs in zip(HEAD.seconds(net.raw(rows), rows), answers, strict=True):
            np.testing.assert_allclose(theirs, ours, atol=0.05)
        eta_s, low_s, high_s = answers
        assert (low_s <= eta_s).all()
        assert (eta_s <= high_s).all()
        assert low_s.min() >= 60.0
        assert high_s.max() <= 7200.0


def test_one_row_and_none(served: OnnxModel, town: Examples) -> None:
    """The batch size is free."""
    whole, _, _ = served.run(town.matrix)
    one, _, _ = served.run(town.matrix[:1])
    assert one[0] == pytest.approx(whole[0], abs=0.01)
    assert served.run(town.matrix[:0])[0].shape == (0,)


def test_same_rows_and_seed_give_the_same_bytes(town: Examples, net: Net) -> None:
    """And another seed gives another net."""
    encoding = town_encoding(town)
    again, other = (fit_net(town, encoding, SMALL_NET, seed=seed) for seed in (1, 2))
    assert net_graph(again, WIDTH, HEAD) == net_graph(net, WIDTH, HEAD)
    assert net_graph(other, WIDTH, HEAD) != net_graph(net, WIDTH, HEAD)


def test_the_machine_s_threads_change_nothing(town: Examples, net: Net) -> None:
    """Sums over two threads round otherwise: the trainer does not let them."""
    with threadpool_limits(2, user_api="blas"):
        again = fit_net(town, town_encoding(town), SMALL_NET, seed=1)
    assert net_graph(again, WIDTH, HEAD) == net_graph(net, WIDTH, HEAD)


def test_the_gradient_is_the_loss_s_slope(town: Examples) -> None:
    """Against differences of the loss, in float64, in some entries of every weight."""
    encoding = town_encoding(town)
    rows, target = encoding.encode(town.matrix[:64]), np.log(town.duration_s[:64]) - 6.4
    rng = np.random.default_rng(0)
    weights = {k: v.astype(np.float64) for k, v in _initial(encoding, SMALL_NET, target, rng).items()}

    def loss() -> float:
        below = target[:, None] - forward(weights, rows)[-1]  # type: ignore[arg-type]
        pinball = np.maximum(np.array([0.5, 0.1, 0.9]) * below, (np.array([0.5, 0.1, 0.9]) - 1) * below)
        return float((pinball * [2.0, 0.5, 0.5]).sum(axis=1).mean())

    slopes = _gradient(weights, rows, target)  # type: ignore[arg-type]
    assert set(slopes) == set(weights)
    for name, weight in weights.items():
        for cell in rng.integers(weight.size, size=12):
            before = weight.flat[cell]
            ends = []
            for way in (1e-7, -1e-7):
                weight.flat[cell] = before + way
                ends.append(loss())
            weight.flat[cell] = before
            assert slopes[name].flat[cell] == pytest.approx((ends[0] - ends[1]) / 2e-7, abs=1e-5), name


def test_an_encoded_row_is_bounded(town: Examples) -> None:
    """Whatever stands in the vector, no entry is NaN or beyond the limit; absence has its mark."""
    encoding = town_encoding(town)
    rows = encoding.encode(awkward(town.matrix))
    assert np.abs(rows.dense).max() <= LIMIT
    assert rows.dense.shape[1] == encoding.width == WIDTH + 1 + 3
    assert rows.hour_of_week.max() < 168
    marks = encoding.encode(town.matrix).dense[:, -3:]
    np.testing.assert_array_equal(marks, np.isnan(town.matrix[:, 6:9]))


def test_the_served_schema_is_understood() -> None:
    """Weights and counts are counts, the places are pickup and dropoff."""
    columns, names = columns_of(ETA_SCHEMA, offset=OFFSET), ETA_SCHEMA.names
    assert [names[i] for i in columns.counts] == ["pair_weight", "reverse_weight", "part_weight", "city_count_60m"]
    assert [names[i] for pair in columns.places for i in pair] == [
        "pickup_lat",
        "pickup_lon",
        "dropoff_lat",
        "dropoff_lon",
    ]
    assert columns.clock == (names.index("hour"), names.index("weekday"))
