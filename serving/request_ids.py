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
_POOL: Final = 4096  # random bytes fetched at a time: asking the kernel costs more than all the rest of an id
_DIGITS: Final = "0123456789abcdefghijklmnopqrstuv"  # base32hex: sorts like the bytes
_PAIRS: Final = [high + low for high in _DIGITS for low in _DIGITS]


class RequestIds:
    """Issues and recognises ids; everyone with the same secret recognises the others'. Ids sort by time."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._random = b""
        self._used = 0

    def issue(self, now: float) -> str:
        """A new id at epoch seconds `now`."""
        start = self._used
        if start + _RANDOM > len(self._random):
            self._random, start = os.urandom(_POOL), 0
        self._used = start + _RANDOM
        body = int(now * 1000).to_bytes(_TIME, "big") + self._random[start : self._used]
        return _encode(body + self._mac(body))

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


def _encode(raw: bytes) -> str:
    """Base32hex in lower case of 20 bytes, two characters at a time; the standard library takes five times as long."""
    number = int.from_bytes(raw, "big")
    return "".join([_PAIRS[number >> shift & 1023] for shift in range(8 * len(raw) - 10, -1, -10)])
