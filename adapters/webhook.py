"""Tells an HTTP endpoint: one signed POST of JSON, within a time limit, with no redirects."""

from __future__ import annotations

import hashlib
import hmac
import http.client
from typing import Final
from urllib.parse import urlsplit

from contracts.errors import InvalidInput, Unavailable

_HTTP_OK: Final = range(200, 300)


class HttpWebhook:
    """One receiver. It knows a repeated message by its `X-Tandem-Delivery`, and ours by the HMAC-SHA256 of the body."""

    def __init__(self, url: str, secret: bytes, timeout_s: float = 2.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidInput("webhook", f"{url!r} is not an http or https address")
        self._connection = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._host, self._port = parts.hostname, parts.port
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._secret, self._timeout_s = secret, timeout_s

    def post(self, body: bytes, key: str) -> None:
        """Deliver; raises Unavailable for anything but an answer of 2xx in time."""
        connection = self._connection(self._host, self._port, timeout=self._timeout_s)
        headers = {
            "Content-Type": "application/json",
            "X-Tandem-Delivery": key,
            "X-Tandem-Signature": "sha256=" + hmac.new(self._secret, body, hashlib.sha256).hexdigest(),
        }
        try:
            connection.request("POST", self._path, body, headers)
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable("webhook", "failed", f"{self._host}: {error or type(error).__name__}") from error
        finally:
            connection.close()
        if status not in _HTTP_OK:
            raise Unavailable("webhook", "refused", f"{self._host} answered {status}")
