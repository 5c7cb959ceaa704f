"""A folder of small images in groups, without splits: what folds are dealt of."""

import csv
import pathlib

import cv2
import numpy as np


def make(
    root: pathlib.Path,
    *,
    images: int = 14,
    groups: int = 8,
    classes: int = 3,
    size: int = 16,
    split: str = "",
) -> pathlib.Path:
    """Images u8 with a square of each foreground class, in two of three images.

    `split` "" leaves the splits open; otherwise one image in five is for validation and
    one for test, whatever its group.
    """
    rng = np.random.default_rng(0)
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    turn = ("train", "train", "train", "validation", "test")
    rows = []
    for k in range(images):
        mask = np.zeros((size, size), np.uint8)
        for label in range(1, classes) if k % 3 else ():
            row, column = rng.integers(0, size - 5, 2)
            mask[row : row + 5, column : column + 5] = label
        image = rng.integers(60, 150, mask.shape).astype(np.uint8)
        image[mask == 1] += 90
        image[mask == 2] -= 60
        for folder, array in (("images", image), ("masks", mask)):
            cv2.imwrite(str(root / folder / f"{k:02d}.png"), array)
        group = "" if split else f"patient{k % groups}"
        rows.append((f"{k:02d}", turn[k % 5] if split else "", group))
    names = ["background", "bright", "dark"][:classes]
    (root / "classes.txt").write_text("\n".join(names) + "\n")
    with open(root / "splits.csv", "w", newline="") as file:
        csv.writer(file).writerows([("stem", "split", "group"), *rows])
    return root
