"""The offline tier."""
