"""Tells the user what is being done before the first step, and how long it took."""

import contextlib
import time
from collections.abc import Iterator

import jax
from absl import logging

BEGINNING = "making the first weights (compiled, cached later)"
COMPILING = "compiling the step (about a minute the first time, cached later)"


@contextlib.contextmanager
def phase(words: str) -> Iterator[None]:
    """Says what begins, and when it is done in how many seconds; on process 0."""
    said = jax.process_index() == 0
    if said:
        logging.info("%s ...", words)
    began = time.monotonic()
    yield
    if said:
        logging.info("%s: %.1f s", words.split(" (")[0], time.monotonic() - began)
