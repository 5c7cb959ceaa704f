"""Counts the processors that this process may use."""

import os


def usable() -> int:
    """Those that the system lets this process run on; all of them on macOS."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
