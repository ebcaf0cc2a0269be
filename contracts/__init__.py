"""What both tiers must agree on; no I/O."""
