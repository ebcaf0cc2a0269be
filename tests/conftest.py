"""What every test stands on."""

# Before Feast, whose import switches prometheus_client to files that processes share: counts of one test would show
# up in another's.
import prometheus_client  # noqa: F401
