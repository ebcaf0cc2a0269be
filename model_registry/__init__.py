"""Versions, transitions and the rollout judge."""
