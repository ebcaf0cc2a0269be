"""What each process of a stack is, by its title or command."""

from __future__ import annotations

import re
from collections.abc import Sequence

import psutil

REPLICA = "replica"
# The first pattern found in the command says the name.
_NAMES = (
    (r"gcs_server", "Ray GCS"),
    (r"raylet/raylet", "raylet"),  # its arguments hold the agents' commands
    (r"ray::.*ServeReplica|ray::OnlineReplica", REPLICA),
    (r"ray::.*Controller", "Serve controller"),
    (r"ray::.*(Proxy|HAProxy)", "Serve proxy"),
    (r"(?i)runtime.?env.?agent", "Ray runtime env agent"),
    (r"(?i)dashboard.?agent", "Ray agent"),
    (r"ray::IDLE", "Ray idle worker"),
    (r"ray::", "Ray worker"),
    (r"haproxy", "HAProxy"),
    (r"valkey|redis-server", "Valkey"),
    (r"dashboard", "Ray dashboard"),
    (r"log_monitor", "Ray log monitor"),
    (r"serving\.app", "application (driver)"),
    (r"pipelines\.stack", "supervisor"),
    (r"pipelines\.predictions", "log compaction"),
    (r"pipelines\.controller", "rollouts"),
    (r"pipelines\.stream", "stream consumer"),
    (r"default_worker|setup_worker", "Ray worker"),
    (r"resource_tracker", "resource tracker"),
)


def name_of(process: psutil.Process) -> str:
    """Name a running process."""
    try:
        return named(process.cmdline() or [process.name()])
    except psutil.Error:
        return "ended"


def named(command: Sequence[str]) -> str:
    """Name a process by its command."""
    words = " ".join(command)
    return next((name for pattern, name in _NAMES if re.search(pattern, words)), words.rpartition("/")[2][:60])
