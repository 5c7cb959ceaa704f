"""The crack collection is read in both layouts, and what is wrong with it is named."""

import cv2
import numpy as np
import pytest

from jaxseg.data import prepared
from jaxseg.data.datasets import _sccdnet_source, sccdnet
from jaxseg.errors import ConfigError, DataError
from jaxseg.types import IGNORE

SIZE = (16, 24)


def put(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), array)


def _mask(k):
    mask = np.zeros(SIZE, np.uint8)
    mask[3:5, 2 : 5 + k] = 255
    return mask


def plain(root, *, train=16, test=4):
    """train/ and test/ with images/ and masks/: every second image has a crack."""
    rng = np.random.default_rng(0)
    for split, count in (("train", train), ("test", test)):
        for k in range(count):
            image = rng.integers(0, 256, (*SIZE, 3), np.uint8)
            put(root / split / "images" / f"{split}_{k:02}.png", image)
            mask = _mask(k) if k % 2 else np.zeros(SIZE, np.uint8)
            put(root / split / "masks" / f"{split}_{k:02}.png", mask)
    return root


def sided(root, *, splits=("train", "val", "test"), count=6):
    """train_positive/ ... with _GT files; a negative has one or none."""
    rng = np.random.default_rng(1)
    for split in splits:
        for k in range(count):
            image = rng.integers(0, 256, (*SIZE, 3), np.uint8)
            put(root / f"{split}_positive" / f"p{split}{k}.png", image)
            put(root / f"{split}_positive" / f"p{split}{k}_GT.png", _mask(k))
            put(root / f"{split}_negative" / f"n{split}{k}.png", 255 - image)
        put(root / f"{split}_negative" / f"n{split}0_GT.png", 0 * _mask(0))
    return root


def stored(directory):
    out = {}
    for name in ("train", "validation", "test"):
        split = prepared.open_split(directory, name)
        out |= {split.ids[k]: {**split[k], "split": name} for k in range(len(split))}
    return out


def ready(root, **options):
    return sccdnet.prepare(root, root.parent / "data", progress=False, **options)


def test_images_and_masks(tmp_path):
    directory = ready(plain(tmp_path / "in"), validation=0.25)
    examples, card = stored(directory), prepared.read_card(directory)
    assert len(examples) == 20 and card["channels"] == 3
    assert {e["split"] for n, e in examples.items() if "test" in n} == {"test"}
    for name in ("validation", "test"):
        assert card["splits"][name]["images"] == 2 * card["splits"][name]["positives"]
        assert card["splits"][name]["images"] == 4
    one = examples["train/train_03"]
    np.testing.assert_array_equal(one["mask"], _mask(3) > 0)
    assert one["label"] == 1 and examples["train/train_02"]["label"] == 0
    assert card["extra"]["share_of_grey_mask_pixels"] == 0


def test_positive_and_negative_folders(tmp_path):
    root = sided(tmp_path / "in")
    (root / "train_positive" / "ptrain2_GT.png").unlink()
    (root / "image_level.txt").write_text("ptrain2.png\n")
    directory = ready(root)
    examples, card = stored(directory), prepared.read_card(directory)
    assert len(examples) == 36 and card["split_rule"] == "as given"
    assert examples["val_positive/pval1"]["split"] == "validation"
    bare = examples["train_positive/ptrain2"]
    assert bare["label"] == 1 and (bare["mask"] == IGNORE).all()
    for name, example in examples.items():
        if "negative" in name:  # with a mask file or without one
            assert example["label"] == 0 and not example["mask"].any()
    assert card["splits"]["train"]["label_only_images"] == 1


def test_a_validation_folder_and_lists_are_kept(tmp_path):
    root = plain(tmp_path / "in")
    names = [f"train_{k:02}.png" for k in range(4)]
    (root / "splits").mkdir()
    (root / "splits" / "split_val.txt").write_text("\n".join(names))
    (root / "splits" / "split_test.txt").write_text("train_05.png\ntest_00.png")
    (root / "splits" / "split_CFD.txt").write_text("of one source, passed over")
    examples = stored(ready(root))
    inside = {
        n.split("/")[1] for n, e in examples.items() if e["split"] == "validation"
    }
    assert inside == {name.removesuffix(".png") for name in names}
    assert examples["train/train_05"]["split"] == "test"
    (root / "splits" / "split_test.txt").write_text("train_06.png")
    with pytest.raises(DataError, match="prepared differently: 1 source files"):
        ready(root)


def test_grey_pixels_of_masks_are_cut_at_half_and_counted(tmp_path):
    root = plain(tmp_path / "in")
    grey = _mask(9)
    grey[3, 2:4], grey[6, 6] = 127, 128
    put(root / "train/masks/train_01.png", grey)
    (root / "train/masks/train_03.png").unlink()
    large = cv2.resize(_mask(12), None, fx=1, fy=1)
    put(root / "train/masks/train_03.jpg", large)
    directory = ready(root)
    card = prepared.read_card(directory)
    mask = stored(directory)["train/train_01"]["mask"]
    assert not mask[3, 2:4].any() and mask[6, 6] == 1
    assert card["extra"]["masks_with_grey_pixels"] == 2
    assert card["extra"]["share_of_grey_mask_pixels"] > 3 / (20 * 16 * 24)


def test_sides_that_eight_does_not_divide_are_counted(tmp_path, caplog):
    root = plain(tmp_path / "in")
    for kind in ("images", "masks"):
        path = root / "train" / kind / "train_00.png"
        put(path, cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[:13])
    card = prepared.read_card(ready(root))
    assert card["extra"]["images_with_sides_not_divisible_by_8"] == 1


BAD = {
    "positive without a mask": (
        lambda r: (r / "train_positive/ptrain1_GT.png").unlink(),
        "ptrain1.png has no mask; .* must be named in image_level.txt",
    ),
    "size": (
        lambda r: put(r / "train_positive/ptrain1_GT.png", _mask(1)[:9]),
        "ptrain1.png is 16 x 24 .*ptrain1_GT.png is 9 x 24",
    ),
    "pixels of a negative": (
        lambda r: put(r / "test_negative/ntest1_GT.png", _mask(1)),
        "ntest1_GT.png: its image is negative, but its mask marks 8 pixels",
    ),
    "empty positive": (
        lambda r: put(r / "test_positive/ptest1_GT.png", 0 * _mask(1)),
        "ptest1_GT.png: its image is positive, but its mask is empty",
    ),
    "mask without image": (
        lambda r: (r / "train_positive/ptrain1.png").unlink(),
        "ptrain1_GT.png is a mask without an image ptrain1",
    ),
    "the same image in two splits": (
        lambda r: put(
            r / "test_negative/ntest1.png",
            cv2.imread(str(r / "val_negative/nval1.png")),
        ),
        "ntest1 .test. is the same image as|is the same image as .*ntest1 .test.",
    ),
    "grey without white": (
        lambda r: put(r / "train_positive/ptrain1_GT.png", _mask(1) // 255),
        "ptrain1_GT.png holds values up to 1, none above half",
    ),
    "unknown in the list": (
        lambda r: (r / "image_level.txt").write_text("ptrian1.png"),
        "names 'ptrian1.png'.*did you mean 'ptrain1.png'",
    ),
    "a negative in the list": (
        lambda r: (r / "image_level.txt").write_text("ntrain1.png"),
        "'ntrain1.png', which is a negative",
    ),
    "both layouts": (lambda r: (r / "train").mkdir(), "and not both"),
    "a strange file": (
        lambda r: (r / "train_positive/a.gif").write_text("a"),
        "a.gif is no image",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named(tmp_path, name):
    change, words = BAD[name]
    root = sided(tmp_path / "in", count=2)
    change(root)
    with pytest.raises(DataError, match=words):
        ready(root)


PLAIN = {
    "a mask listed as an image": (
        lambda r: put(r / "train/images/train_01_GT.png", _mask(1)),
        "train_01_GT.png is a mask by its name",
    ),
    "no mask": (
        lambda r: (r / "train/masks/train_00.png").unlink(),
        "train_00.png has no mask; an image without a crack needs an empty one",
    ),
    "no test": (lambda r: (r / "test").rename(r / "tset"), "no image is in test"),
    "no masks": (
        lambda r: (r / "test/masks").rename(r / "test/mask"),
        "test has no folder masks/",
    ),
    "two lists": (
        lambda r: [
            (r / "splits").mkdir(),
            (r / "splits/split_val.txt").write_text("test_00.png"),
            (r / "splits/split_test.txt").write_text("test_00.png"),
        ],
        "names 'test_00.png', which is in validation",
    ),
}


@pytest.mark.parametrize("name", PLAIN)
def test_bad_input_of_images_and_masks_is_named(tmp_path, name):
    change, words = PLAIN[name]
    root = plain(tmp_path / "in", train=3, test=2)
    _sccdnet_source.find(root)
    change(root)
    with pytest.raises(DataError, match=words):
        _sccdnet_source.find(root)


def test_images_in_two_splits_can_be_counted_instead(tmp_path):
    root = sided(tmp_path / "in")
    twin = cv2.imread(str(root / "val_negative/nval1.png"))
    put(root / "test_negative/ntest1.png", twin)
    card = prepared.read_card(ready(root, duplicates="count"))
    assert card["extra"]["images_in_two_splits"] == 1


def test_options_that_cannot_be_used(tmp_path):
    with pytest.raises(ConfigError, match="duplicates is 'no'; allowed are 'refuse'"):
        ready(tmp_path / "in", duplicates="no")
    with pytest.raises(ConfigError, match="validation=1.0 must be a share"):
        ready(tmp_path / "in", validation=1.0)
