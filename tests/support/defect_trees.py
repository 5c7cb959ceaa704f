"""Small raw trees of the data sets of defects, as their makers lay them out."""

import csv
import pathlib

import cv2
import numpy as np

SIZE = (16, 24)


def put(path: pathlib.Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), array)


def mask(k: int) -> np.ndarray:
    """White on black, of 6 and more pixels."""
    out = np.zeros(SIZE, np.uint8)
    out[3:5, 2 : 5 + k % 9] = 255
    return out


def images(seed: int = 0):
    """Endless images of noise, grey."""
    rng = np.random.default_rng(seed)
    while True:
        yield rng.integers(0, 256, SIZE, np.uint8)


def ksdd2(root: pathlib.Path, *, train: int = 20, test: int = 6) -> pathlib.Path:
    """NNNNN.png and NNNNN_GT.png; every second sample has a defect."""
    stream = images()
    for split, count, first in (("train", train, 10000), ("test", test, 20000)):
        for k in range(count):
            put(root / split / f"{first + k}.png", next(stream))
            put(root / split / f"{first + k}_GT.png", (k % 2) * mask(k))
    return root


def severstal(root: pathlib.Path, *, count: int = 24) -> pathlib.Path:
    """train.csv of run lengths and train_images/; every third image has no defect."""
    rows = []
    for k, image in zip(range(count), images(), strict=False):
        put(root / "train_images" / f"{k:04x}.jpg", image)
        if k % 3:
            rows.append([f"{k:04x}.jpg", k % 4 + 1, runs(mask(k))])
        if k % 6 == 1:  # a second class in the same image
            rows.append([f"{k:04x}.jpg", 4 if k % 4 != 3 else 3, runs(mask(k)[::-1])])
    with open(root / "train.csv", "w", newline="") as file:
        csv.writer(file).writerows([("ImageId", "ClassId", "EncodedPixels"), *rows])
    return root


def runs(white: np.ndarray) -> str:
    """Pairs of (start from 1, length) over the pixels in column-major order."""
    flat = np.concatenate([[0], white.T.ravel() > 0, [0]]).astype(int)
    start, end = np.flatnonzero(np.diff(flat) > 0), np.flatnonzero(np.diff(flat) < 0)
    pairs = np.stack([start + 1, end - start], 1)
    return " ".join(map(str, pairs.ravel().tolist()))


def dagm(root: pathlib.Path, *, classes: int = 2, count: int = 10) -> pathlib.Path:
    """ClassN/Train and Test; Label/NNNN_label.PNG of the images with a defect."""
    stream = images()
    for c in range(1, classes + 1):
        for split in ("Train", "Test"):
            for k in range(count):
                put(root / f"Class{c}" / split / f"{k:04}.PNG", next(stream))
                if k % 2:
                    label = root / f"Class{c}" / split / "Label" / f"{k:04}_label.PNG"
                    put(label, mask(k))
            (root / f"Class{c}" / split / "Label" / "Labels.txt").write_text("1\n")
    return root


def elpv(root: pathlib.Path, *, count: int = 48) -> pathlib.Path:
    """images/cellNNNN.png and labels.csv: path, probability, type."""
    chances = ("0.0", "0.3333333333333333", "0.6666666666666666", "1.0")
    lines = []
    for k, image in zip(range(count), images(), strict=False):
        name = f"images/cell{k + 1:04}.png"
        put(root / name, image)
        kind = ("mono", "poly")[4 * k // count % 2]
        lines.append(f"{name}  {chances[k % 4]:20} {kind}")
    (root / "labels.csv").write_text("\n".join(lines) + "\n")
    return root
