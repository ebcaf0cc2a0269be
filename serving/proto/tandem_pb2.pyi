import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Point(_message.Message):
    __slots__ = ("lat", "lon")
    LAT_FIELD_NUMBER: _ClassVar[int]
    LON_FIELD_NUMBER: _ClassVar[int]
    lat: float
    lon: float
    def __init__(self, lat: _Optional[float] = ..., lon: _Optional[float] = ...) -> None: ...

class Place(_message.Message):
    __slots__ = ("zone", "point")
    ZONE_FIELD_NUMBER: _ClassVar[int]
    POINT_FIELD_NUMBER: _ClassVar[int]
    zone: str
    point: Point
    def __init__(self, zone: _Optional[str] = ..., point: _Optional[_Union[Point, _Mapping]] = ...) -> None: ...

class Trip(_message.Message):
    __slots__ = ("id", "pickup", "dropoff", "at")
    ID_FIELD_NUMBER: _ClassVar[int]
    PICKUP_FIELD_NUMBER: _ClassVar[int]
    DROPOFF_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    id: str
    pickup: Place
    dropoff: Place
    at: _timestamp_pb2.Timestamp
    def __init__(self, id: _Optional[str] = ..., pickup: _Optional[_Union[Place, _Mapping]] = ..., dropoff: _Optional[_Union[Place, _Mapping]] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class PredictRequest(_message.Message):
    __slots__ = ("trips", "unit")
    TRIPS_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    trips: _containers.RepeatedCompositeFieldContainer[Trip]
    unit: str
    def __init__(self, trips: _Optional[_Iterable[_Union[Trip, _Mapping]]] = ..., unit: _Optional[str] = ...) -> None: ...

class Eta(_message.Message):
    __slots__ = ("id", "eta_s", "low_s", "high_s", "model", "arm", "source", "reason")
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
    def __init__(self, id: _Optional[str] = ..., eta_s: _Optional[float] = ..., low_s: _Optional[float] = ..., high_s: _Optional[float] = ..., model: _Optional[str] = ..., arm: _Optional[str] = ..., source: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class PredictResponse(_message.Message):
    __slots__ = ("request_id", "etas")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ETAS_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    etas: _containers.RepeatedCompositeFieldContainer[Eta]
    def __init__(self, request_id: _Optional[str] = ..., etas: _Optional[_Iterable[_Union[Eta, _Mapping]]] = ...) -> None: ...
