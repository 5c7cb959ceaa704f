"""What is decided for a whole folder: palettes, objects, floats, turned pairs."""

import os
import subprocess
import sys

import numpy as np
import pytest
import tifffile
from PIL import Image
from support import raster_files
from test_image_folder import blobs, folder, stored

from jaxseg.data import intensity, prepared
from jaxseg.data.datasets import image_folder
from jaxseg.data.datasets._folder import check
from jaxseg.errors import DataError

BLACK_WHITE = np.array([[0] * 3, [255] * 3])
CLASSES = np.array([[0, 0, 0], [200, 0, 0], [0, 200, 0]])
SPLITS = ["train"] * 4 + ["validation"] * 2 + ["test"] * 2


def examined(source, mask_format="auto", **options):
    options = {"allow_unlabelled": False, "max_pixels": 10_000} | options
    return check.examine(source, mask_format=mask_format, progress=False, **options)


def table(source, masks):
    rows = [f"{stem},{split}" for stem, split in zip(masks, SPLITS, strict=True)]
    (source / "splits.csv").write_text("\n".join(["stem,split", *rows]))


def repaint(source, stem, mask, palette):
    """Saves a mask again, as a file with a palette."""
    path = source / "masks" / f"{stem}.png"
    raster_files.png(path, mask, 8, 3, palette=palette)


@pytest.mark.parametrize("mask_format", ["auto", "binary", "class_ids", "instances"])
def test_black_and_white_palettes_in_either_order(tmp_path, mask_format):
    masks = blobs(8, high=1)
    source = folder(tmp_path / "in", masks)
    table(source, masks)
    for k, (stem, mask) in enumerate(masks.items()):
        repaint(source, stem, mask ^ k % 2, BLACK_WHITE[:: -1 if k % 2 else 1])
    directory = image_folder.prepare(
        source, tmp_path, progress=False, mask_format=mask_format
    )
    examples = stored(directory)
    for stem, mask in masks.items():
        np.testing.assert_array_equal(examples[stem]["mask"], mask)
    why = prepared.read_card(directory)["extra"]["mask_format"]["why"]
    assert mask_format != "auto" or "palettes of black and white are read by" in why


@pytest.mark.parametrize("high", [1, 255])
def test_palettes_among_greyscale_masks(tmp_path, high):
    masks = blobs(4, high=high)
    source = folder(tmp_path, masks)
    repaint(source, "a01", (masks["a01"] == 0).astype(np.uint8), BLACK_WHITE[::-1])
    plan = examined(source)
    assert plan.mask_format == "binary" and plan.reading.white == high
    fact = plan.facts[1]
    assert dict(zip(fact.values, fact.pixels, strict=True)) == {
        0: (masks["a01"] == 0).sum(),
        high: (masks["a01"] == high).sum(),
    }


def test_classes_keep_their_indices_and_orders_must_agree(tmp_path):
    masks = {f"a{k}": np.arange(12, dtype=np.uint8).reshape(3, 4) % 3 for k in range(8)}
    masks["a1"] = masks["a1"] * np.uint8(255)  # 0, 254, 255
    masks["a1"][masks["a1"] == 254] = 2
    source = folder(tmp_path / "in", masks, classes=["ground", "red", "green"])
    table(source, masks)
    palette = np.zeros((256, 3))
    palette[:3], palette[255] = CLASSES, (224, 224, 192)  # as PASCAL VOC
    for stem, mask in masks.items():
        repaint(source, stem, mask, palette)
    examples = stored(image_folder.prepare(source, tmp_path, progress=False))
    for stem, mask in masks.items():
        np.testing.assert_array_equal(examples[stem]["mask"], mask)
    palette[[1, 2]] = palette[[2, 1]]
    swapped = np.array([0, 2, 1], np.uint8)[masks["a3"]]  # looks the same
    repaint(source, "a3", swapped, palette)
    with pytest.raises(DataError, match="a3.png has another palette than other masks"):
        examined(source)


def test_white_of_sixteen_bits(tmp_path):
    masks = {k: mask * np.uint16(257) for k, mask in blobs(4).items()}
    for mask_format in ("auto", "binary"):
        source = folder(tmp_path / mask_format, masks)
        plan = examined(source, mask_format)
        assert plan.mask_format == "binary"
        assert plan.facts[3].values.tolist() == [0, 65535]
    masks["a03"][0, 0] = 255
    with pytest.raises(DataError, match="0, 255, 65535, which could be classes"):
        examined(folder(tmp_path / "both", masks))


def numbered(count, *, pieces, seed, size=(90, 90)):
    """A mask of `count` ids, each of as many squares that do not touch."""
    mask = np.zeros(size, np.uint16)
    places = np.random.default_rng(seed).permutation(30 * 30)[: count * pieces]
    for k, place in enumerate(places):
        y, x = divmod(int(place), 30)
        mask[3 * y : 3 * y + 2, 3 * x : 3 * x + 2] = k % count + 1
    return mask


@pytest.mark.parametrize("pieces, rule", [(1, "instances"), (2, None), (6, None)])
def test_ids_that_lie_in_many_pieces_are_no_objects(tmp_path, pieces, rule):
    masks = {f"a{k}": numbered(40 + k, pieces=pieces, seed=k) for k in range(4)}
    masks["few"] = numbered(3, pieces=pieces, seed=9)
    if pieces == 1:
        masks["a0"][np.isin(masks["a0"], (3, 4, 5))] = 5  # some are occluded
    source = folder(tmp_path, masks)
    if rule:
        assert examined(source).mask_format == rule
    else:
        with pytest.raises(DataError, match="names of the classes into classes.txt"):
            examined(source)
        assert examined(source, "instances").mask_format == "instances"


def test_float_images_become_sixteen_bits(tmp_path):
    masks, rng = blobs(8), np.random.default_rng(0)
    source = folder(tmp_path / "in", masks)
    table(source, masks)
    images = {}
    for k, (stem, mask) in enumerate(masks.items()):
        images[stem] = rng.normal(k, 3, mask.shape).astype(np.float32)
        (source / "images" / f"{stem}.png").unlink()
        tifffile.imwrite(source / "images" / f"{stem}.tif", images[stem])
    directory = image_folder.prepare(source, tmp_path, progress=False)
    card = prepared.read_card(directory)
    assert card["dtype"] == "uint16"
    assert card["extra"]["float_percentiles"] == [0.1, 99.9]
    for stem, example in stored(directory).items():
        expected = intensity.from_float(images[stem][..., None])
        np.testing.assert_array_equal(example["image"], expected)
    path = source / "images/a01.tif"
    tifffile.imwrite(path, images["a01"].astype(np.float16))
    assert examined(source).floats  # both are floats
    images["a01"][2, 3] = np.nan
    tifffile.imwrite(path, images["a01"])
    with pytest.raises(DataError, match="a01.tif holds 1 NaN and 0 infinite numbers"):
        examined(source)
    tifffile.imwrite(path, masks["a01"] * np.uint16(2))
    with pytest.raises(
        DataError, match="float32 .*and uint16 .*save all of them in one"
    ):
        examined(source)


@pytest.mark.parametrize("size", [(12, 9), (9, 9)])
@pytest.mark.parametrize("tag", [3, 6])
def test_a_photograph_that_a_tag_turns(tmp_path, size, tag):
    """A mask drawn on the upright picture fits a quarter turn; else nobody can tell."""
    masks = blobs(3, size=size)
    source = folder(tmp_path, masks)
    for stem, mask in masks.items():
        (source / "images" / f"{stem}.png").unlink()
        exif = Image.Exif()
        exif[274] = tag
        stored_pixels = np.zeros(mask.T.shape if tag == 6 else mask.shape, np.uint8)
        image = Image.fromarray(stored_pixels)
        image.save(source / "images" / f"{stem}.jpg", exif=exif)
    square = [stem for stem, mask in masks.items() if len(set(mask.shape)) == 1]
    refused = list(masks) if tag == 3 else square
    if not refused:
        assert len(examined(source).items) == 3
        return
    with pytest.raises(DataError, match="EXIF") as caught:
        examined(source)
    assert str(caught.value).count("has the orientation") == len(refused)


WRITE = {
    "cells": ("splits.csv", b"stem,split\na00,train,x,y\n", "line 2 has 4 cells"),
    "columns": ("splits.csv", b"stem,split,split\n", "name split twice"),
    "code page": (
        "splits.csv",
        "stem\nMüller\n".encode("cp1252"),
        "splits.csv is not UTF-8",
    ),
    "classes": (
        "classes.txt",
        "Zähne\nLuft\n".encode("cp1252"),
        "classes.txt is not UTF-8",
    ),
    "UTF-16": ("classes.txt", "a\nb\n".encode("utf-16"), "classes.txt is UTF-16"),
    "groups": (
        "splits.csv",
        b"stem,split,group\na00,train,P1\na01,train,P2\na02,validation,p1\na03,test,X\n",
        "line 4: the group 'p1' differs from 'P1' only in case",
    ),
    "DICOM": ("images/x", bytes(128) + b"DICM", "x is DICOM; give its name the suffix"),
    "UID": ("images/1.2.840", bytes(128) + b"DICM", "1.2.840 is DICOM; give its name"),
}


@pytest.mark.parametrize("name", WRITE)
def test_what_stands_beside_the_images(tmp_path, name):
    where, data, words = WRITE[name]
    source = folder(tmp_path, blobs(4))
    (source / where).write_bytes(data)
    with pytest.raises(DataError, match=words):
        examined(source)


@pytest.mark.parametrize("name", ["splits.csv", "classes.txt", "images/b.png"])
def test_links_to_nothing_and_pipes(tmp_path, name):
    source = folder(tmp_path / "in", blobs(4))
    (source / name).symlink_to("gone")
    with pytest.raises(DataError, match=f"{name} is a link to gone"):
        image_folder.prepare(source, tmp_path, progress=False)
    (source / name).unlink()
    os.mkfifo(source / name)
    with pytest.raises(DataError, match=f"{name} is no regular file"):
        image_folder.prepare(source, tmp_path, progress=False)


def test_a_name_that_is_no_text(tmp_path):
    source = folder(tmp_path / "in", blobs(4))
    for kind in ("images", "masks"):
        old = os.fsencode(source / kind / "a01.png")
        os.rename(old, old.replace(b"a01", b"M\xfcller"))
    with pytest.raises(DataError, match=r"images: M.xfcller: the name is not UTF-8"):
        image_folder.prepare(source, tmp_path, progress=False)


def test_names_beyond_ascii_in_an_ascii_locale(tmp_path):
    names = ["é", "日本", "x,y"]
    masks = [*blobs(4).values()][1:]  # the first is empty
    source = folder(tmp_path / "in", dict(zip(names, masks, strict=True)))
    rows = [f'"{n}",{s}' for n, s in zip(names, SPLITS[3::2], strict=True)]
    (source / "splits.csv").write_text("\n".join(["stem,split", *rows]), "utf-8")
    program = (
        "from jaxseg.data import prepared\n"
        "from jaxseg.data.datasets import image_folder\n"
        f"done = image_folder.prepare({str(source)!r}, {str(tmp_path)!r})"
        "\nfor split in ('train', 'validation', 'test'):"
        "\n    print(ascii(prepared.open_split(done, split).ids[0]))"
    )
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    out = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **locale},
        capture_output=True,
        text=True,
        check=False,
    )
    assert out.stdout.split() == [ascii(name) for name in names], out.stderr


def test_jpeg_masks_of_one_value_or_more(tmp_path):
    masks = {k: np.kron(m, np.ones((4, 4), np.uint8)) for k, m in blobs(3).items()}
    source = folder(tmp_path, masks)
    for stem, mask in masks.items():
        (source / "masks" / f"{stem}.png").unlink()
        Image.fromarray(mask).save(source / "masks" / f"{stem}.jpg", quality=75)
    assert examined(source, "binary").mask_format == "binary"
    with pytest.raises(DataError, match="JPEG, which.* or set mask_format to 'bin"):
        examined(source)
    Image.fromarray(masks["a02"] // 2).save(source / "masks/a02.jpg", quality=75)
    with pytest.raises(DataError, match="a02.jpg: it is a JPEG with values up to"):
        examined(source, "binary")
