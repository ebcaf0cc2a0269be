import datetime
from collections.abc import Iterable as _Iterable
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar

from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers

DESCRIPTOR: _descriptor.FileDescriptor

class Point(_message.Message):
    __slots__ = ("lat", "lon")
    LAT_FIELD_NUMBER: _ClassVar[int]
    LON_FIELD_NUMBER: _ClassVar[int]
    lat: float
    lon: float
    def __init__(self, lat: float | None = ..., lon: float | None = ...) -> None: ...

class Place(_message.Message):
    __slots__ = ("point", "zone")
    ZONE_FIELD_NUMBER: _ClassVar[int]
    POINT_FIELD_NUMBER: _ClassVar[int]
    zone: str
    point: Point
    def __init__(self, zone: str | None = ..., point: Point | _Mapping | None = ...) -> None: ...

class Trip(_message.Message):
    __slots__ = ("at", "dropoff", "id", "pickup")
    ID_FIELD_NUMBER: _ClassVar[int]
    PICKUP_FIELD_NUMBER: _ClassVar[int]
    DROPOFF_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    id: str
    pickup: Place
    dropoff: Place
    at: _timestamp_pb2.Timestamp
    def __init__(
        self,
        id: str | None = ...,
        pickup: Place | _Mapping | None = ...,
        dropoff: Place | _Mapping | None = ...,
        at: datetime.datetime | _timestamp_pb2.Timestamp | _Mapping | None = ...,
    ) -> None: ...

class PredictRequest(_message.Message):
    __slots__ = ("trips", "unit")
    TRIPS_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    trips: _containers.RepeatedCompositeFieldContainer[Trip]
    unit: str
    def __init__(
        self, trips: _Iterable[Trip | _Mapping] | None = ..., unit: str | None = ...
    ) -> None: ...

class Eta(_message.Message):
    __slots__ = ("arm", "eta_s", "high_s", "id", "low_s", "model", "reason", "source")
    ID_FIELD_NUMBER: _ClassVar[int]
    ETA_S_FIELD_NUMBER: _ClassVar[int]
    LOW_S_FIELD_NUMBER: _ClassVar[int]
    HIGH_S_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ARM_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    id: str
    eta_s: float
    low_s: float
    high_s: float
    model: str
    arm: str
    source: str
    reason: str
    def __init__(
        self,
        id: str | None = ...,
        eta_s: float | None = ...,
        low_s: float | None = ...,
        high_s: float | None = ...,
        model: str | None = ...,
        arm: str | None = ...,
        source: str | None = ...,
        reason: str | None = ...,
    ) -> None: ...

class PredictResponse(_message.Message):
    __slots__ = ("etas", "request_id")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ETAS_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    etas: _containers.RepeatedCompositeFieldContainer[Eta]
    def __init__(
        self, request_id: str | None = ..., etas: _Iterable[Eta | _Mapping] | None = ...
    ) -> None: ...
