"""Labels scribbles: strokes of a pen that stay inside their class.

A stroke starts at a random pixel and walks on with a slowly turning direction. Lin et
al., ScribbleSup, 2016, https://arxiv.org/abs/1604.05144
"""

import numpy as np
from jaxtyping import UInt8

from jaxseg.errors import ConfigError
from jaxseg.types import IGNORE

SPARSE = True
_TURN = 0.25  # radians a pixel, standard deviation
_TRIES = 8  # new directions at an edge before the pen is lifted


def label(
    mask: UInt8[np.ndarray, "h w"],
    *,
    rng: np.random.Generator,
    positive: int,
    negative: int,
    length: int = 40,
) -> UInt8[np.ndarray, "h w"]:
    """255 but for `positive` strokes in each foreground class, `negative` in class 0.

    A stroke is at most `length` pixels long and one wide. More strokes contain the
    fewer. Raises ConfigError for numbers below 0 and strokes without length.
    """
    if min(positive, negative) < 0 or positive + negative == 0 or length < 1:
        raise ConfigError(
            f"config.supervision asks for {positive} positive and {negative} negative "
            f"strokes of {length} pixels; give numbers from 0, and a length from 1."
        )
    out = np.full_like(mask, IGNORE)
    present = [int(c) for c in np.unique(mask) if c != IGNORE]
    for c, own in enumerate(rng.spawn(max(present, default=0) + 1)):
        if c in present:
            inside = mask == c
            for pen in own.spawn(positive if c else negative):
                out[tuple(_stroke(inside, length, pen).T)] = c
    return out


def _stroke(inside, length, rng):
    """Pixels [n, 2] of one stroke."""
    pixels = np.argwhere(inside)
    place = pixels[rng.integers(len(pixels))].astype(float)
    angle = rng.uniform(0, 2 * np.pi)
    path = [place.astype(int)]
    while len(path) < length:
        for _ in range(_TRIES):
            step = place + (np.sin(angle), np.cos(angle))
            y, x = np.round(step).astype(int)
            fits = 0 <= y < inside.shape[0] and 0 <= x < inside.shape[1]
            if fits and inside[y, x]:
                break
            angle = rng.uniform(0, 2 * np.pi)
        else:
            break
        place, angle = step, angle + rng.normal(0, _TURN)
        path.append(np.array([y, x]))
    return np.unique(path, axis=0)
