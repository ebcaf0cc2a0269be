"""The route table: which versions serve, with what weight. It is replaced whole, never edited."""

from __future__ import annotations

import msgspec


class RouteTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Traffic of one model. A higher `generation` always wins; a rollback is a new table with a higher one."""

    model: str
    generation: int
    champion: int
    candidate: int | None = None
    shadow: int | None = None
    candidate_percent: float = 0.0  # 0..100
    shadow_percent: float = 0.0
    salt: str = ""
    fallback_only: bool = False  # the kill switch: every answer is the heuristic's

    def __post_init__(self) -> None:
        """Refuse a table that could not be served."""
        for field in ("candidate_percent", "shadow_percent"):
            value = getattr(self, field)
            if not 0.0 <= value <= 100.0:  # noqa: PLR2004 - per cent
                raise ValueError(f"{field} is {value}, must be within 0 and 100")
        if self.generation < 1:
            raise ValueError(f"generation is {self.generation}, must be at least 1")
        if self.candidate_percent > 0 and self.candidate is None:
            raise ValueError("candidate_percent is above 0 without a candidate")

    def versions(self) -> frozenset[int]:
        """Every version a replica must hold to serve this table."""
        return frozenset(v for v in (self.champion, self.candidate, self.shadow) if v is not None)
