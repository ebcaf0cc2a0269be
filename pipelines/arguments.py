"""Types of the command line's arguments: each returns the value, or says what it must be."""

from __future__ import annotations

import argparse
from datetime import date

MAX_SEED = 2**31 - 1  # LightGBM's
MAX_SECONDS = 1e6


def positive(text: str) -> int:
    """A whole number above zero."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not a positive number")
    return value


def seconds(text: str) -> float:
    """A number above zero, of seconds or per second."""
    value = float(text)
    if not 0 < value <= MAX_SECONDS:
        raise argparse.ArgumentTypeError(f"{text} is not over 0 and up to {MAX_SECONDS:g}")
    return value


def rate(text: str) -> float:
    """How many times as fast, such as 3x."""
    return seconds(text.removesuffix("x"))


def seed(text: str) -> int:
    """What a random generator starts from."""
    value = int(text)
    if not 0 <= value <= MAX_SEED:
        raise argparse.ArgumentTypeError(f"{value} is not from 0 to {MAX_SEED}")
    return value


def monday(text: str) -> date:
    """A date that is a Monday."""
    day = date.fromisoformat(text)
    if day.weekday() != 0:
        raise argparse.ArgumentTypeError(f"{day} is a {day:%A}, not a Monday")
    return day


def months(text: str) -> str:
    """A month, or two in order, such as 2020-08..2021-01."""
    first, span, last = text.partition("..")
    try:
        in_order = date.fromisoformat(f"{first}-01") <= date.fromisoformat(f"{last if span else first}-01")
    except ValueError:
        in_order = False
    if not in_order:
        raise argparse.ArgumentTypeError(f"{text!r} is not YYYY-MM or YYYY-MM..YYYY-MM with the earlier month first")
    return text
