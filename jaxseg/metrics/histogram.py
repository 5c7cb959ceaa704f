"""Exact histograms of large images without large temporaries.

Fresh memory costs more than arithmetic here (every page has to be faulted in), so
pixels are coded in short stretches into one buffer that each thread keeps.
"""

import threading
from collections.abc import Callable

import numpy as np
from jaxtyping import Int

CHUNK = 1 << 14
_kept = threading.local()


def joint(
    encode: Callable[[slice], Int[np.ndarray, "m"]], n: int, size: int
) -> tuple[Int[np.ndarray, "size"], Int[np.ndarray, "n"]]:
    """Counts of the codes of n pixels, int64, and the codes themselves.

    `encode` gives the codes, in [0, size), of one stretch of pixels. The returned codes
    are valid until the same thread calls again.
    """
    buffer = getattr(_kept, "buffer", None)
    if buffer is None or len(buffer) < n:
        _kept.buffer = buffer = np.empty(n, np.intp)
    for start in range(0, n, CHUNK):
        part = slice(start, min(start + CHUNK, n))
        buffer[part] = encode(part)
    codes = buffer[:n]
    return np.bincount(codes, minlength=size).astype(np.int64, copy=False), codes
