"""The judge on simulated rollouts: false rollbacks, times to detect, coverage, power. Prints JSON; one core, minutes.

`python -m bench.rollouts aa --runs 1000 --rate 5`
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from bench.simulated_arms import Arms, Truth, shifted
from model_registry.lifecycle import STEPPING, Phase
from model_registry.policy import Approvals, Policy, read_policy
from model_registry.rollout import Rollout, step
from model_registry.stats import sequential_srm_p_value

POLICY = Path(__file__).parent.parent / "model_registry" / "policies" / "eta.yaml"
START = 1_700_000_000.0
# The fault inside the candidate's model: latency + 200 ms on 3 % of calls is a p99 of some 230 ms.
FAULTS: dict[str, dict[str, float]] = {
    "latency": {"p99_ms": 230.0, "model_p99_ms": 220.0},
    "errors 2 %": {"error": 0.02},
    "all errors": {"error": 1.0},
    "mae + 10 %": {"mae_s": 198.0},
    "fallbacks 4 %": {"fallback": 0.04},
}


def policy_without_gates() -> Policy:
    """The shipped policy; nobody is there to approve."""
    return msgspec.structs.replace(read_policy(POLICY), approvals=Approvals())


def begin(policy: Policy) -> Rollout:
    """A rollout of version 2 at time START."""
    return Rollout("eta-1", "eta", 1, 2, "", policy, START, START, START)


def run(policy: Policy, arms: Arms, until_s: float = 30 * 86400) -> tuple[Rollout, float]:
    """Drive one rollout to its end; returns it and the seconds it took."""
    rollout, now = begin(policy), START
    while rollout.active and now - START < until_s:
        rollout = step(rollout, arms.evidence(rollout, now), now).state
        if rollout.phase is Phase.PAUSED:
            break
        now += policy.interval
    return rollout, now - START


def same(runs: int, rate: float, seed: int, truth: Truth) -> dict[str, Any]:
    """A/A: two arms of one truth. Every rollback is false."""
    policy, ends, took, why = policy_without_gates(), Counter[str](), [], Counter[str]()
    for i in range(runs):
        rollout, seconds = run(policy, Arms(seed + i, rate, truth, truth))
        ends[rollout.phase] += 1
        took.append(seconds)
        if rollout.phase is Phase.ROLLED_BACK:
            why[rollout.reason.split(": ")[-1].split(" ")[0]] += 1
    return {
        "runs": runs,
        "rate": rate,
        "ends": dict(ends),
        "false_rollbacks": ends[Phase.ROLLED_BACK] / runs,
        "reasons": dict(why),
        "median_hours": round(float(np.median(took)) / 3600, 2),
    }


def faults(runs: int, rate: float, seed: int) -> dict[str, Any]:
    """Minutes from a fault at the start of the first canary step to the rollback."""
    policy = policy_without_gates()
    table: dict[str, Any] = {}
    for name, change in FAULTS.items():
        minutes, missed, exposed = [], 0, []
        for i in range(runs):
            arms = Arms(seed + i, rate, candidate=shifted(Truth(), **change))
            # Past the shadow, which would have seen it: the fault begins as the canary does.
            state = msgspec.structs.replace(begin(policy), phase=Phase.CANARY, step=1, since=START)
            now, served = START, 0.0
            while state.phase in STEPPING and now < START + 30 * 86400:
                now += policy.interval
                served += state.percent / 100 * policy.interval
                state = step(state, arms.evidence(state, now), now).state
            missed += state.phase is not Phase.ROLLING_BACK
            minutes.append((now - START) / 60)
            exposed.append(100 * served / (now - START))
        table[name] = {
            "rolled_back": runs - missed,
            "runs": runs,
            "minutes_p50": float(np.median(minutes)),
            "minutes_p95": float(np.quantile(minutes, 0.95)),
            "exposed_percent": round(float(np.median(exposed)), 2),
        }
    return {"rate": rate, "faults": table}


def coverage(runs: int, looks: int, seed: int) -> dict[str, Any]:
    """Share of runs whose interval covers the true difference at every look, one after each unit an arm."""
    rng = np.random.default_rng(seed)
    missed = np.zeros(runs, dtype=bool)
    n = np.arange(1, looks + 1, dtype=np.float64)
    # What `sequential_interval` computes, for all looks at once; a test holds the two together.
    alpha, tuning = 0.05, 5000.0
    rho2 = (-2 * np.log(alpha) + np.log(-2 * np.log(alpha) + 1)) / tuning
    grown = 2 * n * rho2 + 1
    width = np.sqrt(2 * n) * np.sqrt(2 * grown / ((2 * n) ** 2 * rho2) * np.log(np.sqrt(grown) / alpha))
    for i in range(runs):
        a, b = rng.exponential(1.0, looks), rng.exponential(1.0, looks)
        mean_a, mean_b = np.cumsum(a) / n, np.cumsum(b) / n
        var_a, var_b = np.cumsum(a * a) / n - mean_a**2, np.cumsum(b * b) / n - mean_b**2
        se = np.sqrt(np.maximum(var_a + var_b, 0.0) / np.maximum(n - 1, 1))
        missed[i] = bool(np.any((np.abs(mean_b - mean_a) > width * se)[9:]))  # from 10 units an arm on
    return {"runs": runs, "looks": looks - 9, "coverage": 1 - float(missed.mean())}


def srm(runs: int, seed: int, per_look: int = 100, units: int = 20_000) -> dict[str, Any]:
    """The sequential SRM test, looked at every `per_look` units: alarms at 50:50, and at 48:52 by 20,000 units."""
    rng = np.random.default_rng(seed)
    out: dict[str, Any] = {"runs": runs, "units_a_look": per_look}
    for name, share, total in (("50:50", 0.5, 10 * units), ("48:52", 0.48, units)):
        found = Counter[float]()
        for _ in range(runs):
            a = np.cumsum(rng.binomial(per_look, share, total // per_look))
            seen = per_look * np.arange(1, a.size + 1)
            lowest = min(sequential_srm_p_value((x, m - x), (0.5, 0.5)) for x, m in zip(a, seen, strict=True))
            for limit in (0.01, 0.001):
                found[limit] += lowest < limit
        out[name] = {"units": total, **{f"alarms_at_{limit}": found[limit] / runs for limit in (0.01, 0.001)}}
    return out


def main(arguments: list[str]) -> int:
    """Run one study."""
    parser = argparse.ArgumentParser(prog="python -m bench.rollouts", description=__doc__)
    parser.add_argument("study", choices=["aa", "limit", "faults", "coverage", "srm"])
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=5.0, help="requests per second (default: %(default)s)")
    parser.add_argument("--looks", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    a = parser.parse_args(arguments)
    begun = time.monotonic()
    result = {
        "aa": lambda: same(a.runs, a.rate, a.seed, Truth()),
        "limit": lambda: same(a.runs, a.rate, a.seed, Truth(0.005, 0.02, 150.0, 60.0)),
        "faults": lambda: faults(a.runs, a.rate, a.seed),
        "coverage": lambda: coverage(a.runs, a.looks, a.seed),
        "srm": lambda: srm(a.runs, a.seed),
    }[a.study]()
    print(json.dumps({**result, "seconds": round(time.monotonic() - begun, 1)}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
