"""The tools that are compared, one file each, in the order of the tables."""
