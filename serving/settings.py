"""One frozen typed object, from the environment; every variable starts with TANDEM_."""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from contracts.errors import TandemError

PREFIX: Final = "TANDEM_"
_HOME: Final = Path(".tandem")
_SECRET_CHARACTERS: Final = 16
_REDIS_SCHEMES: Final = frozenset({"redis", "rediss", "unix"})


class BadSetting(TandemError):
    """A variable of the environment can't be used; the message names it, its value and the limit."""

    def __init__(self, variable: str, value: str, limit: str) -> None:
        super().__init__(f"{variable}={value!r}: must be {limit}")
        self.variable = variable


def _setting(default: Any, words: str, *, low: float = -math.inf, high: float = math.inf) -> Any:
    return field(default=default, metadata={"words": words, "low": low, "high": high})


@dataclass(frozen=True)
class Settings:
    """The serving stack's settings; the metadata of each field is its line in docs/settings.md."""

    home: Path = _setting(_HOME, "directory of data, artifacts, state and logs")  # noqa: RUF009 - field() within
    host: str = _setting("127.0.0.1", "address the front listens on; anything but loopback opens it to the network")
    port: int = _setting(8000, "port of the front", low=1, high=65535)
    grpc_port: int = _setting(8001, "gRPC port of the front", low=1, high=65535)
    replicas: int = _setting(
        2, "replicas of the online tier; at first, where their number follows the load", low=1, high=64
    )
    min_replicas: int = _setting(0, "fewest replicas when there is little to do; 0 is TANDEM_REPLICAS", low=0, high=64)
    max_replicas: int = _setting(0, "most replicas under load; 0 is TANDEM_REPLICAS", low=0, high=64)
    scale_target: float = _setting(0.6, "share of its time that a replica should be busy", low=0.05, high=0.95)
    scale_window_s: float = _setting(20.0, "time over which the load is averaged", low=1, high=3600)
    scale_up_delay_s: float = _setting(10.0, "how long more replicas must be wanted", low=0, high=3600)
    scale_down_delay_s: float = _setting(300.0, "how long fewer replicas must be wanted", low=0, high=86_400)
    redis_url: str = _setting(
        "", "online store, redis[s]://user:password@host:port/db; the embedded Valkey where empty"
    )
    kafka_bootstrap: str = _setting("", "Kafka brokers of the event stream, host:port,…; Redis Streams where empty")
    state_url: str = _setting("", "SQL database of routes and outcomes; SQLite in the home where empty")
    webhook_url: str = _setting("", "who is told of each entry of the rollouts' journal; nobody where empty")
    webhook_secret: str = _setting("", "key of the webhook's HMAC-SHA256 signature, 16 characters or more")
    feature_deadline_ms: float = _setting(50.0, "longest wait for the online store in a request", low=1, high=10_000)
    feature_cache_ttl_s: float = _setting(5.0, "how long a replica uses a row it has read", low=0.01, high=3600)
    feature_cache_statistics_ttl_s: float = _setting(
        60.0, "the same for rows that change only when history is materialized", low=0.01, high=86_400
    )
    feature_cache_rows: int = _setting(50_000, "most rows a replica keeps", low=8192, high=10_000_000)
    feature_stale_s: float = _setting(
        300.0,
        "oldest row that stands in when the store is gone; rows that live longer in the cache never do",
        low=0,
        high=86_400,
    )
    predictions_topic_len: int = _setting(
        10_000, "most events in the topic `predictions` on Redis", low=100, high=10**7
    )
    live_history_days: int = _setting(
        30, "how long the history of live features is kept for training, in days", low=1, high=3650
    )
    queue_ms: float = _setting(100.0, "longest expected wait; who would wait longer is refused", low=1, high=10_000)
    future_skew_s: float = _setting(60.0, "a stored value stamped further ahead than this is absent", low=0, high=3600)
    route_poll_ms: float = _setting(500.0, "how often a replica looks for a new route table", low=50, high=60_000)
    model_threads: int = _setting(1, "threads of one model call", low=1, high=64)
    prediction_log_memory_mb: int = _setting(16, "most of the prediction log that waits in memory", low=1, high=1024)
    prediction_log_disk_mb: int = _setting(
        2048,
        "most of the prediction log on disk that is not yet Parquet; beyond it records are dropped",
        low=16,
        high=10**6,
    )
    predictions_mb: int = _setting(
        20_480, "most of the prediction log as Parquet; beyond it the oldest go", low=1, high=10**7
    )
    label_cut_s: float = _setting(
        3600.0,
        "age at which an answer is judged: outcomes that came by then count, in all arms alike",
        low=1,
        high=604_800,
    )
    ride_window_s: float = _setting(2.0, "longest window in which rides gather", low=0, high=10)
    ride_wait_s: float = _setting(10.0, "how long a ride waits for a driver", low=0.1, high=12)
    ride_hold_s: float = _setting(
        3600.0, "how long a driver belongs to a ride whose end nobody tells", low=1, high=86_400
    )
    driver_age_s: float = _setting(60.0, "a driver last seen longer ago is not on offer", low=1, high=3600)
    ride_lease_s: float = _setting(
        3.0, "after so long another replica runs the windows of one that died", low=0.2, high=60
    )
    dispatch_regions: int = _setting(1, "bands of the city whose rides are matched apart", low=1, high=64)
    drain_s: float = _setting(10.0, "how long a stopping replica finishes what it has begun", low=0, high=600)

    @property
    def fewest(self) -> int:
        """The least number of replicas."""
        return self.min_replicas or self.replicas

    @property
    def most(self) -> int:
        """The greatest number of replicas."""
        return self.max_replicas or self.replicas

    @property
    def state(self) -> str:
        """The URL of the SQL database."""
        return self.state_url or f"sqlite:///{self.home.resolve() / 'state.db'}"

    @property
    def artifacts(self) -> Path:
        """The artifact store's root."""
        return self.home / "artifacts"

    @property
    def predictions(self) -> Path:
        """The prediction log's folder."""
        return self.home / "predictions"

    @property
    def url(self) -> str:
        """Where a client on this machine reaches the front."""
        return f"http://{_reachable(self.host)}:{self.port}"


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Read TANDEM_* from a mapping such as `os.environ`; raises BadSetting."""
    values: dict[str, Any] = {}
    for spec in fields(Settings):
        variable = PREFIX + spec.name.upper()
        raw = environ.get(variable)
        if raw is None or raw == "":
            continue
        kind = {"int": int, "float": float, "Path": Path}.get(str(spec.type), str)
        values[spec.name] = _number(variable, raw, kind, spec.metadata) if kind in (int, float) else kind(raw)
    settings = Settings(**values)
    _check_address(settings.host)
    if not settings.fewest <= settings.replicas:
        raise BadSetting("TANDEM_MIN_REPLICAS", str(settings.fewest), f"at most TANDEM_REPLICAS={settings.replicas}")
    if not settings.replicas <= settings.most:
        raise BadSetting("TANDEM_MAX_REPLICAS", str(settings.most), f"at least TANDEM_REPLICAS={settings.replicas}")
    if settings.webhook_url and urlsplit(settings.webhook_url).scheme not in ("http", "https"):
        raise BadSetting("TANDEM_WEBHOOK_URL", f"{urlsplit(settings.webhook_url).scheme}:…", "http://… or https://…")
    if settings.webhook_url and len(settings.webhook_secret) < _SECRET_CHARACTERS:
        raise BadSetting("TANDEM_WEBHOOK_SECRET", "…", f"{_SECRET_CHARACTERS} characters or more")
    scheme = urlsplit(settings.redis_url).scheme
    if settings.redis_url and scheme not in _REDIS_SCHEMES:  # only the scheme is told: the rest may hold a password
        raise BadSetting("TANDEM_REDIS_URL", f"{scheme}:…", "redis://…, rediss://… or unix://…")
    return settings


def describe() -> str:
    """The table of docs/settings.md, in Markdown."""
    rows = ["| variable | default | limits | meaning |", "|---|---|---|---|"]
    for spec in fields(Settings):
        if spec.default is MISSING:
            continue
        default = f"`{spec.default}`" if str(spec.default) else "empty"
        low, high = spec.metadata["low"], spec.metadata["high"]
        limits = f"{low:g} to {high:g}" if math.isfinite(low) else ""
        rows.append(f"| `{PREFIX}{spec.name.upper()}` | {default} | {limits} | {spec.metadata['words']} |")
    return "\n".join(rows) + "\n"


def _number(variable: str, raw: str, kind: Any, limits: Mapping[str, Any]) -> Any:
    low, high = limits["low"], limits["high"]
    words = f"{'a whole number' if kind is int else 'a number'} from {low:g} to {high:g}"
    try:
        value = kind(raw)
    except ValueError:
        raise BadSetting(variable, raw, words) from None
    if not low <= value <= high:  # NaN fails it, too
        raise BadSetting(variable, raw, words)
    return value


def _check_address(host: str) -> None:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        raise BadSetting("TANDEM_HOST", host, "an IP address, such as 127.0.0.1") from None


def _reachable(host: str) -> str:
    address = ipaddress.ip_address(host)
    if address.is_unspecified:
        return "127.0.0.1" if address.version == 4 else "[::1]"  # noqa: PLR2004 - IP versions
    return host if address.version == 4 else f"[{host}]"  # noqa: PLR2004
