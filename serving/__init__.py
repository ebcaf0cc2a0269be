"""The online tier."""
