"""What `up` and `status` ask the running front over HTTP."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any

from contracts.errors import Unavailable


def one_eta(base: str, zones: Sequence[str]) -> dict[str, Any]:
    """One real ETA between two of the zones, with its request; raises Unavailable with what was answered instead."""
    trip = {"pickup": {"zone": zones[0]}, "dropoff": {"zone": zones[len(zones) // 2]}}
    body = json.dumps({"trips": [trip]}).encode()
    url = f"{base}/v1/eta"
    try:
        return {"request": trip, **json.loads(_fetch(url, body))["etas"][0]}
    except urllib.error.HTTPError as error:  # its body is the problem document that says why
        raise Unavailable(url, f"status {error.code}", error.read().decode(errors="replace")) from None
    except OSError as error:
        raise Unavailable(url, "no_answer", str(error)) from None


def answers(url: str) -> bool:
    """Whether a GET is answered with a success."""
    try:
        _fetch(url)
    except OSError:
        return False
    return True


def _fetch(url: str, body: bytes | None = None) -> bytes:
    request = urllib.request.Request(url, data=body, headers={"content-type": "application/json"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=5) as response:  # noqa: S310 - our own address
        content: bytes = response.read()
        return content
