"""The policy file: what it says is taken at its word, and what it can't say is refused by name."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

import model_registry.policy
from model_registry.policy import AB, Canary, Policy, PolicyInvalid, Shadow, parse_policy, read_policy

SHIPPED = Path(model_registry.policy.__file__).parent / "policies" / "eta.yaml"


def test_the_shipped_policy() -> None:
    """Steps, durations and limits as they stand in the file, and the same again through JSON."""
    policy = read_policy(SHIPPED)
    assert [type(step) for step in policy.steps] == [Shadow, Canary, Canary, Canary, AB]
    assert (policy.interval, policy.progress_deadline) == (60, 48 * 3600)
    assert policy.steps[-1] == AB(weight=50, metric="abs_error_s", min_units=5000, max_for=21 * 86400, cuped=True)
    assert policy.approvals.before == ("ab",)
    assert msgspec.json.decode(msgspec.json.encode(policy), type=Policy) == policy


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("weight: 1,", "weigth: 1,", "weigth"),
        ("interval: 60s", "interval: 60", "interval: 60 is not a duration"),
        ("for: 30m, min_samples: 2000", "for: 30x, min_samples: 2000", r"steps\[0\]\.shadow\.for: '30x'"),
        ("weight: 5,", "weight: 1,", r"steps\[2\]\.weight: 1 is not above the 1 before it"),
        ("weight: 25,", "weight: 125,", "<= 100"),
        ("- shadow: {", "- shade: {", "shade"),
        ("max: 0.02, for", "max: .nan, for", "nan bounds nothing"),
        ("max: 0.02, for", "max: .inf, for", "inf bounds nothing"),
        ("max: 0.02, for", "max: 1, for", "can never"),
        ("max: 0.02, for", "min: 0.02, for", "fallback_rate takes `max`"),
        ("metric: fallback_rate", "metric: fall_rate", "unknown metric 'fall_rate', must be one of error_rate"),
        ("metric: fallback_rate", "metric: error_rate", "error_rate stands twice"),
        ("baseline: champion, ", "", "baseline"),
        ("sequential: true", "sequential: false", "sequential"),
        ("before: [ab]", "before: [abc]", "abc"),
        ("at_max_for: pause", "at_max_for: promote", "promote"),
        ("model: eta", "model: eta\nmodel: eta", "model: stands twice"),
        ("weight: 50, metric", "weight: 100, metric", "nobody to compare"),
        ("guardrails: ", "guardrails: []\nothers: ", "length >= 1|others"),
    ],
)
def test_what_is_not_understood_is_refused(old: str, new: str, message: str) -> None:
    """Each wrong word is named."""
    text = SHIPPED.read_text()
    assert old in text
    with pytest.raises(PolicyInvalid, match=message):
        parse_policy(text.replace(old, new))


@pytest.mark.parametrize("text", ["", "[]", "a: [", "model: eta", "steps: {}", "!!python/object:os.system {}"])
def test_what_is_no_policy_is_refused(text: str) -> None:
    """Empty, broken, partial and dangerous documents."""
    with pytest.raises(PolicyInvalid):
        parse_policy(text)


@pytest.mark.parametrize("depth", range(50, 2000, 150))
def test_a_nest_is_refused(depth: int) -> None:
    """However deep: no level of it is where the parser fails with something else."""
    for opens, closes in (("[", "]"), ('{"for": ', "}")):
        with pytest.raises(PolicyInvalid):
            parse_policy('{"model": ' + opens * depth + "1" + closes * depth + "}")


def test_a_missing_file_is_named() -> None:
    """The error says which file."""
    with pytest.raises(PolicyInvalid, match=r"nowhere\.yaml: No such file"):
        read_policy(Path("nowhere.yaml"))
