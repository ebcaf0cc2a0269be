"""A port that is free now."""

from __future__ import annotations

import socket


def free_port() -> int:
    """Ask the kernel for a loopback port; the caller must take it soon."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
