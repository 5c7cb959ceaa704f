"""Marks the functions that draw an input which once failed."""

from collections.abc import Callable

BOMB = 260  # MiB, more than the memory cap of any target that reads them
Draw = Callable[[], bytes]


def of(target: str) -> Callable[[Draw], Draw]:
    """A decorator: the function draws an input of this target."""

    def mark(draw: Draw) -> Draw:
        draw.target = target
        return draw

    return mark
