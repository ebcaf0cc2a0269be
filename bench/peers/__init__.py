"""Environments of the compared tools, each from a lock file with hashes, kept beside the project's own."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

LOCKS = Path(__file__).parent


class NotInstalled(Exception):
    """A tool's environment could not be made; the row says so and the rest go on."""


def environment(peer: str, cache: Path) -> Path:
    """Return the folder of executables of `peer`, installing it on first use; the project's own for an empty name."""
    own = Path(sys.executable).parent
    if not peer:
        return own
    lock = LOCKS / f"{peer}.lock"
    folder = cache / f"{peer}-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"
    if (folder / "installed").exists():
        return folder / "bin"
    variables = {**os.environ, "VIRTUAL_ENV": str(folder)}
    for arguments in (
        ["venv", "-q", "--clear", "--python", sys.executable, str(folder)],
        ["pip", "install", "-q", "--require-hashes", "-r", str(lock)],
    ):
        done = subprocess.run([str(own / "uv"), *arguments], env=variables, capture_output=True, text=True, check=False)
        if done.returncode:
            raise NotInstalled(f"{peer} can't be installed: {done.stderr.strip().splitlines()[-1:]}")
    (folder / "installed").touch()
    return folder / "bin"


def versions(packages: tuple[str, ...], folder: Path) -> dict[str, str]:
    """Look up the versions of distributions in the environment whose executables are in `folder`."""
    library = folder.parent / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    found = {d.name.lower(): d.version for d in metadata.distributions(path=[str(library)])}
    return {package: found.get(package, "?") for package in packages}
