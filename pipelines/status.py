"""`tandem status`: what runs of a home's stack, which versions it serves, and where."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Any

import psutil

from adapters.state import State
from contracts.errors import NotFound
from contracts.routes import RouteTable
from pipelines.ask import answers
from pipelines.layout import MODEL
from pipelines.stack import Stack
from pipelines.stream_metrics import stream_status
from pipelines.supervisor import log_path
from serving.front import ready_replicas
from serving.settings import Settings


def status(home: Path) -> dict[str, Any]:
    """What runs, which version, at which addresses; `ok` where it answers."""
    stack = Stack(home)
    settings = stack.settings(os.environ)
    supervisor, record = stack.supervisor(), stack.read_record()
    answering = supervisor is not None and answers(f"{settings.url}/readyz")
    rows = {"supervisor": {"pid": None, "restarts": 0, "memory_mb": 0}}
    if supervisor:
        rows["supervisor"] |= {"pid": supervisor.pid, "memory_mb": _memory([supervisor])}
    for name, component in record.get("components", {}).items():
        rows[name] = {**component, "memory_mb": _memory(_tree(component["pid"]))}
    return {
        "ok": answering,
        "up": supervisor is not None,
        "ready": answering,
        "replicas": f"{ready_replicas(stack.sockets)} of {_number(settings)} ready",
        "route": _route(settings),
        "url": record.get("url", settings.url),
        "docs": f"{settings.url}/docs",
        "log": str(log_path(stack.run)),
        "stream": stream_status(stack.sockets, time.time()) if supervisor else {},
        "components": rows,
    }


def ready(stack: Stack, settings: Settings) -> bool:
    """Whether the replicas answer that there always are.

    The first question also waits out the front's own start, when it counts on all.
    """
    return answers(f"{settings.url}/readyz") and ready_replicas(stack.sockets) >= settings.fewest


def summary(stack: Stack, settings: Settings) -> dict[str, Any]:
    """Addresses, versions and how to stop."""
    return {
        "url": settings.url,
        "docs": f"{settings.url}/docs",
        "grpc": f"{settings.host}:{settings.grpc_port}",
        "route": _route(settings),
        "log": str(log_path(stack.run)),
        "stop": "make down, or: tandem down",
    }


def _number(settings: Settings) -> str:
    few, most = settings.fewest, settings.most
    return str(most) if few == most else f"{few} to {most}"


def _route(settings: Settings) -> str:
    if settings.state.startswith("sqlite") and not (settings.home / "state.db").exists():
        return ""
    try:
        table = routes(settings)
    except NotFound:
        return ""
    words = [f"champion {MODEL}@{table.champion}"]
    if table.candidate:
        words.append(f"canary {MODEL}@{table.candidate} at {table.candidate_percent:g} %")
    if table.shadow:
        words.append(f"shadow {MODEL}@{table.shadow}")
    if table.fallback_only:
        words.append("switched off by a flag")
    return ", ".join([*words, f"generation {table.generation}"])


def routes(settings: Settings) -> RouteTable:
    """The table in force; raises NotFound."""
    state = State(settings.state)
    try:
        return state.route_table(MODEL)
    finally:
        state.close()


def _tree(pid: int | None) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)] if pid else []
    except psutil.Error:
        return []


def _memory(processes: list[psutil.Process]) -> int:
    """The proportional shares of processes, in MB: what they share counts once."""
    total = 0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            total += process.memory_full_info().pss
    return total >> 20
