"""The exact distance transform against SciPy's, on one core.

    taskset -c 0 python tests/benchmarks/distance.py --batch=8

For every size and kind of mask: milliseconds of CPU per image of SciPy (one image after
the other) and of `jaxseg.metrics.distance` (the batch at once, compiled before), the
ratio, and whether all squared distances are equal. CPU time, so that other work on the
machine matters little.
"""

import argparse
import pathlib
import sys
import time

import jax
import numpy as np
from scipy import ndimage

sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

from jaxseg.metrics import distance


def masks(n: int, batch: int) -> dict[str, np.ndarray]:
    """bool [batch, n, n] by name: what is easy and what is hard for either."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:n, :n]
    at = rng.uniform(0.2, 0.8, (batch, 2, 1, 1)) * n
    corner = np.zeros((batch, n, n), bool)
    corner[:, 0, 0] = True
    same = np.ones((batch, 1, 1), bool)
    return {
        "one object": np.hypot(y - at[:, 0], x - at[:, 1]) < 0.08 * n,
        "all but one object": np.hypot(y - at[:, 0], x - at[:, 1]) >= 0.08 * n,
        "1 % of pixels": rng.random((batch, n, n)) < 0.01,
        "left half": same & (x < n / 2),
        "one corner": corner,
        "diagonal line": same & (x == y),
    }


def seconds(function, repeats: int):
    """(least CPU time of a call, what it returned)."""
    least = np.inf
    for _ in range(repeats):
        start = time.process_time()
        found = function()
        least = min(least, time.process_time() - start)
    return least, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512, 1024])
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    print("| size | mask | SciPy, ms | jaxseg, ms | times as fast | equal |")
    print("|---|---|---|---|---|---|")
    for n in options.sizes:
        for name, inside in masks(n, options.batch).items():
            theirs, far = seconds(
                lambda inside=inside: [
                    ndimage.distance_transform_edt(~i) for i in inside
                ],
                options.repeats,
            )

            def ours(inside=inside):
                return jax.block_until_ready(distance.squared_distance(inside))

            ours()
            own, squares = seconds(ours, options.repeats)
            equal = np.array_equal(np.rint(np.square(far)), squares)
            each = (1e3 * t / options.batch for t in (theirs, own))
            words = " | ".join(f"{t:.1f}" for t in each)
            print(
                f"| {n}x{n} | {name} | {words} | {theirs / own:.1f} | "
                f"{'yes' if equal else 'NO'} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
