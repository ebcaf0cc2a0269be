"""The front: an HAProxy that knows every replica socket there can be and asks each whether it is ready."""

from __future__ import annotations

import csv
import os
import socket
from http import HTTPStatus
from pathlib import Path
from typing import Final

from contracts.messages import MAX_BODY_BYTES
from serving.admin_api import PEER
from serving.listener import admin_path, grpc_path, socket_path
from serving.placement import front_cpu
from serving.problems import encode_problem
from serving.settings import Settings

METRICS_PATH: Final = "/metrics/front"
ADMIN_PATHS: Final = ("/v1/rollouts", "/v1/flags", "/v1/tokens")
_METHODS: Final = "GET HEAD POST PUT DELETE PATCH OPTIONS"  # a replica says what each route takes; it parses no others
_ERRORS: Final = {
    400: "the request is not HTTP",
    408: "the request did not arrive in time",
    500: "the front failed",
    502: "the replica's answer is not HTTP",
    503: "no replica is ready",
    504: "no replica answered in time",
}


def slots(settings: Settings) -> int:
    """How many replica sockets there are: a rolling update may hold the old and the new ones at a time."""
    return 2 * settings.most + 2


def error_pages() -> dict[str, bytes]:
    """Whole HTTP answers (and the bodies of a 405 and a 413) by file name, for what HAProxy has to say itself."""
    pages = {f"{status}.http": _page(status, detail) for status, detail in _ERRORS.items()}
    pages["admin-503.http"] = _page(503, "the process of the rollouts is not up; `tandem status` tells of it")
    pages["405.json"] = encode_problem(405, f"the method is none of {', '.join(_METHODS.split())}")
    pages["413.json"] = encode_problem(413, f"the body is over the limit, at most {MAX_BODY_BYTES} bytes are read")
    return pages


def _page(status: int, detail: str) -> bytes:
    body = encode_problem(status, detail)
    head = [
        f"HTTP/1.0 {status} {HTTPStatus(status).phrase}",
        "content-type: application/problem+json",
        f"content-length: {len(body)}",
        "cache-control: no-cache",
        "connection: close",
    ]
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        head.append("retry-after: 1")
    return "\r\n".join([*head, "", ""]).encode() + body


def ready_replicas(sockets: Path) -> int:
    """How many replicas the front sends requests to; 0 where there is no front."""
    with socket.socket(socket.AF_UNIX) as front:
        front.settimeout(1.0)
        try:
            front.connect(str(_control_socket(sockets)))
            front.sendall(b"show stat\n")
            table = b"".join(iter(lambda: front.recv(65536), b"")).decode()
        except OSError:
            return 0
    rows = csv.DictReader(table.removeprefix("# ").splitlines())
    return sum(row["svname"].startswith("replica-") and row["status"].startswith("UP") for row in rows)


def haproxy_config(settings: Settings, sockets: Path, pages: Path) -> str:
    """The configuration file.

    A request is sent once more where its replica died before it said a word: every POST here may be repeated, since an
    estimate or a matching changes nothing, a repeated outcome counts once and a ride's id has one answer. One larger
    than a buffer is not. What HAProxy can't parse as HTTP/1 gets its built-in 400 in HTML: no setting of 2.8 reaches it
    (HAProxy issue 3032).
    """
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    every = range(slots(settings))
    cpu = front_cpu(os.sched_getaffinity(0))
    unknown = f'file {pages / "405.json"} hdr allow "{", ".join(_METHODS.split())}" if !{{ method {_METHODS} }}'
    too_large = f"file {pages / '413.json'} if {{ req.hdr_val(content-length) gt {MAX_BODY_BYTES} }}"
    lines = [
        "global",
        "  maxconn 4096",
        "  nbthread 1",  # a wake-up across CPUs costs more than the work
        *([] if cpu is None else [f"  cpu-map 1/1 {cpu}"]),
        f"  stats socket {_control_socket(sockets)} mode 600 level admin",
        "defaults",
        "  mode http",
        "  timeout connect 1s",
        "  timeout client 60s",
        "  timeout server 15s",
        "  timeout queue 2s",
        "  timeout check 2s",  # a busy machine is no reason to leave a replica out
        "  timeout http-request 10s",
        "  timeout http-keep-alive 60s",
        "  option redispatch 1",
        "  retries 2",
        "  retry-on conn-failure empty-response",
        *(f"  errorfile {status} {pages / f'{status}.http'}" for status in _ERRORS),
        "frontend http",
        "  option http-buffer-request",  # a slow sender holds a buffer here, not a place in a replica
        f"  bind {host}:{settings.port}",
        f"  http-request return status 405 content-type application/problem+json {unknown}",
        # The replica refuses it too, but a client that is still sending would not hear it.
        f"  http-request return status 413 content-type application/problem+json {too_large}",
        # What the replicas can't know: connections, retries, what HAProxy answered itself, which replica is up.
        f"  http-request use-service prometheus-exporter if {{ path {METRICS_PATH} }} METH_GET",
        f"  use_backend admin if {{ path_beg {' '.join(ADMIN_PATHS)} }}",
        "  default_backend replicas",
        "backend replicas",
        "  balance leastconn",
        "  http-reuse always",
        "  option httpchk GET /readyz",
        "  http-check expect status 200",
        "  default-server check inter 250ms fall 2 rise 1 observe layer4 error-limit 1 on-error mark-down",
        *(f"  server replica-{i} unix@{socket_path(sockets, i)}" for i in every),
        "backend admin",
        f"  errorfile 503 {pages / 'admin-503.http'}",
        "  retry-on conn-failure",  # what was begun is not begun again
        "  timeout server 60s",  # the first act of a process waits until MLflow is loaded
        f"  http-request set-header {PEER.decode()} %[src]",
        f"  server admin unix@{admin_path(sockets)} maxconn 32",
        "frontend grpc",
        f"  bind {host}:{settings.grpc_port} proto h2",
        "  default_backend grpc-replicas",
        "backend grpc-replicas",
        "  balance leastconn",
        # Who is ready over HTTP is ready over gRPC: both are one process and one loop.
        *(f"  server grpc-{i} unix@{grpc_path(sockets, i)} proto h2 track replicas/replica-{i}" for i in every),
    ]
    return "\n".join(lines) + "\n"


def _control_socket(sockets: Path) -> Path:
    return sockets / "front.sock"
