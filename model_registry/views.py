"""Rollouts, flags and the journal as people and programs read them: plain values, times in RFC 3339."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from adapters.ledger import Record
from adapters.tokens import Token
from model_registry.flags import Flags
from model_registry.policy import Shadow
from model_registry.rollout import Rollout


def rollout_view(rollout: Rollout, now: float) -> dict[str, Any]:
    """Where a rollout stands and why; each guardrail with its last verdict and since when it fails."""
    present, policy = rollout.present, rollout.policy
    return {
        "id": rollout.id,
        "model": rollout.model,
        "phase": str(rollout.phase),
        "active": rollout.active,
        "step": f"{rollout.step + 1} of {len(policy.steps)}",
        "champion": rollout.champion,
        "candidate": rollout.candidate,
        "weight": rollout.percent if rollout.active else 0.0,
        "shadow": present.percent if rollout.active and isinstance(present, Shadow) else 0.0,
        "reason": rollout.reason,
        "samples": rollout.samples,
        "entered_at": timestamp(rollout.entered_at),
        "since": timestamp(rollout.since),
        "for_s": round(max(now - rollout.since, 0.0), 3),
        "progress_at": timestamp(rollout.progress_at),
        "revision": rollout.revision,
        "guardrails": [
            {
                "guardrail": verdict.guardrail,
                "verdict": str(verdict.outcome),
                "failing_s": round(now - rollout.failing[verdict.guardrail], 3)
                if verdict.guardrail in rollout.failing
                else None,
                "reason": verdict.reason,
            }
            for verdict in rollout.verdicts
        ],
    }


def flags_view(flags: Flags, models: tuple[str, ...]) -> dict[str, Any]:
    """Every flag by name, and how often one was set."""
    listed = {name: on for model in models for name, on in flags.listed(model).items()}
    return {"flags": listed, "revision": flags.revision}


def token_view(token: Token, now: float) -> dict[str, Any]:
    """A token without its hash."""
    return {
        "name": token.name,
        "role": token.role,
        "created_at": timestamp(token.created_at),
        "created_by": token.created_by,
        "until": timestamp(token.until),
        "valid": token.valid(now),
    }


def record_view(record: Record) -> dict[str, Any]:
    """One entry of the journal with its place in the chain."""
    entry = record.entry
    return {
        "seq": record.seq,
        "at": timestamp(entry.at),
        "actor": entry.actor,
        "action": entry.action,
        "subject": entry.subject,
        "reason": entry.reason,
        "evidence": msgspec.json.decode(entry.evidence),
        "hash": record.hash,
    }


def timestamp(seconds: float) -> str:
    """RFC 3339 in UTC, to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
