"""Entry points: sequence and I/O, no mathematics."""
