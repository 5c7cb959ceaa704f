"""Small folders of images in every kind of file, and runs that learned from them."""

import csv
import fcntl
import io
import os
import pathlib
import shutil

import cv2
import numpy as np
import tifffile
from PIL import Image

from jaxseg.predict import folder
from jaxseg.train import loop
from support import dicom_files, runs

SIZES = [(40, 52), (64, 36), (20, 24)]  # one is smaller than a tile
KINDS = ("png", "jpg", "tif", "dcm")
SPLITS = ("train", "train", "validation", "test", "test")
COUNT = 30
QUICK = {
    "model.name": "support.tiny",
    "epochs": 15,
    "batch_size": 4,
    "data.image_size": (32, 32),
    "data.options.mask_format": "class_ids",
    "eval.every_epochs": 15,
    "eval.bootstrap": 20,
    "eval.surface": False,
    "eval.per_device_batch": 3,
    "optim.learning_rate": 3e-2,
    "optim.warmup_epochs": 0.0,
}


def example(k, *, classes=2, size=None):
    """Image u8 and mask number k: noise with bright and, above two classes, dark."""
    rng = np.random.default_rng(k)
    height, width = size or SIZES[k % 3]
    mask = np.zeros((height, width), np.uint8)
    for label in range(1, classes):
        for _ in range(2):
            y, x = rng.integers(0, height - 7), rng.integers(0, width - 7)
            mask[y : y + 7, x : x + 7] = label
    image = rng.integers(60, 150, (height, width)).astype(np.uint8)
    image[mask == 1] += 90
    image[mask == 2] -= 60
    return image, mask


def write(path, image):
    """One image in the kind of file that the name of `path` says."""
    kind = path.suffix[1:]
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "tif":
        tifffile.imwrite(path, image)
    elif kind == "dcm":
        tags = {"SeriesInstanceUID": "1.2.9", "Modality": "DX"}
        tags["PixelSpacing"] = [0.5, 0.5]
        dicom_files.write(path, image, bits=8 * image.dtype.itemsize, **tags)
    else:
        cv2.imwrite(str(path), image)
    return path


def turned(path, image, orientation=6):
    """A PNG whose stored rows are the columns of the upright `image`."""
    tags, out = Image.Exif(), io.BytesIO()
    tags[274] = orientation
    Image.fromarray(np.rot90(image).copy()).save(out, "PNG", exif=tags)
    path.write_bytes(out.getvalue())
    return path


def data(root, *, classes=2, sixteen=False):
    """A folder of COUNT images: u8 in every kind of file, or TIFF of 16 bits."""
    (root / "masks").mkdir(parents=True)
    rows = []
    for k in range(COUNT):
        size = (40, 36) if sixteen else None
        image, mask = example(k, classes=classes, size=size)
        image = image.astype(np.uint16) * 40 + 300 if sixteen else image
        kind = "tif" if sixteen else KINDS[k % 4]
        name = f"{'ab'[k % 2]}/{k:02d}"
        write(root / f"images/{name}.{kind}", image)
        write(root / f"masks/{name}.png", mask)
        rows.append((name, SPLITS[k % 5]))
    with open(root / "splits.csv", "w", newline="") as file:
        csv.writer(file).writerows([("stem", "split"), *rows])
    return root


def train(root, name="run", **changes):
    """The workdir of a run on `data(root / "data")`, which must be there."""
    config = runs.config("folder", **QUICK | {"data.dir": str(root / "data")} | changes)
    loop.train_and_evaluate(config, root / name)
    return root / name


def shared(tmp_path_factory, *, three_classes=False):
    """A folder with data/, run/ and the test images in images/; of one session, once.

    Whoever comes first makes it, also where several processes test: nobody writes there
    afterwards.
    """
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    root = base / f"predicting-{3 if three_classes else 2}"
    with open(f"{root}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (root / "images").exists():
            shutil.rmtree(root, ignore_errors=True)
            data(root / "data", classes=2 + three_classes, sixteen=three_classes)
            train(root, **{"epochs": 6} if three_classes else {})
            for name, path in test_files(root / "data").items():
                copy = root / "images.part" / f"{name}{path.suffix}"
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, copy)
            (root / "images.part").rename(root / "images")
    return root


def test_files(root):
    """{id: path} of the test images of `data(root)`."""
    with open(root / "splits.csv", newline="") as file:
        names = [r["stem"] for r in csv.DictReader(file) if r["split"] == "test"]
    return {n: next((root / "images").glob(f"{n}.*")) for n in names}


def one_of_each_kind(root, folder):
    """A new folder with the first test image of each kind of file."""
    folder.mkdir()
    for kind in KINDS:
        paths = test_files(root / "data").values()
        shutil.copy(next(p for p in paths if p.suffix == f".{kind}"), folder)
    return folder


def predict(run, source, output, **options):
    """The outcome of `folder.predict` for one run, or a tuple of several."""
    several = run if isinstance(run, tuple) else (run,)
    return folder.predict(
        folder.Request(several, pathlib.Path(source), pathlib.Path(output), **options)
    )


def contents(output):
    """{name: bytes} of everything below a folder."""
    files = sorted(p for p in pathlib.Path(output).rglob("*") if p.is_file())
    return {p.relative_to(output).as_posix(): p.read_bytes() for p in files}


def table(path):
    """The rows of a CSV file."""
    with open(path, newline="") as file:
        return list(csv.DictReader(file))
