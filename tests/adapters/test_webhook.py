"""One POST: signed, bounded in time, and anything but 2xx is an outage."""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from adapters.webhook import HttpWebhook
from contracts.errors import InvalidInput, Unavailable


class Receiver(HTTPServer):
    """Keeps what it gets and answers with `status`."""

    status = 204
    got: tuple[str, bytes, Any] = ("", b"", {})


class Handler(BaseHTTPRequestHandler):
    """Takes one POST."""

    server: Receiver

    def do_POST(self) -> None:
        """Answer with the server's status."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got = (self.path, body, self.headers)
        self.send_response(self.server.status)
        self.send_header("Location", "/elsewhere")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Be quiet."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver on a free loopback port."""
    server = Receiver(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_message_arrives_signed(receiver: Receiver) -> None:
    """Body, path, delivery number and signature."""
    HttpWebhook(f"http://127.0.0.1:{receiver.server_port}/hook?team=eta", b"secret").post(b'{"a":1}', "7")
    path, body, headers = receiver.got
    assert (path, body, headers["X-Tandem-Delivery"]) == ("/hook?team=eta", b'{"a":1}', "7")
    assert headers["X-Tandem-Signature"] == "sha256=" + hmac.new(b"secret", body, hashlib.sha256).hexdigest()


@pytest.mark.parametrize("status", [302, 404, 500])
def test_another_status_is_an_outage(receiver: Receiver, status: int) -> None:
    """A redirect is not followed: who may be told is the operator's word."""
    receiver.status = status
    with pytest.raises(Unavailable, match=f"answered {status}"):
        HttpWebhook(f"http://127.0.0.1:{receiver.server_port}", b"").post(b"{}", "1")
    assert receiver.got[0] == "/"


def test_nobody_there_is_an_outage(receiver: Receiver) -> None:
    """A port without a listener is refused at once."""
    port = receiver.server_port
    receiver.shutdown()
    receiver.server_close()
    with pytest.raises(Unavailable, match="webhook unavailable"):
        HttpWebhook(f"http://127.0.0.1:{port}", b"", timeout_s=0.5).post(b"{}", "1")


@pytest.mark.parametrize("url", ["ftp://host/", "host", "file:///etc/passwd"])
def test_other_addresses_are_refused(url: str) -> None:
    """HTTP and HTTPS only."""
    with pytest.raises(InvalidInput, match="not an http or https address"):
        HttpWebhook(url, b"")
