"""An imagined city, drawn from real aggregates."""
