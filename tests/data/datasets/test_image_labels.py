"""Folders of good and defect images, and labels.csv, are labels of whole images."""

import cv2
import numpy as np
import pytest
from test_image_folder import blobs, folder, stored
from test_image_folder_errors import examined

from jaxseg import prepare
from jaxseg.data import prepared
from jaxseg.data.datasets import image_folder, microbeads
from jaxseg.errors import DataError
from jaxseg.types import IGNORE

SIZE = (12, 9)


def put(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), array)


def sorted_folder(root, good=9, defect=9, masks=0):
    """good/g0 ..., defect/d0 ..., and masks of the first defects."""
    rng = np.random.default_rng(0)
    for kind, count in (("good", good), ("defect", defect)):
        for k in range(count):
            put(root / kind / f"{kind[0]}{k}.png", rng.integers(0, 256, SIZE, np.uint8))
    for k in range(masks):
        mask = np.zeros(SIZE, np.uint8)
        mask[2:5, 1 : 3 + k] = 255
        put(root / "masks" / f"d{k}.png", mask)
    return root


def prepared_in(root, **options):
    return image_folder.prepare(root, root.parent / "data", progress=False, **options)


def test_a_folder_without_any_mask(tmp_path):
    directory = prepared_in(sorted_folder(tmp_path / "in"))
    card = prepared.read_card(directory)
    assert card["classes"] == ["background", "defect"]
    assert card["class_weights"] == [0.5, 1.0]
    for name in ("train", "validation", "test"):
        split = prepared.open_split(directory, name)
        told = card["splits"][name]
        assert told["positives"] > 0 and told["positives"] < told["images"]
        assert told["labelled_images"] == told["images"] == len(split)
        assert told["label_only_images"] == told["positives"] == split.positive.sum()
        assert told["unlabelled_images"] == 0 == told["pixels"][1]
        assert (split.pixels[:, 0] > 0).tolist() == (split.labels == 0).tolist()
    for name, example in stored(directory).items():
        kind = name.split("/")[0]
        assert example["label"] == (kind == "defect")
        assert (example["mask"] == (IGNORE if kind == "defect" else 0)).all()
    lines = prepare.describe(card)
    assert any("with defect" in x and "a label and no mask" in x for x in lines)


def test_some_defects_have_masks_and_splits_share_them_out(tmp_path):
    root = sorted_folder(tmp_path / "in", good=10, defect=20, masks=10)
    directory = prepared_in(root, validation=0.3, test=0.3)
    examples = stored(directory)
    assert np.count_nonzero(examples["defect/d1"]["mask"] == 1) == 9
    assert (examples["defect/d15"]["mask"] == IGNORE).all()
    splits = prepared.read_card(directory)["splits"]
    for name in ("train", "validation", "test"):
        bare = splits[name]["label_only_images"]
        assert abs(bare - (splits[name]["positives"] - bare)) <= 2


def test_folders_by_split_and_the_same_stem_twice(tmp_path):
    root = tmp_path / "in"
    for name in ("train", "validation", "test"):
        sorted_folder(root / name, good=2, defect=2, masks=1)
        (root / name / "good" / "g1.png").rename(root / name / "good" / "d0.png")
    examples = stored(prepared_in(root))
    assert len(examples) == 12
    assert examples["train/defect/d0"]["mask"].any()
    assert not examples["train/good/d0"]["mask"].any()
    assert examples["test/defect/d1"]["split"] == "test"


def test_splits_csv_names_sorted_images(tmp_path):
    root = sorted_folder(tmp_path / "in", good=3, defect=3)
    turn = ("train", "validation", "test")
    rows = [f"{k}/{k[0]}{i},{turn[i]}" for k in ("good", "defect") for i in range(3)]
    (root / "splits.csv").write_text("\n".join(["stem,split", *rows]))
    examples = stored(prepared_in(root))
    assert examples["defect/d1"]["split"] == examples["good/g1"]["split"] == turn[1]


def test_a_table_of_labels_beside_masks(tmp_path):
    masks = blobs(8) | {f"b{k}": None for k in range(6)}
    root = folder(tmp_path / "in", masks)
    words = ("0", "1", "good", "defect", "background", "1")
    rows = [f"b{k},{word}" for k, word in enumerate(words)]
    (root / "labels.csv").write_text("\n".join(["stem,label", *rows, "a01,1"]))
    examples = stored(prepared_in(root))
    assert [examples[f"b{k}"]["label"] for k in range(6)] == [0, 1, 0, 1, 0, 1]
    assert (examples["b1"]["mask"] == IGNORE).all() and not examples["b0"]["mask"].any()
    assert examples["a01"]["label"] == examples["a02"]["label"] == 1
    assert examples["a00"]["label"] == 0
    (root / "labels.csv").write_text("\n".join(["stem,label", *rows[::-1], "a00,good"]))
    prepared_in(root)  # another table is another data set, prepared anew


def test_labels_of_several_classes(tmp_path):
    classes = ["none", "crack", "stain"]
    root = folder(
        tmp_path / "in", {f"b{k:02}": None for k in range(12)}, classes=classes
    )
    (root / "masks").rmdir()
    rows = [f"b{k:02},{classes[k % 3] if k % 2 else k % 3}" for k in range(12)]
    (root / "labels.csv").write_text("\n".join(["stem,label", *rows]))
    directory = prepared_in(root, validation=0.25, test=0.25)
    assert [stored(directory)[f"b{k:02}"]["label"] for k in range(6)] == [0, 1, 2] * 2
    for name in ("train", "validation", "test"):
        assert prepared.open_split(directory, name).present.any(0).all()


def test_folders_beside_images_and_masks_are_passed_over_as_before(tmp_path):
    root = sorted_folder(folder(tmp_path, blobs(6)))
    assert {item.id for item in examined(root).items} == {f"a{k:02}" for k in range(6)}


def put_table(*rows):
    text = "\n".join(["stem,label", *rows])
    return lambda root: (root / "labels.csv").write_text(text)


SORTED = {
    "typing error in a folder": (
        lambda r: (r / "defect").rename(r / "deffect"),
        "needs the folders good/ and defect/.*rename deffect/ to defect/",
    ),
    "another word": (
        lambda r: (
            (r / "defect").rename(r / "bad"),
            (r / "good").rename(r / "ok"),
        ),
        "can lie in good/ and defect/.*rename .*ok/ to good/",
    ),
    "split too": (lambda r: (r / "test").mkdir(), "needs the folders train/ and"),
    "table too": (put_table("good/g0,0"), "labels.csv beside good/ and defect/"),
    "mask of nothing": (
        lambda r: put(r / "masks/d99.png", np.zeros(SIZE, np.uint8)),
        "d99.png is a mask without an image",
    ),
    "empty mask of a defect": (
        lambda r: put(r / "masks/d1.png", np.zeros(SIZE, np.uint8)),
        "d1.png is labelled defect, but .*d1.png is empty",
    ),
    "pixels in a good image": (
        lambda r: put(r / "masks/g1.png", np.full(SIZE, 255, np.uint8)),
        "g1.png is labelled good, but .*g1.png marks pixels",
    ),
}


@pytest.mark.parametrize("name", SORTED)
def test_a_sorted_folder_that_is_wrong_is_named(tmp_path, name):
    change, words = SORTED[name]
    root = sorted_folder(tmp_path, good=3, defect=3, masks=1)
    examined(root)
    change(root)
    with pytest.raises(DataError, match=words):
        examined(root)


TABLES = {
    "no class": (("b0,1", "b1,defct"), "line 3: 'defct' is no class.*mean 'defect'"),
    "no number": (("b0,1", "b1,2"), "line 3: '2' is no class"),
    "no image": (("b0,1", "b1,0", "c0,1"), "names 'c0', but there is no such image"),
    "twice": (("b0,1", "b1,0", "b1,1"), "line 4: 'b1' is named twice"),
    "unlabelled": (("b0,1",), "b1.png has no mask"),
    "blank": (("b0,1", "b1,"), "b1.png has no mask"),
    "against a mask": (("b0,1", "b1,0", "a00,1"), "a00.png is labelled 1, but .*empty"),
    "against pixels": (("b0,1", "b1,0", "a02,0"), "a02.png is labelled 0, but .*marks"),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_that_is_wrong_is_named(tmp_path, name):
    rows, words = TABLES[name]
    root = folder(tmp_path, blobs(4) | {"b0": None, "b1": None})
    put_table("b0,1", "b1,good")(root)
    examined(root)
    put_table(*rows)(root)
    with pytest.raises(DataError, match=words):
        examined(root)
    (root / "labels.csv").write_text("stem,lable\nb0,1")
    with pytest.raises(DataError, match="the columns are .*lable.*, not stem, label"):
        examined(root)


def test_beads_need_masks(tmp_path):
    root = folder(tmp_path / "in", blobs(8, first=1))
    (root / "labels.csv").write_text("stem,label\na02,1")
    with pytest.raises(DataError, match="which do not say where beads are"):
        microbeads.prepare(root, tmp_path / "data", progress=False)
