"""Bring one file over HTTP: resumed where it broke off, in place only when it is whole."""

from __future__ import annotations

import sys
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from tqdm import tqdm

from contracts.errors import InvalidInput, NotFound, Unavailable

if TYPE_CHECKING:
    from http.client import HTTPResponse

_CHUNK_BYTES: Final = 1 << 18
_TIMEOUT_S: Final = 30.0


def download(url: str, target: Path, *, progress: bool = False, attempts: int = 5) -> Path:
    """Download a file unless it is there already.

    What has come so far is kept beside the target and continued, in this call and in later ones, as long as the server
    says that the file is still the same.

    Args:
        url: http:// or https://.
        target: where to put it; its folder is made.
        progress: whether to draw a progress bar on stderr.
        attempts: how often to go on after a broken connection.

    Raises:
        InvalidInput: the URL is of another scheme, or malformed.
        NotFound: the server has no such file.
        Unavailable: the server refuses or the last attempt broke off, too.

    """
    if not url.startswith(("http://", "https://")):
        raise InvalidInput("url", f"{url!r} is neither http:// nor https://")
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = _Part(target)
    failure: Exception | None = None
    for _ in range(attempts):
        try:
            if part.fetch(url, progress=progress):
                part.data.replace(target)
                part.validator.unlink(missing_ok=True)
                return target
            failure = EOFError(f"the connection closed after {part.size} bytes")
        except HTTPError as answer:
            if answer.code == HTTPStatus.NOT_FOUND:
                raise NotFound("file", url) from answer
            if answer.code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                raise Unavailable(url, f"HTTP {answer.code}", answer.reason) from answer
            part.drop()
            failure = answer
        except (OSError, HTTPException) as error:
            failure = error
        except ValueError as error:
            raise InvalidInput("url", f"{url!r}: {error}") from error
    detail = f"{failure}; {part.size} bytes are kept, the next run goes on from there"
    raise Unavailable(url, f"{attempts} attempts broke off", detail) from failure


class _Part:
    """The part of a file that has come so far, and the server's validator for it."""

    def __init__(self, target: Path) -> None:
        self.data = target.with_name(f".{target.name}.part")
        self.validator = target.with_name(f".{target.name}.validator")

    @property
    def size(self) -> int:
        """Bytes that have come so far."""
        return self.data.stat().st_size if self.data.exists() else 0

    def drop(self) -> None:
        """Forget what has come."""
        self.data.unlink(missing_ok=True)
        self.validator.unlink(missing_ok=True)

    def fetch(self, url: str, *, progress: bool) -> bool:
        """Ask for the rest; whether the file is whole now."""
        headers: dict[str, str] = {}
        if self.size and self.validator.exists():
            headers = {"Range": f"bytes={self.size}-", "If-Range": self.validator.read_text()}
        with urlopen(Request(url, headers=headers), timeout=_TIMEOUT_S) as answer:  # noqa: S310 - the scheme is checked
            return self._write(answer, progress=progress)

    def _write(self, answer: HTTPResponse, *, progress: bool) -> bool:
        resumed = answer.status == HTTPStatus.PARTIAL_CONTENT
        if resumed and not answer.headers.get("Content-Range", "").startswith(f"bytes {self.size}-"):
            self.drop()
            return False
        if not resumed:
            self.drop()
            # A weak ETag does not promise the same bytes.
            etag = answer.headers.get("ETag", "")
            validator = etag if etag.startswith('"') else answer.headers.get("Last-Modified")
            if validator:
                self.validator.write_text(validator)
        length = answer.headers.get("Content-Length")
        total = self.size + int(length) if length else None
        name = self.data.name.removeprefix(".").removesuffix(".part")
        bar: Any = tqdm(
            total=total, initial=self.size, unit="B", unit_scale=True, desc=name, disable=not progress, file=sys.stderr
        )
        with bar, self.data.open("ab") as out:
            while chunk := answer.read(_CHUNK_BYTES):
                out.write(chunk)
                bar.update(len(chunk))
        return total is None or self.size == total
