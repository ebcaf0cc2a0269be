"""What is counted is what is shown, in a text that Prometheus' own parser reads."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from serving.call import Call
from serving.exposition import labelled, render
from serving.metric_cells import MOST_SERIES, Cells, Family, Series
from serving.telemetry import SECONDS, Telemetry


def shown(text: bytes) -> dict[tuple[str, ...], float]:
    """Samples by name and `label=value`, sorted."""
    return {
        (sample.name, *(f"{k}={v}" for k, v in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def test_the_service_levels_are_bounds() -> None:
    """150 ms and 60 ms are counted, not interpolated, and a warm request is told from a cold one."""
    assert {0.15, 0.06} <= set(SECONDS)
    assert sum(bound < 0.001 for bound in SECONDS) >= 5
    assert list(SECONDS) == sorted(SECONDS)


def test_every_count_is_shown() -> None:
    """Each method's count stands in the text, by its labels."""
    telemetry = Telemetry()
    telemetry.finished("/v1/eta", 200, 0.06)
    telemetry.finished("/v1/eta", "200", 9.0)
    telemetry.called(Call(model_s=0.0002, features_s=0.05, arm="canary"))
    telemetry.estimated("eta@1", "canary", "fallback", "model_error", 3)
    telemetry.turned_away("concurrency_limit")
    telemetry.refused("hash")
    telemetry.watch_each("tandem_age_seconds", "Ages", ("quantile",), lambda: {("0.5",): 2.0, ("1.0",): 9.0})
    telemetry.watch("tandem_rows", "Rows", lambda: 7)
    telemetry.watch("tandem_logged_total", "Logged", lambda: 8)
    text, content_type = telemetry.exposition()
    found = shown(text)
    assert content_type.startswith(b"text/plain; version=")
    assert found["tandem_requests_total", "route=/v1/eta", "status=200"] == 2
    assert found["tandem_request_duration_seconds_bucket", "le=0.03", "route=/v1/eta"] == 0
    assert found["tandem_request_duration_seconds_bucket", "le=0.06", "route=/v1/eta"] == 1
    assert found["tandem_request_duration_seconds_bucket", "le=+Inf", "route=/v1/eta"] == 2
    assert found["tandem_request_duration_seconds_count", "route=/v1/eta"] == 2
    assert found["tandem_request_duration_seconds_sum", "route=/v1/eta"] == 9.06
    assert found["tandem_model_seconds_bucket", "arm=canary", "le=0.0002"] == 1
    assert found["tandem_arm_seconds_count", "arm=canary"] == 1
    assert found["tandem_features_seconds_sum",] == 0.05
    assert found["tandem_estimates_total", "arm=canary", "model=eta@1", "reason=model_error", "source=fallback"] == 3
    assert found["tandem_turned_away_total", "reason=concurrency_limit"] == 1
    assert found["tandem_artifacts_refused_total", "check=hash"] == 1
    assert found["tandem_age_seconds", "quantile=1.0"] == 9
    assert found["tandem_rows",] == 7
    kinds = {family.name: family.type for family in text_string_to_metric_families(text.decode())}
    assert (kinds["tandem_logged"], kinds["tandem_rows"]) == ("counter", "gauge")


@given(st.lists(st.floats(0, 10), max_size=50))
def test_buckets_hold_what_is_at_most_their_bound(seconds: list[float]) -> None:
    """A bucket's count is that of the observations up to its bound, the bound included."""
    telemetry = Telemetry()
    for one in seconds:
        telemetry.finished("/", 200, one)
    found = shown(telemetry.exposition()[0])
    for bound in SECONDS if seconds else ():
        assert found["tandem_request_duration_seconds_bucket", f"le={bound}", "route=/"] == sum(
            one <= bound for one in seconds
        )
    total = found.get(("tandem_request_duration_seconds_sum", "route=/"), 0.0)
    assert math.isclose(total, sum(seconds), abs_tol=1e-9)


def test_made_up_labels_share_a_series() -> None:
    """A caller who makes labels up does not fill the memory."""
    cells = Cells("x_total", "x", ("name",))
    for i in range(MOST_SERIES + 100):
        cells.cell(str(i))[0] += 1
    series = cells.family().series
    assert len(series) == MOST_SERIES + 1
    assert series[-1] == Series(("other",), [100.0])


@given(st.text(max_size=30))
def test_any_label_can_be_read_back(value: str) -> None:
    """Quotes, backslashes and line ends are escaped as Prometheus wants them."""
    family = Family("x_total", 'says "x" \\ y', "counter", ("name",), (), [Series((value,), [1.0])])
    value = value.replace("\r", "?")  # the parser splits there, though the format does not
    family = Family(family.name, family.words, "counter", ("name",), (), [Series((value,), [1.0])])
    [found] = text_string_to_metric_families(render([family]).decode())
    assert found.samples[0].labels == {"name": value}


def test_replicas_are_told_apart() -> None:
    """Each series carries its replica; one of another release does not break the text of this."""

    def family(count: float, *labels: str) -> Family:
        return Family("x_total", "x", "counter", labels, (), [Series(labels, [count])])

    joined = labelled({"0": [family(1.0, "a")], "1": [family(2.0, "a")], "2": [family(3.0)]})
    assert shown(render(joined)) == {("x_total", "a=a", "replica=0"): 1.0, ("x_total", "a=a", "replica=1"): 2.0}
