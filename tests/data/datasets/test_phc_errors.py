"""What is wrong with a folder of the click study is said: the file, and what to do."""

import re

import numpy as np
import pytest
from test_phc import SQUARE, put, small, stored

from jaxseg.data.datasets import phc
from jaxseg.errors import ConfigError, DataError


@pytest.fixture
def tree(tmp_path):
    return small(tmp_path / "in")


def rename(old, new):
    return lambda root: (root / old).rename(root / new)


def remove(name):
    return lambda root: (root / name).unlink()


def label(array, name="train/labels/a00.png"):
    return lambda root: put(root / name, np.asarray(array))


def cut(name):
    return lambda root: (root / name).write_bytes((root / name).read_bytes()[:100])


NUMBERED = np.zeros((32, 32), np.uint8)
NUMBERED[::4] = np.arange(40, 200, 20)[:, None]


def link(name, target):
    def change(root):
        (root / name).unlink()
        (root / name).symlink_to(target)

    return change


CASES = {
    "lost link": (
        link("train/images/a01.jpg", "gone"),
        "a01.jpg is a link to gone",
    ),
    "device": (link("test/labels/a00.png", "/dev/zero"), "a00.png is no regular file"),
    "no label": (remove("train/labels/a01.png"), "images/a01.jpg is an image without"),
    "no image": (remove("test/images/a01.jpg"), "labels/a01.png is a label without"),
    "other name": (
        rename("train/labels/a01.png", "train/labels/a01_label.png"),
        "a01_label.png is a label without an image; did you mean 'a01'",
    ),
    "size": (label(SQUARE[:16] * 255), r"a00.jpg is 32 x 32 .*a00.png is 16 x 32\."),
    "damaged": (cut("train/images/a02.jpg"), "a02.jpg cannot be read, it is damaged"),
    "damaged label": (cut("test/labels/a00.png"), "test/labels/a00.png cannot be read"),
    "0 and 1": (label(SQUARE), "values up to 1, none above half.*label_values to 'cl"),
    "dark": (label(SQUARE * 100), "a00.png holds values up to 100, none .*0 and 255"),
    "16 bits": (label(SQUARE.astype(np.uint16) * 255), r"255, none .*\(32767.5\)"),
    "numbered": (label(NUMBERED), "a00.png .*number objects.*image_folder"),
    "colours": (
        label(np.random.default_rng(0).integers(0, 9, (32, 32, 3), np.uint8)),
        "a00.png is a mask in 3 channels",
    ),
    "folder": (
        rename("train/labels", "train/masks"),
        "holds images/, masks/.*masks do",
    ),
    "no test": (rename("test", "val"), "needs the folders train/ and test/, but.*val/"),
    "beside": (label(SQUARE, "train/images/a09.png"), "a09.png does not belong there"),
    "nested": (label(SQUARE, "train/labels/x/a.png"), "labels/x does not belong there"),
    "above": (label(SQUARE, "notes.png"), "notes.png does not belong there"),
    "twice": (label(SQUARE, "train/images/a00.jpeg"), "a00.jpg and a00.jpeg have"),
    "empty": (rename("test/images", "test/.images"), "needs the folders images/"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_is_said(case, tree, tmp_path):
    change, words = CASES[case]
    change(tree)
    with pytest.raises(DataError, match=re.compile(words, re.DOTALL)) as error:
        phc.prepare(tree, tmp_path / "out", progress=False)
    assert "1 problem" in str(error.value) or case in (
        "folder",
        "no test",
        "other name",
    )
    assert not (tmp_path / "out/phc").exists()


def test_all_problems_come_at_once_and_are_mended_at_once(tree, tmp_path):
    (tree / ".DS_Store").touch()  # and what a system leaves behind is none
    before = (tree / "train/images/a02.jpg").read_bytes()
    cut("train/images/a02.jpg")(tree)
    label(SQUARE)(tree)
    with pytest.raises(DataError, match=r"(?s)2 problem.*a00.png.*a02.jpg"):
        phc.prepare(tree, tmp_path / "out", progress=False)
    (tree / "train/images/a02.jpg").write_bytes(before)
    label(SQUARE * 255)(tree)
    assert len(stored(phc.prepare(tree, tmp_path / "out", progress=False))) == 10
    with pytest.raises(DataError, match="no folder"):
        phc.prepare(tmp_path / "none", tmp_path / "out")


@pytest.mark.parametrize(
    "options, words",
    [
        ({"label_values": "ids"}, "allowed are .'grey', 'class_ids'"),
        ({"validation": 0.0}, "between 0 and 1"),
        ({"group_pattern": "("}, "group_pattern"),
        ({"group_pattern": "a.*"}, r"has no \(\.\.\.\)"),
    ],
)
def test_options_that_cannot_be_used(options, words, tree, tmp_path):
    with pytest.raises(ConfigError, match=words):
        phc.prepare(tree, tmp_path / "out", **options)
    with pytest.raises(DataError, match="finds no group in its name"):
        phc.prepare(tree, tmp_path / "out", group_pattern="(x)")
    with pytest.raises(DataError, match="jaxseg.prepare"):
        phc.Builder(data_dir=tmp_path).download_and_prepare()
