"""Draws the outline of a round object of a phantom: a wavy, stretched, turned ring."""

import numpy as np
from jaxtyping import Float


def outline(
    rng: np.random.Generator,
    *,
    rough: float,
    stretch: tuple[float, float],
    points: int,
    waves: int,
    least: float,
) -> Float[np.ndarray, "points 2"]:
    """Points around the origin, about 1 from it and never nearer than `least`.

    `rough` is the size of the `waves` that the ring carries, from two a turn on, each
    smaller than the one before; `stretch` are the limits of length over width.
    """
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    order = np.arange(2, 2 + waves)
    wave = order[:, None] * angle + rng.uniform(0, 2 * np.pi, (waves, 1))
    size = rough * rng.normal(0, 1, (waves, 1)) * (2 / order[:, None])
    reach = np.maximum(1 + (size * np.cos(wave)).sum(0), least)
    long = np.sqrt(rng.uniform(*stretch))
    ring = np.stack([np.cos(angle) * long, np.sin(angle) / long], -1)
    turn = rng.uniform(0, np.pi)
    c, s = np.cos(turn), np.sin(turn)
    return reach[:, None] * ring @ np.array([[c, s], [-s, c]])
