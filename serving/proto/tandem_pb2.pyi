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

class Rider(_message.Message):
    __slots__ = ("id", "pickup", "dropoff", "waiting_s")
    ID_FIELD_NUMBER: _ClassVar[int]
    PICKUP_FIELD_NUMBER: _ClassVar[int]
    DROPOFF_FIELD_NUMBER: _ClassVar[int]
    WAITING_S_FIELD_NUMBER: _ClassVar[int]
    id: str
    pickup: Place
    dropoff: Place
    waiting_s: float
    def __init__(self, id: _Optional[str] = ..., pickup: _Optional[_Union[Place, _Mapping]] = ..., dropoff: _Optional[_Union[Place, _Mapping]] = ..., waiting_s: _Optional[float] = ...) -> None: ...

class Driver(_message.Message):
    __slots__ = ("id", "location", "free_in_s")
    ID_FIELD_NUMBER: _ClassVar[int]
    LOCATION_FIELD_NUMBER: _ClassVar[int]
    FREE_IN_S_FIELD_NUMBER: _ClassVar[int]
    id: str
    location: Place
    free_in_s: float
    def __init__(self, id: _Optional[str] = ..., location: _Optional[_Union[Place, _Mapping]] = ..., free_in_s: _Optional[float] = ...) -> None: ...

class AssignRequest(_message.Message):
    __slots__ = ("riders", "drivers", "policy")
    RIDERS_FIELD_NUMBER: _ClassVar[int]
    DRIVERS_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    riders: _containers.RepeatedCompositeFieldContainer[Rider]
    drivers: _containers.RepeatedCompositeFieldContainer[Driver]
    policy: str
    def __init__(self, riders: _Optional[_Iterable[_Union[Rider, _Mapping]]] = ..., drivers: _Optional[_Iterable[_Union[Driver, _Mapping]]] = ..., policy: _Optional[str] = ...) -> None: ...

class Assigned(_message.Message):
    __slots__ = ("rider", "driver", "pickup_eta_s")
    RIDER_FIELD_NUMBER: _ClassVar[int]
    DRIVER_FIELD_NUMBER: _ClassVar[int]
    PICKUP_ETA_S_FIELD_NUMBER: _ClassVar[int]
    rider: str
    driver: str
    pickup_eta_s: float
    def __init__(self, rider: _Optional[str] = ..., driver: _Optional[str] = ..., pickup_eta_s: _Optional[float] = ...) -> None: ...

class AssignResponse(_message.Message):
    __slots__ = ("request_id", "assignments", "unmatched", "policy", "matrix_ms", "solve_ms", "model", "source", "reason")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ASSIGNMENTS_FIELD_NUMBER: _ClassVar[int]
    UNMATCHED_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    MATRIX_MS_FIELD_NUMBER: _ClassVar[int]
    SOLVE_MS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    assignments: _containers.RepeatedCompositeFieldContainer[Assigned]
    unmatched: _containers.RepeatedScalarFieldContainer[str]
    policy: str
    matrix_ms: float
    solve_ms: float
    model: str
    source: str
    reason: str
    def __init__(self, request_id: _Optional[str] = ..., assignments: _Optional[_Iterable[_Union[Assigned, _Mapping]]] = ..., unmatched: _Optional[_Iterable[str]] = ..., policy: _Optional[str] = ..., matrix_ms: _Optional[float] = ..., solve_ms: _Optional[float] = ..., model: _Optional[str] = ..., source: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class RideRequest(_message.Message):
    __slots__ = ("id", "pickup", "dropoff")
    ID_FIELD_NUMBER: _ClassVar[int]
    PICKUP_FIELD_NUMBER: _ClassVar[int]
    DROPOFF_FIELD_NUMBER: _ClassVar[int]
    id: str
    pickup: Place
    dropoff: Place
    def __init__(self, id: _Optional[str] = ..., pickup: _Optional[_Union[Place, _Mapping]] = ..., dropoff: _Optional[_Union[Place, _Mapping]] = ...) -> None: ...

class RideResponse(_message.Message):
    __slots__ = ("request_id", "id", "driver", "pickup_eta_s", "waited_s")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    DRIVER_FIELD_NUMBER: _ClassVar[int]
    PICKUP_ETA_S_FIELD_NUMBER: _ClassVar[int]
    WAITED_S_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    id: str
    driver: str
    pickup_eta_s: float
    waited_s: float
    def __init__(self, request_id: _Optional[str] = ..., id: _Optional[str] = ..., driver: _Optional[str] = ..., pickup_eta_s: _Optional[float] = ..., waited_s: _Optional[float] = ...) -> None: ...
