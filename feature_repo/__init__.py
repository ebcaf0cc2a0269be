"""Feature definitions and event-time windows."""
