"""A user's folder becomes a prepared data set, for real images and small ones."""

import json
import os
import shutil

import cv2
import numpy as np
import pytest
import tifffile
from support import real_images

from jaxseg.data import intensity, prepared
from jaxseg.data.datasets import image_folder
from jaxseg.errors import ConfigError, DataError
from jaxseg.types import IGNORE

SPLITS = ("train", "validation", "test")


def folder(root, masks, *, images=None, splits=None, classes=None, size=(12, 9)):
    """A folder with one image for each of the masks {stem: array or None}."""
    rng = np.random.default_rng(0)
    for stem, mask in masks.items():
        shape = size if mask is None else mask.shape
        image = (images or {}).get(stem)
        image = rng.integers(0, 256, shape, np.uint8) if image is None else image
        for name, array in (("images", image), ("masks", mask)):
            path = root / name / f"{stem}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            if array is not None:
                assert cv2.imwrite(str(path), array)
    if splits:
        (root / "splits.csv").write_text("\n".join(splits))
    if classes:
        (root / "classes.txt").write_text("\n".join(classes))
    return root


def blobs(count, *, high=255, size=(12, 9), first=0):
    """Masks {a00: ..} of different sizes with a square of `high`, the first empty."""
    masks = {}
    for k in range(count):
        mask = np.zeros((size[0] + k % 3, size[1]), np.uint8)
        mask[2:6, 1 : 1 + k % 7] = high
        masks[f"a{k + first:02d}"] = mask
    return masks


def listing(root):
    return sorted((str(p), p.stat().st_mtime_ns) for p in root.rglob("*"))


def stored(directory):
    """{id: example, with its split} of everything in a prepared data set."""
    out = {}
    for name in SPLITS:
        split = prepared.open_split(directory, name)
        out |= {split.ids[k]: {**split[k], "split": name} for k in range(len(split))}
    return out


@pytest.fixture(scope="module")
def bbbc007(tmp_path_factory):
    root = tmp_path_factory.mktemp("real")
    source = real_images.bbbc007(root / "my_images")
    before = listing(source)
    directory = image_folder.prepare(source, root / "data", progress=False)
    assert listing(source) == before  # nothing is written into the user's folder
    return source, directory


def test_bbbc007(bbbc007):
    source, directory = bbbc007
    card = prepared.read_card(directory)
    assert [card["splits"][s]["images"] for s in SPLITS] == [8, 3, 3]
    assert card["extra"]["mask_format"]["decided"] == "instances"
    assert sum(card["extra"]["instances"].values()) == 1249
    assert sum(card["splits"][s]["objects"] for s in SPLITS) == 1249
    assert card["classes"] == ["background", "foreground"] and card["channels"] == 1
    assert card["sizes"] == {"min": [400, 400], "max": [450, 450], "distinct": 2}
    assert intensity.resolve("auto", card) == "none"
    examples = stored(directory)
    assert len(examples) == 14
    seen = [e["image"] for e in examples.values() if e["split"] == "train"]
    counts = sum(intensity.histogram(image) for image in seen)
    assert card["extra"]["intensity"] == intensity.summary(counts)
    for stem, example in examples.items():
        image = tifffile.imread(source / "images" / f"{stem}.tif")
        mask = tifffile.imread(source / "masks" / f"{stem}.tif")
        np.testing.assert_array_equal(example["image"][..., 0], image)
        np.testing.assert_array_equal(example["mask"], mask > 0)
        np.testing.assert_array_equal(example["instances"], mask)
        assert example["label"] == 1 and example["group"] == stem


def test_the_same_folder_is_not_read_again(bbbc007, monkeypatch):
    source, directory = bbbc007
    with monkeypatch.context() as patch:
        patch.setattr(image_folder.check, "examine", None)
        assert image_folder.prepare(source, directory.parents[1]) == directory
    path = source / "masks" / "A9 p5d.tif"
    os.utime(path, ns=(0, 0))
    changed = image_folder.prepare(source, directory.parents[1], progress=False)
    assert changed != directory and directory.exists()
    assert not [p for p in changed.parent.iterdir() if p.name.startswith(".")]
    hashes = [prepared.read_card(d)["split_hash"] for d in (changed, directory)]
    assert hashes[0] == hashes[1]


def test_sixteen_bit_microscopy(tmp_path):
    image, ids = (tifffile.imread(path) for path in real_images.stardist())
    assert len(np.unique(ids)) == 126
    for k, name in enumerate(SPLITS):  # three of four quarters, 16 bits with an offset
        rows, columns = divmod(k, 2)
        part = np.s_[rows * 256 : (rows + 1) * 256, columns * 256 : (columns + 1) * 256]
        for kind, array in (("images", image + np.uint16(1000)), ("masks", ids)):
            (tmp_path / "in" / name / kind).mkdir(parents=True)
            tifffile.imwrite(tmp_path / "in" / name / kind / "tile.tif", array[part])
    directory = image_folder.prepare(
        tmp_path / "in", tmp_path, progress=False, mask_format="instances"
    )
    card = prepared.read_card(directory)
    assert card["dtype"] == "uint16" and card["extra"]["intensity"]["min"][0] >= 1000
    mode = intensity.resolve("auto", card)
    examples = stored(directory)
    assert set(examples) == {f"{name}/tile" for name in SPLITS}
    for example in examples.values():
        levels = len(np.unique(example["image"]))
        converted = intensity.to_levels(example["image"], mode=mode, bits=8)
        assert len(np.unique(converted)) > 0.9 * min(levels, 256) > 60
        inside, outside = (converted[example["mask"] == k].mean() for k in (1, 0))
        assert inside > outside + 40


def test_splits_are_made_by_group_and_stratified(tmp_path):
    masks = blobs(28)
    rows = [f"{stem},,p{k // 2}" for k, stem in enumerate(masks)]
    twin = np.arange(13 * 9, dtype=np.uint8).reshape(13, 9)
    masks["twin"] = masks["other"] = masks["a01"]
    rows += ["twin,,x", "other,,y"]
    source = folder(
        tmp_path / "in",
        masks,
        images={"twin": twin, "other": twin},
        splits=["stem,split,group", *rows],
    )
    found = stored(image_folder.prepare(source, tmp_path, progress=False))
    again = stored(image_folder.prepare(source, tmp_path / "b", progress=False))
    assert {k: e["split"] for k, e in found.items()} == {
        k: e["split"] for k, e in again.items()
    }
    for k in range(0, 28, 2):
        assert found[f"a{k:02d}"]["split"] == found[f"a{k + 1:02d}"]["split"]
    assert found["twin"]["split"] == found["other"]["split"]
    for name in SPLITS:
        mine = [e for e in found.values() if e["split"] == name]
        assert len(mine) >= (18 if name == "train" else 2)
        assert any(e["label"] for e in mine)


def test_class_ids_unlabelled_pixels_and_images(tmp_path):
    masks = {f"p/{k}": np.full((5 + k, 4), k % 3, np.uint8) for k in range(9)}
    masks["p/0"][0] = IGNORE
    masks["blank"] = None
    names = ["train"] * 3 + ["validation"] * 3 + ["test"] * 3 + ["unlabelled"]
    rows = [f"{stem};{name}" for stem, name in zip(masks, names, strict=True)]
    source = folder(
        tmp_path / "in",
        masks,
        splits=["stem;split", *rows],  # as a spreadsheet writes it
        classes=["nothing", "cat", "dog", ""],
    )
    directory = image_folder.prepare(source, tmp_path, progress=False)
    card, found = prepared.read_card(directory), stored(directory)
    assert card["classes"] == ["nothing", "cat", "dog"]
    assert card["extra"]["mask_format"]["decided"] == "class_ids"
    train = card["splits"]["train"]
    assert (train["images"], train["unlabelled_images"]) == (4, 1)
    assert train["ignored_pixels"] == 4 + 12 * 9
    assert (found["blank"]["mask"] == IGNORE).all() and found["blank"]["label"] == -1
    np.testing.assert_array_equal(found["p/0"]["mask"], masks["p/0"])


def test_grey_among_colour_and_images_without_mask(tmp_path):
    masks = blobs(8) | {"free": None}
    colour = np.random.default_rng(1).integers(0, 256, (13, 9, 3), np.uint8)
    source = folder(tmp_path / "in", masks, images={"a01": colour})
    directory = image_folder.prepare(
        source, tmp_path, progress=False, allow_unlabelled=True
    )
    found = stored(directory)
    assert prepared.read_card(directory)["channels"] == 3
    np.testing.assert_array_equal(found["a01"]["image"], colour[..., ::-1])
    grey = found["a02"]["image"]
    assert (grey == grey[..., :1]).all()
    assert found["free"]["split"] == "train" and (found["free"]["mask"] == 255).all()


def test_dicom_and_the_same_image_in_two_splits(tmp_path):
    source = folder(tmp_path / "in", {})
    for name in ("images", "masks"):
        (source / name).mkdir(parents=True)
    film = real_images.located("pydicom-data", "data/693_UNCR.dcm")[0]
    for stem in ("a", "b", "c"):
        shutil.copyfile(film, source / "images" / f"{stem}.dcm")
        mask = np.zeros((512, 512), np.uint8)
        mask[:9] = 1
        cv2.imwrite(str(source / "masks" / f"{stem}.png"), mask)
    rows = ["stem,split", "a,train", "b,validation", "c,test"]
    (source / "splits.csv").write_text("\n".join(rows))
    card = prepared.read_card(image_folder.prepare(source, tmp_path, progress=False))
    assert card["extra"]["equal_images_in_two_splits"] == 1
    assert card["dtype"] == "uint16" and card["sizes"]["min"] == [512, 512]
    assert json.dumps(card["splits"]["test"]["pixels"]) == "[257536, 4608]"


def test_options(tmp_path):
    source = folder(tmp_path / "in", blobs(4))
    with pytest.raises(ConfigError, match="'classids'.*'class_ids'"):
        image_folder.prepare(source, tmp_path, mask_format="classids")
    with pytest.raises(ConfigError, match="is inside"):
        image_folder.prepare(source, source / "data")
    with pytest.raises(DataError, match="python -m jaxseg.prepare"):
        image_folder.Builder(data_dir=tmp_path / "x").download_and_prepare()
