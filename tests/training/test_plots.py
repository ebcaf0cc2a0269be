"""Pictures are drawn from the figures as they come."""

from __future__ import annotations

import io

import numpy as np
from matplotlib.figure import Figure

from training.evaluate import Estimates, score, score_slices, slices
from training.plots import compare_models, error_by_slice, frontier, importances, predicted_against_actual


def test_every_picture_is_drawn() -> None:
    """Each is a PNG of its own, and no window opens."""
    rng = np.random.default_rng(0)
    actual = np.clip(rng.lognormal(6.4, 0.6, 500), 60, 7200)
    eta = actual * rng.lognormal(0, 0.2, 500)
    labels = slices(
        rng.choice(["Queens", "Bronx"], 500), rng.integers(0, 24, 500), rng.integers(0, 7, 500), actual / 300
    )
    table = score_slices(actual, Estimates(eta), labels)
    pictures: list[Figure] = [
        compare_models({"student": score(actual, eta), "pair median": score(actual, eta * 1.2)}),
        error_by_slice(table, table),
        predicted_against_actual(actual, eta),
        frontier(
            {
                "tree": {"holdout_mae_s": 240.0, "bytes": 1.4e6, "p50_us_1": 40.0, "p50_us_512": 3600.0},
                "net": {"holdout_mae_s": 241.0, "bytes": 8e4, "p50_us_1": 60.0, "p50_us_512": 360.0},
            },
            {1: "tree", 512: "net"},
            equal=0.005,
        ),
        importances(("a", "b"), np.array([3.0, 1.0]), "Gain"),
    ]
    for picture in pictures:
        image = io.BytesIO()
        picture.savefig(image, format="png")
        assert image.getvalue().startswith(b"\x89PNG")
