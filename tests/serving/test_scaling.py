"""How many replicas there should be, from what each of them says."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray.serve.config import AutoscalingConfig, AutoscalingPolicy

from serving.app import _numbers
from serving.front import slots
from serving.scaling import UTILISATION, LoadMeter, UtilisationPolicy
from serving.settings import BadSetting, Settings, load_settings


@dataclass
class Seen:
    """What Serve would tell the policy."""

    current_num_replicas: int
    target_num_replicas: int
    aggregated_metrics: dict[str, dict[str, float]] = field(default_factory=dict)


def busy(*utilisations: float) -> dict[str, dict[str, float]]:
    """Reports of as many replicas."""
    return {UTILISATION: {str(i): one for i, one in enumerate(utilisations)}}


@pytest.mark.parametrize(
    ("running", "reported", "wanted"),
    [
        (1, (0.3,), 1),
        (1, (0.9,), 2),
        (2, (1.0, 1.0), 4),
        (4, (0.1, 0.1, 0.1, 0.1), 1),
        (2, (0.6, 0.6), 2),
        (3, (0.9, 0.9), 5),  # the third has not said anything yet
    ],
)
def test_busy_replicas_want_help(running: int, reported: tuple[float, ...], wanted: int) -> None:
    """As many as would each be busy for six tenths of the time."""
    decision, _ = UtilisationPolicy(0.6)(Seen(running, running, busy(*reported)))
    assert math.ceil(decision - 1e-9) == wanted


def test_no_report_changes_nothing() -> None:
    """Where nobody has said anything there should be as many as before."""
    assert UtilisationPolicy(0.6)(Seen(0, 2)) == (2.0, {})
    assert UtilisationPolicy(0.6)(Seen(1, 3, {UTILISATION: {}})) == (3.0, {})


@given(st.lists(st.floats(0, 4), min_size=1, max_size=8), st.floats(0.05, 0.95), st.floats(0, 1))
def test_more_load_never_wants_fewer(reported: list[float], target: float, more: float) -> None:
    """The wish grows with what any of them reports."""
    policy, running = UtilisationPolicy(target), len(reported)
    less, _ = policy(Seen(running, running, busy(*reported)))
    higher, _ = policy(Seen(running, running, busy(*[one + more for one in reported])))
    assert higher >= less - 1e-9


def test_load_is_busy_seconds_a_second() -> None:
    """The greater of processor time and of what requests held the loop; each sample starts anew."""
    meter = LoadMeter(at=100.0, cpu_s=5.0, held_s=1.0)
    assert meter.sample(102.0, 6.0, 1.2) == pytest.approx(0.5)
    assert meter.sample(104.0, 6.1, 3.0) == pytest.approx(0.9)  # somebody else had the processor
    assert meter.sample(106.0, 6.1, 3.0) == 0.0


def test_the_number_is_fixed_unless_it_may_change() -> None:
    """By default there are as many as TANDEM_REPLICAS says; with bounds Serve's autoscaler gets our policy."""
    assert _numbers(Settings(replicas=3)) == {"num_replicas": 3}
    assert slots(Settings(replicas=3)) == 8
    settings = load_settings({"TANDEM_MIN_REPLICAS": "1", "TANDEM_MAX_REPLICAS": "4"})
    assert (settings.fewest, settings.replicas, settings.most, slots(settings)) == (1, 2, 4, 10)
    scaling = _numbers(settings)["autoscaling_config"]
    assert isinstance(scaling, AutoscalingConfig)
    assert (scaling.min_replicas, scaling.initial_replicas, scaling.max_replicas) == (1, 2, 4)
    assert isinstance(scaling.policy, AutoscalingPolicy)
    policy = scaling.policy.get_policy()(**scaling.policy.policy_kwargs)  # as the controller makes it
    assert policy(Seen(2, 2, busy(1.2, 1.2)))[0] == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("variable", "value", "limit"),
    [("MIN_REPLICAS", "3", "at most TANDEM_REPLICAS=2"), ("MAX_REPLICAS", "1", "at least TANDEM_REPLICAS=2")],
)
def test_bounds_hold_the_first_number(variable: str, value: str, limit: str) -> None:
    """The error names the variable, its value, and what it contradicts."""
    with pytest.raises(BadSetting, match=f"TANDEM_{variable}='{value}': must be {limit}"):
        load_settings({f"TANDEM_{variable}": value})
