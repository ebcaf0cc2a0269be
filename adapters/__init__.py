"""I/O that more than one room needs, one file a thing."""
