"""The rollout policy: YAML in, one frozen typed object out. Whatever is not understood is refused by name."""

from __future__ import annotations

import math
import re
from collections.abc import Hashable
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
import yaml
from msgspec import Meta, Struct, field

from contracts.errors import InvalidInput
from contracts.roles import Role

Seconds = Annotated[float, Meta(gt=0)]
Percent = Annotated[float, Meta(gt=0, le=100)]
Count = Annotated[int, Meta(ge=1)]
Gate = Literal["shadow", "canary", "ab", "promote"]

PROPORTIONS: Final = ("error_rate", "fallback_rate")
QUANTILES: Final = ("latency_p99_ms", "model_p99_ms")
METRICS: Final = (*PROPORTIONS, *QUANTILES, "mae_ratio", "srm_p_value")
AB_METRICS: Final = ("abs_error_s", "latency_ms", "conversion", "cancellation")
DURATIONS: Final = ("for", "interval", "max_for", "progress_deadline")
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class PolicyInvalid(InvalidInput):
    """A policy says something that is not understood, or leaves out what must be said."""

    def __init__(self, where: str, problem: str) -> None:
        super().__init__("policy", f"{where}: {problem}" if where else problem)


class Shadow(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="shadow"):
    """Mirror traffic to the candidate; nobody gets its answers."""

    for_s: Seconds = field(name="for")
    min_samples: Count
    percent: Percent = 100.0


class Canary(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="canary"):
    """Serve `weight` per cent of the units with the candidate."""

    weight: Percent
    for_s: Seconds = field(name="for")
    min_samples: Count


class AB(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="ab"):
    """Split the units until the metric is decided, or `max_for` is over."""

    weight: Percent
    metric: Literal["abs_error_s", "latency_ms", "conversion", "cancellation"]
    min_units: Count
    max_for: Seconds
    cuped: bool = False


Step = Shadow | Canary | AB


class Hard(Struct, frozen=True, forbid_unknown_fields=True):
    """A bound whose proven breach acts at once."""

    max: float
    min_samples: Count


class Guardrail(Struct, frozen=True, forbid_unknown_fields=True):
    """What the candidate must not do; the metric names it. `for_s` is how long a Fail lasts before it acts."""

    metric: str
    max: float | None = None
    min: float | None = None
    for_s: float = field(name="for", default=0.0)
    min_samples: Count = 100
    min_labels: Count = 500
    baseline: Literal["champion"] | None = None
    sequential: bool = False
    hard: Hard | None = None


class Approvals(Struct, frozen=True, forbid_unknown_fields=True):
    """Steps that wait for a person."""

    before: tuple[Gate, ...] = ()
    role: Role = "operator"


class Decide(Struct, frozen=True, forbid_unknown_fields=True):
    """What ends the A/B step: non-inferior within a relative `margin`, or better by more than zero."""

    ab: Literal["non_inferior", "superior"] = "non_inferior"
    margin: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    at_max_for: Literal["pause", "rollback"] = "pause"


class Policy(Struct, frozen=True, forbid_unknown_fields=True):
    """Everything a rollout goes by; a copy travels with the rollout, whatever the file says later."""

    model: Annotated[str, Meta(min_length=1, max_length=63)]
    interval: Seconds
    steps: Annotated[tuple[Step, ...], Meta(min_length=1)]
    guardrails: Annotated[tuple[Guardrail, ...], Meta(min_length=1)]
    progress_deadline: Seconds
    approvals: Approvals = Approvals()
    decide: Decide = Decide()


def read_policy(path: Path) -> Policy:
    """Read a policy file; raises PolicyInvalid."""
    try:
        return parse_policy(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PolicyInvalid(str(path), error.strerror or "cannot be read") from error
    except UnicodeDecodeError as error:
        raise PolicyInvalid(str(path), f"is not UTF-8 (byte {error.start})") from error


def parse_policy(text: str) -> Policy:
    """Parse YAML; raises PolicyInvalid with the path of what is wrong."""
    try:
        return _parsed(text)
    except RecursionError:
        raise PolicyInvalid("", "is nested too deeply") from None


def _parsed(text: str) -> Policy:
    try:
        tree = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader that refuses repeated keys
    except (yaml.YAMLError, ValueError) as error:  # a number of thousands of digits is the latter
        raise PolicyInvalid("", str(error)) from error
    if not isinstance(tree, dict):
        raise PolicyInvalid("", f"is {type(tree).__name__}, must be a mapping")
    tree = _with_seconds(tree, "")
    steps = tree.get("steps")
    if isinstance(steps, list):
        tree["steps"] = [_tagged(step, f"steps[{i}]") for i, step in enumerate(steps)]
    try:
        policy = msgspec.convert(tree, Policy)
    except msgspec.ValidationError as error:
        raise PolicyInvalid("", str(error)) from error
    _check(policy)
    return policy


class _Loader(yaml.SafeLoader):  # type: ignore[misc] # PyYAML has no types
    """YAML's safe types; a key that stands twice in a mapping would silently undo the first."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002
        """Build a mapping, refusing a repeated key."""
        keys = [key.value for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise PolicyInvalid(str(key), "stands twice")
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep=deep)
        return mapping


def _with_seconds(tree: Any, where: str) -> Any:
    if isinstance(tree, list):
        return [_with_seconds(item, f"{where}[{i}]") for i, item in enumerate(tree)]
    if isinstance(tree, float) and not math.isfinite(tree):
        raise PolicyInvalid(where, f"{tree} bounds nothing")
    if not isinstance(tree, dict):
        return tree
    out: dict[Any, Any] = {}
    for key, value in tree.items():
        path = f"{where}.{key}" if where else str(key)
        out[key] = _seconds(value, path) if key in DURATIONS else _with_seconds(value, path)
    return out


def _seconds(value: Any, where: str) -> float:
    parts = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", value) if isinstance(value, str) else None
    if parts is None:
        raise PolicyInvalid(where, f"{value!r} is not a duration such as 90s, 30m, 48h or 21d")
    return float(parts[1]) * _UNITS[parts[2]]


def _tagged(step: Any, where: str) -> Any:
    if not isinstance(step, dict) or len(step) != 1 or not isinstance(next(iter(step.values())), dict):
        raise PolicyInvalid(where, "must be one of shadow, canary or ab, with its settings as a mapping")
    kind, settings = next(iter(step.items()))
    return {"kind": kind, **settings}


def _check(policy: Policy) -> None:
    seen: set[str] = set()
    for i, guardrail in enumerate(policy.guardrails):
        where = f"guardrails[{i}]"
        _check_guardrail(guardrail, where)
        if guardrail.metric in seen:
            raise PolicyInvalid(where, f"{guardrail.metric} stands twice")
        seen.add(guardrail.metric)
    weight = 0.0
    for i, step in enumerate(policy.steps):
        if i and isinstance(step, Shadow):
            raise PolicyInvalid(f"steps[{i}]", "shadow can only be the first step")
        if isinstance(step, AB) and i != len(policy.steps) - 1:
            raise PolicyInvalid(f"steps[{i}]", "ab can only be the last step")
        if not isinstance(step, Shadow):
            if step.weight <= weight:
                raise PolicyInvalid(f"steps[{i}].weight", f"{step.weight:g} is not above the {weight:g} before it")
            weight = step.weight
    if isinstance(policy.steps[-1], AB) and weight >= 100:  # noqa: PLR2004 - per cent
        raise PolicyInvalid("steps", "ab at weight 100 leaves nobody to compare with")


def _check_guardrail(guardrail: Guardrail, where: str) -> None:
    metric = guardrail.metric
    if metric not in METRICS:
        raise PolicyInvalid(where, f"unknown metric {metric!r}, must be one of {', '.join(METRICS)}")
    bound, other = ("min", "max") if metric == "srm_p_value" else ("max", "min")
    if getattr(guardrail, bound) is None or getattr(guardrail, other) is not None:
        raise PolicyInvalid(where, f"{metric} takes `{bound}`, and no `{other}`")
    if (metric == "mae_ratio") != (guardrail.baseline is not None):
        raise PolicyInvalid(where, "`baseline: champion` goes with mae_ratio, and only with it")
    if (metric == "srm_p_value") != guardrail.sequential:
        raise PolicyInvalid(where, "`sequential: true` goes with srm_p_value, and only with it")
    if guardrail.hard and metric not in (*PROPORTIONS, *QUANTILES):
        raise PolicyInvalid(f"{where}.hard", f"is for rates and latencies, not for {metric}")
    hard = guardrail.hard.max if guardrail.hard else None
    limits = [limit for limit in (guardrail.min, guardrail.max, hard) if limit is not None]
    share = metric in (*PROPORTIONS, "srm_p_value")
    for limit in limits:
        if limit < 0 or (share and limit >= 1) or (metric not in PROPORTIONS and limit == 0):
            raise PolicyInvalid(where, f"a bound of {limit:g} on {metric} can never, or must always, be broken")
