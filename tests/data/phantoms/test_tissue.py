"""Phantom tissue looks as promised, and its tree is a folder that a user could have."""

import csv

import cv2
import numpy as np
import pytest
from support import runs

from jaxseg.config import check
from jaxseg.data import prepared
from jaxseg.data.datasets import image_folder
from jaxseg.data.phantoms import tissue, tissue_tree
from jaxseg.errors import ConfigError, DataError

SIZE, SEED = 128, 3


@pytest.fixture(scope="module")
def sample():
    pairs = [tissue.draw(i, size=SIZE, seed=SEED) for i in range(48)]
    return np.stack([p[0] for p in pairs]), np.stack([p[1] for p in pairs])


def _shares(masks):
    return np.bincount(np.concatenate([m.ravel() for m in masks]), minlength=5) / sum(
        m.size for m in masks
    )


def test_a_section_is_a_function_of_its_number_and_seed(sample):
    image, mask = tissue.draw(5, size=(SIZE, SIZE), seed=SEED)
    assert image.dtype == mask.dtype == np.uint8
    assert image.shape == (SIZE, SIZE, 3) and mask.shape == (SIZE, SIZE)
    np.testing.assert_array_equal(image, sample[0][5])
    np.testing.assert_array_equal(mask, sample[1][5])
    for other in (
        tissue.draw(6, size=SIZE, seed=SEED),
        tissue.draw(5, size=SIZE, seed=4),
    ):
        assert (image != other[0]).mean() > 0.5
        assert (mask != other[1]).mean() > 0.1


def test_the_classes_have_the_shares_that_are_stated(sample):
    assert sum(tissue.SHARES) == pytest.approx(1)
    assert tissue.SHARES[-1] == min(tissue.SHARES) == 0.003
    np.testing.assert_allclose(_shares(sample[1]), tissue.SHARES, rtol=0.2)
    ten = _shares(sample[1][10:20])  # so few images show each class already
    np.testing.assert_allclose(ten, tissue.SHARES, rtol=0.5)


@pytest.mark.parametrize("size", [48, (96, 160), 256])
def test_a_larger_image_shows_more_of_the_same_scale(size):
    shape = (size, size) if isinstance(size, int) else size
    number = 30 * SIZE**2 // (shape[0] * shape[1])  # the same area of tissue
    pairs = [tissue.draw(i, size=size, seed=SEED) for i in range(number)]
    assert {p[0].shape for p in pairs} == {(*shape, 3)}
    masks = [p[1] for p in pairs]
    np.testing.assert_allclose(_shares(masks)[:3], tissue.SHARES[:3], rtol=0.3)
    glands = [(m == 1).astype(np.uint8) for m in masks]
    depth = [cv2.distanceTransform(g, cv2.DIST_L2, 5).max() for g in glands if g.any()]
    assert 5 < np.median(depth) < 16


def test_structures_do_not_touch(sample):
    for mask in sample[1][:8]:
        for k in range(1, 5):
            near = cv2.dilate((mask == k).astype(np.uint8), np.ones((3, 3), np.uint8))
            assert set(np.unique(mask[near > 0])) <= {0, k}


def test_no_colour_belongs_to_one_class(sample):
    """Each pixel's best guess by its colour finds little of the rarer classes."""
    image, mask = sample
    colour = (image // 32).astype(int) @ (64, 8, 1)
    table = np.zeros((512, 5))
    np.add.at(table, (colour[:24].ravel(), mask[:24].ravel()), 1)
    table /= table.sum(0) + 1e-9  # as if all classes were equally frequent
    guess = table.argmax(1)[colour[24:]]
    for k in range(1, 5):
        both = np.sum((guess == k) & (mask[24:] == k))
        dice = 2 * both / (np.sum(guess == k) + np.sum(mask[24:] == k))
        assert dice < (0.55, 0.3, 0.2, 0.05)[k - 1], tissue.CLASSES[k]


def test_each_class_looks_as_described(sample):
    """Each figure falls out of its range without the part of the drawing it names."""
    lumen, rim, nodule, stroma, fine = [], [], [], [], []
    for image, mask in zip(*sample, strict=True):
        grey = image.mean(-1)
        typical = np.median(grey[mask == 0])
        depth = cv2.distanceTransform((mask == 1).astype(np.uint8), cv2.DIST_L2, 5)
        if (depth > 8).any():
            lumen.append(np.median(grey[depth > 8]) - typical)
            rim.append(np.median(grey[(depth > 1) & (depth < 3)]) - typical)
        if (mask == 3).any():
            nodule.append(np.quantile(grey[mask == 3], 0.25) - typical)
        stroma.append(np.ptp(np.quantile(grey[mask == 0], (0.02, 0.98))))
        fine.append(np.std(grey - cv2.GaussianBlur(grey, (0, 0), 1.0)))
    assert np.median(lumen) > 25  # pale
    assert np.median(rim) < -15  # nuclei
    assert np.median(nodule) < -20
    assert np.median(stroma) > 60  # fibres, torn places and nuclei
    assert 2 < np.median(fine) < 8  # noise


def test_ganglion_cells_have_a_nucleolus(sample):
    """A dark dot in the middle, in a paler nucleus."""
    centre, ring = [], []
    for image, mask in zip(*sample, strict=True):
        count, _, boxes, middles = cv2.connectedComponentsWithStats(
            (mask == 4).astype(np.uint8)
        )
        for k in range(1, count):
            x, y = np.rint(middles[k]).astype(int)
            if boxes[k, 4] > 25 and 3 < min(x, y) and max(x, y) < SIZE - 4:
                patch = image[y - 3 : y + 4, x - 3 : x + 4].mean(-1)
                centre.append(patch[2:5, 2:5].min())
                ring.append(np.median(np.r_[patch[1, 1:6], patch[5, 1:6]]))
    assert len(centre) > 20
    assert np.mean(ring) - np.mean(centre) > 15


def test_a_size_too_small_is_refused():
    with pytest.raises(ConfigError, match="64x31 pixels .* at least 32"):
        tissue.draw(0, size=(64, 31), seed=0)


def test_the_tree_holds_what_was_drawn_and_the_same_bytes_again(tmp_path):
    for name in ("a", "b"):
        tissue_tree.write(tmp_path / "new" / name, images=10, size=40, seed=SEED)
    root = tmp_path / "new" / "a"
    files = sorted(p.relative_to(root) for p in root.rglob("*.*"))
    assert len(files) == 22
    for file in files:
        assert (root / file).read_bytes() == (tmp_path / "new/b" / file).read_bytes()
    for index in range(10):
        image, mask = tissue.draw(index, size=40, seed=SEED)
        stored = cv2.imread(str(root / "images" / f"{index:05}.png"))
        np.testing.assert_array_equal(stored[..., ::-1], image)
        stored = cv2.imread(str(root / "masks" / f"{index:05}.png"), -1)
        np.testing.assert_array_equal(stored, mask)
    assert (root / "classes.txt").read_text().split() == list(tissue.CLASSES)
    rows = list(csv.reader((root / "splits.csv").read_text().splitlines()))[1:]
    assert [s for _, s in rows] == ["train", "train", "train", "validation", "test"] * 2


def test_a_user_gets_it_by_a_recipe(tmp_path):
    config = runs.config("folder", "demo")
    check.check(config)
    demo = {"size": config.data.demo.size, "images": 20}
    image_folder.write_demo(tmp_path / "raw", **demo)
    folder = image_folder.prepare(tmp_path / "raw", tmp_path / "data", progress=False)
    card = prepared.read_card(folder)
    assert card["classes"] == list(tissue.CLASSES)
    assert card["splits"]["train"]["pixels"][-1] > 0
    assert [s["images"] for s in card["splits"].values()] == [12, 4, 4]


def test_images_may_have_sizes_of_their_own(tmp_path):
    tissue_tree.write(tmp_path / "tree", images=10, size=64, seed=SEED, varied=True)
    shapes = [cv2.imread(str(p), -1).shape for p in (tmp_path / "tree/masks").iterdir()]
    assert len(set(shapes)) > 7
    sides = np.array(shapes).ravel()
    assert sides.min() >= 48 and sides.max() <= 96 and np.ptp(sides) > 30


def test_a_tree_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    (tmp_path / "taken").mkdir()
    with pytest.raises(DataError, match="taken exists already"):
        tissue_tree.write(tmp_path / "taken", images=5, size=40)
    for wrong in ({"images": 4}, {"images": 5, "seed": -1}):
        with pytest.raises(ConfigError, match="at least 5 images and a seed of 0"):
            tissue_tree.write(tmp_path / "tree", size=40, **wrong)
    monkeypatch.setattr(tissue, "draw", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        tissue_tree.write(tmp_path / "tree", images=5, size=40)
    assert [p.name for p in tmp_path.iterdir()] == ["taken"]
