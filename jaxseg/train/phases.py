"""Tells the user what is being done before the first step, and how long it took."""

import contextlib
import gc
import time
from collections.abc import Iterator

import jax
from absl import logging

BEGINNING = "making the first weights (compiled, cached later)"
COMPILING = "compiling the step (about a minute the first time, cached later)"
SCORING = "compiling the scoring of validation (cached later)"
_TRACED = (BEGINNING, COMPILING, SCORING)


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


@contextlib.contextmanager
def phase(words: str) -> Iterator[None]:
    """Says what begins, and when it is done in how many seconds; on process 0.

    Where something is compiled no garbage is collected: tracing makes millions of
    objects that live on, and looking through them took a seventh of the time.
    """
    said = jax.process_index() == 0
    if said:
        logging.info("%s ...", words)
    began = time.monotonic()
    with _uncollected() if words in _TRACED else contextlib.nullcontext():
        yield
    if said:
        logging.info("%s: %.1f s", words.split(" (")[0], time.monotonic() - began)
