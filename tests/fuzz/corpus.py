"""Inputs that once hung, filled the memory, ended the process, or raised anything.

Each is drawn by a function of its own, and read in every run of the suite.
"""

from fuzz import failed_arrays, failed_pictures, failed_texts
from fuzz.failed import Draw

_MODULES = (failed_arrays, failed_pictures, failed_texts)
_HARNESS = ("accept", "refuse", "raise", "memory", "hidden memory", "slow", "abort")


def drawers(target: str) -> dict[str, Draw]:
    """{name: function that draws it} of every input that once failed as this target.

    Those of "none" ask the target that tests the harness for every kind of fault.
    """
    if target == "none":
        return {word: word.encode for word in _HARNESS}
    drawn = {name: f for module in _MODULES for name, f in vars(module).items()}
    return {n: f for n, f in drawn.items() if getattr(f, "target", "") == target}
