"""The read-out says the same in text, JSON and HTML, and says first what makes it unfit."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import msgspec
import numpy as np
import pytest

from model_registry.experiment import compare, moments
from model_registry.read_out import ReadOut, as_html, as_text, verdict
from model_registry.stats import Estimate


def read_out(n: int = 20_000, lost: int = 0) -> ReadOut:
    """Errors that fell by 3 %, a conversion that rose and a latency that did not move."""
    rng = np.random.default_rng(1)

    def arm(mean: float, size: int) -> msgspec.Struct:
        return moments(rng.gamma(4, mean / 4, size))

    effects = {
        "abs_error_s": compare(arm(200, n), arm(194, n - lost)),
        "conversion": compare(arm(0.6, n), arm(0.62, n - lost)),
        "latency_ms": compare(arm(20, n), arm(20, n - lost)),
    }
    by = {"abs_error_s": {"within hours and boroughs": Estimate(-5.8, 1.0)}}
    return ReadOut("eta-3 <A/B>", "eta@7", "eta@8", effects, by)


def test_verdicts_know_which_way_is_better() -> None:
    """Lower errors and higher conversion are better; what the interval does not tell is undecided."""
    effects = read_out().effects
    assert {m: verdict(m, e) for m, e in effects.items()} == {
        "abs_error_s": "better",
        "conversion": "better",
        "latency_ms": "undecided",
    }


def test_text_names_every_figure() -> None:
    """Difference, both intervals, units, variance left, and the estimate within strata."""
    text = as_text(read_out())
    for word in ("eta@8 against eta@7", "abs_error_s: better", "looking all the time", "20000 and 20000", "-5.8 ± 2"):
        assert word in text


def test_a_broken_split_is_said_first() -> None:
    """Units that went missing in an arm make the figures unfit, and the page says so on top."""
    assert read_out().alarms == []
    broken = read_out(lost=1000)
    assert len(broken.alarms) == 3
    assert "don't trust" in as_text(broken).splitlines()[1]
    assert as_html(broken).index('class="alarm"') < as_html(broken).index("<svg")


def test_the_page_is_safe_and_its_plot_well_formed() -> None:
    """Names are escaped, nothing is loaded from elsewhere, and the SVG parses."""
    page = as_html(read_out())
    assert "<A/B>" not in page
    assert "http" not in page
    svg = page[page.index("<svg") : page.index("</svg>") + 6]
    drawn = ET.fromstring(svg)  # noqa: S314 - our own text
    assert len(drawn.findall("circle")) == 3
    for line in drawn.findall("line"):
        assert all(0 <= float(line.attrib[end]) <= 720 for end in ("x1", "x2"))


def test_json_holds_all_of_it() -> None:
    """What is encoded has every effect's figures."""
    found = msgspec.json.decode(msgspec.json.encode(read_out()))
    assert found["effects"]["abs_error_s"]["units"] == [20_000, 20_000]
    assert found["effects"]["abs_error_s"]["diff"] == pytest.approx(-6, abs=4)
