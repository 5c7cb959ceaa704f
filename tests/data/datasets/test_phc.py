"""The layout of the click study: what is stored, divided, warned of and refused."""

import collections

import cv2
import numpy as np
import pytest
from PIL import Image
from support import raster_files

from jaxseg.data import intensity, prepared
from jaxseg.data.datasets import phc
from jaxseg.data.phantoms import cells, phc_tree
from jaxseg.errors import DataError

SIZE, IMAGES = 40, 24
SPLITS = ("train", "validation", "test")
SQUARE = np.pad(np.ones((8, 8), np.uint8), 12)


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    root = tmp_path_factory.mktemp("raw") / "phc_data"
    phc_tree.write(root, images=IMAGES, size=SIZE, seed=1)
    return root


@pytest.fixture(scope="module")
def done(raw, tmp_path_factory):
    return phc.prepare(raw, tmp_path_factory.mktemp("done"), progress=False)


@pytest.fixture
def tree(tmp_path):
    return small(tmp_path / "in")


def small(root):
    """Raw files that a test may change: a00 to a07 to train, a00 and a01 to test."""
    for split, count in (("train", 8), ("test", 2)):
        for k in range(count):
            image, mask = cells.draw(k + 10 * count, size=32, seed=0)
            put(root / f"{split}/images/a{k:02}.jpg", image)
            put(root / f"{split}/labels/a{k:02}.png", mask * 255)
    return root


def put(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), array)


def label(root, array, name="train/labels/a00.png"):
    put(root / name, np.asarray(array))


def stored(directory):
    """{id: example, with its split} of everything in a prepared data set."""
    out = {}
    for name in SPLITS:
        split = prepared.open_split(directory, name)
        out |= {split.ids[k]: {**split[k], "split": name} for k in range(len(split))}
    return out


def test_every_image_and_mask_comes_back(raw, done):
    found = stored(done)
    assert len(found) == IMAGES
    for index in range(IMAGES):
        folder = "test" if index % 4 == 3 else "train"
        example = found[f"{folder}/{index:05}"]
        assert (example["split"] == "test") == (folder == "test")
        mask = cells.draw(index, size=SIZE, seed=1)[1]
        np.testing.assert_array_equal(example["mask"], mask)
        jpeg = cv2.imread(str(raw / folder / f"images/{index:05}.jpg"), -1)
        assert np.abs(example["image"][..., 0].astype(int) - jpeg).max() <= 1
        assert example["label"] == 1 and example["image"].shape[-1] == 1
    card = prepared.read_card(done)
    assert [card["splits"][s]["images"] for s in SPLITS] == [14, 4, 6]
    assert card["classes"] == ["background", "cell"] and card["channels"] == 1
    seen = [e["image"] for e in found.values() if e["split"] == "train"]
    counts = sum(intensity.histogram(image) for image in seen)
    assert card["extra"]["intensity"] == intensity.summary(counts)


def test_the_card_does_not_look_at_the_test_images(tree, tmp_path):
    for path in (tree / "train/images").iterdir():
        put(path, cv2.imread(str(path), 0) // 4)
    card = prepared.read_card(phc.prepare(tree, tmp_path, progress=False))
    assert card["extra"]["intensity"]["max"][0] < 80
    assert intensity.resolve("auto", card) == "percentile"


def test_nothing_to_warn_of(done):
    card = prepared.read_card(done)
    assert not any(v for k, v in card["extra"].items() if "_images_" in k)


def test_validation_is_made_from_train_by_the_seed(raw, done, tmp_path):
    def split_of(name, **options):
        directory = phc.prepare(raw, tmp_path / name, progress=False, **options)
        table = (directory / "splits.csv").read_text()
        rows = [line.split(",") for line in table.splitlines()[1:]]
        assert len(rows) == IMAGES
        return prepared.read_card(directory), {row[0]: row[2] for row in rows}

    card, same = split_of("same")
    other, moved = split_of("seed", seed=1)
    wide, most = split_of("share", validation=0.5)
    assert card["split_hash"] == prepared.read_card(done)["split_hash"]
    assert (done / "splits.csv").read_text().count("validation") == 4
    assert card["split_hash"]["test"] == other["split_hash"]["test"]
    assert card["split_hash"]["train"] != other["split_hash"]["train"]
    assert card["extra"]["splits_sha256"] != other["extra"]["splits_sha256"]
    for found in (same, moved, most):
        tests = {key for key, split in found.items() if split == "test"}
        assert tests == {f"test/{k:05}" for k in range(3, IMAGES, 4)}
    assert collections.Counter(most.values())["validation"] == 9
    assert "seed 1" in other["split_rule"] and "share 0.5" not in wide["split_rule"]
    with pytest.raises(DataError, match=r"seed=0 \(now 1\)"):
        phc.prepare(raw, tmp_path / "same", seed=1)


def test_groups_and_equal_images_stay_together(tree, tmp_path):
    for k in range(8, 12):  # films of two frames
        for frame in (0, 1):
            image, mask = cells.draw(100 + 2 * k + frame, size=32, seed=0)
            put(tree / f"train/images/f{k:02}_{frame}.jpg", image)
            put(tree / f"train/labels/f{k:02}_{frame}.png", mask * 255)
    twin = (tree / "train/images/a00.jpg").read_bytes()
    (tree / "train/images/a05.jpg").write_bytes(twin)
    (tree / "test/images/a01.jpg").write_bytes(twin)
    for seed in range(4):
        directory = phc.prepare(
            tree,
            tmp_path / str(seed),
            progress=False,
            seed=seed,
            validation=0.4,
            group_pattern="^([a-z][0-9]+)",
        )
        found = stored(directory)
        for k in range(8, 12):
            pair = [found[f"train/f{k:02}_{frame}"] for frame in (0, 1)]
            assert pair[0]["split"] == pair[1]["split"]
            assert pair[0]["group"] == pair[1]["group"] == f"train/f{k:02}"
        assert found["train/a00"]["split"] == found["train/a05"]["split"]
    extra = prepared.read_card(directory)["extra"]
    assert extra["test_images_also_in_train"] == 1
    assert extra["test_images_of_groups_in_train"] == 2  # a00 and a01


def test_labels_of_zero_and_one_when_that_is_said(tree, tmp_path):
    for path in tree.rglob("*.png"):
        put(path, np.minimum(cv2.imread(str(path), 0), 1))
    options = {"progress": False, "label_values": "class_ids"}
    found = stored(phc.prepare(tree, tmp_path / "out", **options))
    mask = cells.draw(83, size=32, seed=0)[1]
    np.testing.assert_array_equal(found["train/a03"]["mask"], mask)
    label(tree, SQUARE * 255)
    with pytest.raises(DataError, match="a00.png holds 255; labels of class_ids"):
        phc.prepare(tree, tmp_path / "other", **options)


def test_soft_edges_empty_labels_and_sixteen_bits_are_understood(tree, tmp_path):
    soft = cv2.GaussianBlur(SQUARE * 255, (3, 3), 0)
    label(tree, soft)
    label(tree, np.zeros_like(SQUARE), "train/labels/a01.png")
    label(tree, SQUARE.astype(np.uint16) * 65535, "train/labels/a02.png")
    directory = phc.prepare(tree, tmp_path, progress=False)
    found, extra = stored(directory), prepared.read_card(directory)["extra"]
    np.testing.assert_array_equal(found["train/a00"]["mask"], soft > 127)
    np.testing.assert_array_equal(found["train/a02"]["mask"], SQUARE)
    assert found["train/a01"]["label"] == 0
    assert extra["labels_with_grey_edges"] == extra["labels_without_foreground"] == 1


def test_grey_among_colour_becomes_colour(tree, tmp_path):
    colour = cv2.cvtColor(cells.draw(0, size=32, seed=5)[0], cv2.COLOR_GRAY2BGR)
    put(tree / "train/images/a00.jpg", colour)  # three equal channels are grey
    assert stored(phc.prepare(tree, tmp_path / "grey", progress=False))["train/a00"][
        "image"
    ].shape == (32, 32, 1)
    colour[:, :, 0] //= 2
    put(tree / "train/images/a00.jpg", colour)
    found = stored(phc.prepare(tree, tmp_path / "out", progress=False))
    image = found["train/a00"]["image"].astype(int)
    assert image[..., 0].mean() > 1.5 * image[..., 2].mean()  # red above blue
    grey = found["test/a00"]["image"]
    assert grey.shape == (32, 32, 3) and (grey == grey[..., :1]).all()


def test_labels_with_a_palette_are_read_by_colour(tree, tmp_path):
    path = tree / "train/labels/a00.png"
    mask = cv2.imread(str(path), 0) // 255
    white_first = np.array([[255] * 3, [0] * 3])
    raster_files.png(path, 1 - mask, 1, 3, palette=white_first)
    found = stored(phc.prepare(tree, tmp_path, progress=False))
    np.testing.assert_array_equal(found["train/a00"]["mask"], mask)
    raster_files.png(path, mask, 1, 3, palette=np.array([[200, 0, 0], [0] * 3]))
    with pytest.raises(
        DataError, match="a00.png has a palette in which a brighter col"
    ):
        phc.prepare(tree, tmp_path / "other", progress=False)


def test_an_image_that_a_tag_turns_and_its_label(tree, tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    path = tree / "train/images/a00.jpg"
    Image.open(path).save(path, exif=exif)
    with pytest.raises(DataError, match="a00.jpg has the orientation 6 .EXIF"):
        phc.prepare(tree, tmp_path, progress=False)
