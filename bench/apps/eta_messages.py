"""The request of table B as pydantic models, for the FastAPI applications."""

from datetime import datetime

from pydantic import BaseModel
from trips import Trips


class Place(BaseModel):
    """A zone."""

    zone: str


class Trip(BaseModel):
    """One trip."""

    pickup: Place
    dropoff: Place
    at: datetime


class Request(BaseModel):
    """Trips to estimate."""

    trips: list[Trip]

    def resolved(self) -> Trips:
        """As arrays."""
        return Trips(
            [trip.pickup.zone for trip in self.trips],
            [trip.dropoff.zone for trip in self.trips],
            [trip.at for trip in self.trips],
        )


class Eta(BaseModel):
    """One estimate, in seconds."""

    id: str
    eta_s: float
    low_s: float
    high_s: float


class Answer(BaseModel):
    """Estimates in the order of the trips."""

    etas: list[Eta]
