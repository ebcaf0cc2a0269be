"""The acceptance measurements, one file each, in the order in which `make bench` runs them."""
