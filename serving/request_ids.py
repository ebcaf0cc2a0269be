"""Request ids that prove themselves: a keyed checksum tells an id we issued from one we did not, without a look-up."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from typing import Final

_TIME, _RANDOM, _MAC = 6, 6, 8  # bytes; 20 in all, 32 characters
_CHARACTERS: Final = 32


class RequestIds:
    """Issues and recognises ids; everyone with the same secret recognises the others'. Ids sort by time."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def issue(self, now: float) -> str:
        """A new id at epoch seconds `now`."""
        body = int(now * 1000).to_bytes(_TIME, "big") + os.urandom(_RANDOM)
        return base64.b32hexencode(body + self._mac(body)).decode().lower()

    def issued(self, request_id: str) -> bool:
        """Whether this is one of ours, to the letter's case: it is a key where outcomes are counted once."""
        if len(request_id) != _CHARACTERS or not request_id.isascii() or request_id != request_id.lower():
            return False
        try:
            raw = base64.b32hexdecode(request_id, casefold=True)
        except binascii.Error:
            return False
        return hmac.compare_digest(raw[-_MAC:], self._mac(raw[:-_MAC]))

    def _mac(self, body: bytes) -> bytes:
        return hashlib.blake2b(body, digest_size=_MAC, key=self._secret).digest()
