"""What is kept of an outcome, however it came: by `POST /v1/outcomes` or with the event of a trip's end."""

from __future__ import annotations

import msgspec


class KeptOutcome(msgspec.Struct, frozen=True, gc=False):
    """One event of one trip of one request; a second one of the same three was a duplicate and is not kept."""

    request_id: str
    id: str
    event: str  # booked, cancelled or completed
    actual_s: float | None  # with completed
    received_at: float  # epoch seconds
