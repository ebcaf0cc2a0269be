"""One wheel from the package index, by hash: a way to bring in data that a package carries, without installing it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from adapters.trips_file import file_sha256
from contracts.errors import Unavailable

_TIMEOUT_S: Final = 600


def fetch_wheel(name: str, version: str, sha256: str, cache: Path) -> Path:
    """Download a pure wheel with pip, without its dependencies, unless it lies in the cache already.

    Args:
        name: the project on the index, normalised as in the wheel's file name.
        version: the exact version.
        sha256: of the wheel file, hex; any other file is refused.
        cache: the directory it is kept in.

    Returns:
        The path of the wheel, whose hash fits.

    Raises:
        Unavailable: pip could not bring it; its last words are in the message.

    """
    wheel = cache / f"{name}-{version}-py3-none-any.whl"
    if wheel.exists() and file_sha256(wheel) == sha256:
        return wheel
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        wanted = Path(folder) / "requirements.txt"
        wanted.write_text(f"{name}=={version} --hash=sha256:{sha256}\n")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary", ":all:", "--require-hashes", "--dest", folder, "--requirement", str(wanted)]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=_TIMEOUT_S)
        except subprocess.CalledProcessError as failure:
            words = " ".join(failure.stderr.split())[-800:]
            raise Unavailable(f"{name}=={version}", "pip download failed", words) from failure
        except subprocess.TimeoutExpired as failure:
            raise Unavailable(f"{name}=={version}", "timeout", f"pip took longer than {_TIMEOUT_S} s") from failure
        (Path(folder) / wheel.name).replace(wheel)
    return wheel
