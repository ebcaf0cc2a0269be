"""Downloads arrive whole or not at all, and go on where they broke off."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from adapters.download import download
from contracts.errors import InvalidInput, NotFound, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass
class Shelf:
    """What a loopback server gives, how it misbehaves, and what it was asked for."""

    body: bytes = bytes(range(256)) * 4000
    etag: str | None = '"one"'
    breaks: list[int] = field(default_factory=list)  # bytes to send of the next answers before breaking off
    honours_range: bool = True
    status: int = 200
    ranges: list[str | None] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    """A server on a free loopback port."""
    shelf = Shelf()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            shelf.ranges.append(wanted)
            if self.path != "/file.bin" or shelf.status != 200:
                self.send_error(404 if self.path != "/file.bin" else shelf.status)
                return
            start = 0
            if wanted and shelf.honours_range and self.headers.get("If-Range") == shelf.etag:
                start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])  # type: ignore[index]
            if start and start >= len(shelf.body):
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(shelf.body) - 1}/{len(shelf.body)}")
            if shelf.etag:
                self.send_header("ETag", shelf.etag)
            self.send_header("Content-Length", str(len(shelf.body) - start))
            self.end_headers()
            rest = shelf.body[start:]
            self.wfile.write(rest[: shelf.breaks.pop(0)] if shelf.breaks else rest)

        def log_message(self, *_: Any) -> None:
            """Keep the test's output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    shelf.url = f"http://127.0.0.1:{server.server_port}/file.bin"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield shelf
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_file_arrives_once(shelf: Shelf, tmp_path: Path) -> None:
    """The second call finds the file and asks nobody."""
    target = tmp_path / "deep" / "file.bin"
    assert download(shelf.url, target).read_bytes() == shelf.body
    assert download(shelf.url, target) == target
    assert shelf.ranges == [None]
    assert [path.name for path in target.parent.iterdir()] == ["file.bin"]


def test_a_broken_connection_is_resumed(shelf: Shelf, tmp_path: Path) -> None:
    """What has come is not fetched again."""
    shelf.breaks = [300_000, 100_000]
    assert download(shelf.url, tmp_path / "file.bin").read_bytes() == shelf.body
    assert shelf.ranges == [None, "bytes=300000-", "bytes=400000-"]


def test_a_later_run_goes_on(shelf: Shelf, tmp_path: Path) -> None:
    """When all attempts broke off there is no file, and the next run takes the rest only."""
    target = tmp_path / "file.bin"
    shelf.breaks = [1000]
    with pytest.raises(Unavailable, match=r"1 attempts broke off.*1000 bytes are kept"):
        download(shelf.url, target, attempts=1)
    assert not target.exists()
    assert download(shelf.url, target).read_bytes() == shelf.body
    assert shelf.ranges == [None, "bytes=1000-"]


def test_a_changed_file_is_fetched_anew(shelf: Shelf, tmp_path: Path) -> None:
    """Halves of two versions are never put together."""
    target = tmp_path / "file.bin"
    shelf.breaks = [1000]
    with pytest.raises(Unavailable):
        download(shelf.url, target, attempts=1)
    shelf.body, shelf.etag = shelf.body[::-1], '"two"'
    assert download(shelf.url, target).read_bytes() == shelf.body


@pytest.mark.parametrize(("etag", "honours_range"), [(None, True), ('W/"weak"', True), ('"one"', False)])
def test_without_a_safe_range_it_starts_over(
    shelf: Shelf,
    tmp_path: Path,
    etag: str | None,
    honours_range: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """No validator, a weak one, or a server without ranges: the file is still right."""
    shelf.etag, shelf.honours_range, shelf.breaks = etag, honours_range, [5000]
    assert download(shelf.url, tmp_path / "file.bin").read_bytes() == shelf.body


def test_a_missing_file_is_said_at_once(shelf: Shelf, tmp_path: Path) -> None:
    """A 404 is not tried again."""
    with pytest.raises(NotFound, match=r"other\.bin"):
        download(shelf.url.replace("file.bin", "other.bin"), tmp_path / "file.bin")
    assert len(shelf.ranges) == 1


def test_a_refusal_is_said_at_once(shelf: Shelf, tmp_path: Path) -> None:
    """The status is named."""
    shelf.status = 403
    with pytest.raises(Unavailable, match="HTTP 403"):
        download(shelf.url, tmp_path / "file.bin")


def test_a_dead_server_is_unavailable(tmp_path: Path) -> None:
    """Nobody listens on port 1."""
    with pytest.raises(Unavailable, match="2 attempts"):
        download("http://127.0.0.1:1/file.bin", tmp_path / "file.bin", attempts=2)


def test_other_schemes_are_refused(tmp_path: Path) -> None:
    """A file URL would read this machine."""
    with pytest.raises(InvalidInput, match="neither http"):
        download("file:///etc/hostname", tmp_path / "file.bin")


def test_a_malformed_address_is_named(tmp_path: Path) -> None:
    """Not a traceback of the URL parser's."""
    with pytest.raises(InvalidInput, match=r"'http://\[x/a': Invalid IPv6 URL"):
        download("http://[x/a", tmp_path / "a")
