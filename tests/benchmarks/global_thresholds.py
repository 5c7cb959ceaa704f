"""Scores two global thresholds on the tissues of MNI152: what a network must beat.

    python tests/benchmarks/global_thresholds.py

Fluid is dark, grey matter grey, white matter bright on this template. The thresholds
with the best mean Dice on the training slabs are applied to the test slabs, inside the
true brain, which a network has to find by itself; needs nilearn (extra `[parity]`).
"""

import itertools
import pathlib
import tempfile

import cv2
import learning_sets
import numpy as np


def pixels(folder: pathlib.Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """(grey levels, classes) of the pixels inside the brain, of all images."""
    rows = (folder / "splits.csv").read_text().splitlines()[1:]
    stems = [stem for stem, name in (row.split(",") for row in rows) if name == split]
    both = []
    for part in ("images", "masks"):
        arrays = [
            cv2.imread(str(folder / part / f"{s}.png"), -1).ravel() for s in stems
        ]
        both.append(np.concatenate(arrays))
    inside = both[1] > 0
    return both[0][inside], both[1][inside]


def dice(levels: np.ndarray, classes: np.ndarray, cuts: tuple[int, int]) -> np.ndarray:
    """Dice of fluid, grey and white when grey matter lies between the cuts."""
    answer = 1 + (levels >= cuts[0]) + (levels >= cuts[1])
    of = [(answer == c, classes == c) for c in (1, 2, 3)]
    return np.array([2 * (a & t).sum() / (a.sum() + t.sum()) for a, t in of])


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = learning_sets.write("mni152", pathlib.Path(name) / "mni152")
        train, test = (pixels(folder, split) for split in ("train", "test"))
    grid = np.unique(np.quantile(train[0], np.linspace(0.01, 0.99, 99)).astype(int))
    pairs = itertools.combinations(grid.tolist(), 2)
    cuts = max(pairs, key=lambda pair: dice(*train, pair).mean())
    print(f"thresholds {cuts}, chosen on train; Dice on test:")
    for tissue, value in zip(learning_sets.TISSUES[1:], dice(*test, cuts), strict=True):
        print(f"{tissue} {value:.3f}")


if __name__ == "__main__":
    main()
