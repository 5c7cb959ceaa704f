"""Classes of whole images reach index, card and batches; wrong ones are refused."""

import numpy as np
import pytest
from test_image_folder import blobs, folder, stored
from test_image_folder_errors import examined

from jaxseg import errors, prepare
from jaxseg.data import crops, pipeline, prepared
from jaxseg.data.datasets import image_folder, microbeads
from jaxseg.data.files import text
from jaxseg.errors import ConfigError, DataError
from jaxseg.types import IGNORE


def table(root, *rows):
    (root / "labels.csv").write_text("\n".join(rows))
    return root


def ready(root, **options):
    return image_folder.prepare(root, root.parent / "data", progress=False, **options)


def named(root, masks=12, bare=0):
    """a00 ... with masks and b0 ... without, of the classes flu, none and tb."""
    names = [f"a{k:02}" for k in range(masks)] + [f"b{k}" for k in range(bare)]
    folder(root, blobs(masks) | {name: None for name in names[masks:]})
    rows = [f"{n},{('flu', 'none', 'tb')[k % 3]}" for k, n in enumerate(names)]
    return table(root, "stem,class", *rows)


def values(directory):
    out = {}
    for name in ("train", "validation", "test"):
        split = prepared.open_split(directory, name)
        assert split.image_classes.dtype == np.int8
        out |= dict(zip(split.ids, split.image_classes.tolist(), strict=True))
    return out


def test_a_column_of_names_is_one_class_an_image(tmp_path):
    root = named(tmp_path / "in", masks=12, bare=6)
    directory = ready(root, validation=0.25, test=0.25)
    card, read = prepared.read_card(directory), values(directory)
    whole = card["image_classes"]
    assert whole["names"] == ["flu", "none", "tb"] and whole["exclusive"] is True
    assert read["a00"] == [1, 0, 0] and read["a02"] == [0, 0, 1] == read["b2"]
    for counts in whole["images"].values():  # every split has every class
        assert all(shows and not unknown for shows, _, unknown in counts)
    assert "the rarest class of images" in card["split_rule"]
    examples = stored(directory)
    assert (examples["b2"]["mask"] == IGNORE).all() and examples["b2"]["label"] == -1
    assert examples["a00"]["label"] in (0, 1)
    assert "image classes flu " in "\n".join(prepare.describe(card))
    assert ready(root, validation=0.25, test=0.25) == directory


def test_columns_of_0_and_1_are_several_classes_and_empty_is_unknown(tmp_path):
    root = folder(tmp_path / "in", blobs(9))
    rows = ["stem;edema;effusion", "a00;1;0", "a01;;1", "a02;0;", "a03;1;1", "a04;;"]
    directory = ready(table(root, *rows), validation=0.3, test=0.3, seed=1)
    read, whole = values(directory), prepared.read_card(directory)["image_classes"]
    assert whole["names"] == ["edema", "effusion"] and whole["exclusive"] is False
    assert [read[f"a0{k}"] for k in range(4)] == [[1, 0], [-1, 1], [0, -1], [1, 1]]
    assert read["a04"] == read["a08"] == [-1, -1]
    total = np.sum([np.array(c) for c in whole["images"].values()], axis=0)
    assert total.tolist() == [[2, 1, 6], [2, 1, 6]]


def test_classes_of_images_without_any_mask(tmp_path):
    root = folder(tmp_path / "in", {f"b{k:02}": None for k in range(9)})
    (root / "masks").rmdir()
    rows = [f"b{k:02},{'ab'[k % 2]}" for k in range(9)]
    directory = ready(table(root, "stem,class", *rows), validation=0.3, test=0.3)
    assert values(directory)["b01"] == [0, 1]
    card = prepared.read_card(directory)
    assert card["splits"]["train"]["pixels"] == [0, 0]
    assert all((e["mask"] == IGNORE).all() for e in stored(directory).values())


def test_folders_by_split_have_one_table(tmp_path):
    root = tmp_path / "in"
    for name in ("train", "validation", "test"):
        folder(root / name, blobs(2))
    stems = [f"{n}/a0{k}" for n in ("train", "validation", "test") for k in (0, 1)]
    rows = [f"{stem},{'xy'[k % 2]}" for k, stem in enumerate(stems)]
    assert values(ready(table(root, "stem,class", *rows)))["test/a01"] == [0, 1]


WRONG = {
    "value": (("stem,p,q", "a00,1,0", "a01,2,0"), "line 3: p is '2'; give 1 where"),
    "word": (("stem,p,q", "a00,yes,0"), "line 2: p is 'yes'; give 1 where"),
    "minus": (("stem,p,q", "a00,-1,0"), "line 2: p is '-1'; give 1 where"),
    "stem": (("stem,p,q", "a0O,1,0"), "names 'a0O', but there is no such image; did"),
    "twice": (("stem,p,q", "a00,1,0", "a00,1,0"), "line 3: 'a00' is named twice"),
    "one column": (("stem,p", "a00,1"), "the columns are .*, not stem, label; allowed"),
    "class beside": (("stem,class,p", "a00,x,1"), "give either class, with one name"),
    "label beside": (("stem,label,p", "a00,1,1"), "not stem, label"),
    "no name": (("stem,,q", "a00,1,1"), "a column has no name"),
    "no stem": (("image,p,q", "a00,1,1"), "the columns are .*'image'.*, not stem"),
    "one class": (("stem,class", "a00,x", "a01,x"), "names .'x'.; at least two"),
    "no class": (("stem,class", "a00,", "a01,"), "names no class; at least two"),
    "case": (("stem,class", "a00,Flu", "a01,flu"), "'Flu' and 'flu' differ only in"),
    "quotes": (('stem,"p,q', "a00,1,1"), "no CSV"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_table_of_classes_that_is_wrong_is_named(tmp_path, name):
    rows, words = WRONG[name]
    root = folder(tmp_path, blobs(3))
    with pytest.raises(DataError, match=words):
        examined(table(root, *rows))


def test_a_class_that_no_training_image_shows(tmp_path):
    root = folder(tmp_path / "in", blobs(6))
    splits = ("train", "train", "train", "train", "validation", "test")
    rows = [f"a{k:02},{split}" for k, split in enumerate(splits)]
    (root / "splits.csv").write_text("\n".join(["stem,split", *rows]))
    rows = [f"a{k:02},{int(k == 5)},1" for k in range(6)]
    with pytest.raises(DataError, match="training split is of the image class p"):
        ready(table(root, "stem,p,q", *rows))


def test_strata_of_images_need_their_classes(tmp_path):
    root = folder(tmp_path / "in", blobs(6))
    with pytest.raises(ConfigError, match="has no classes of whole images"):
        ready(root, stratify="image_classes")
    with pytest.raises(DataError, match="which do not say where beads are"):
        microbeads.prepare(named(tmp_path / "b"), tmp_path / "data", progress=False)


def test_a_declared_absent_class_of_a_folder(tmp_path):
    masks = {n: m // 255 if m.max() > 1 else m for n, m in blobs(9).items()}
    root = folder(tmp_path / "in", masks, classes=["none", "blob", "ghost"])
    with pytest.raises(DataError, match="no pixel of ghost; .*absent=ghost"):
        ready(root)
    directory = ready(root, absent=("ghost",))
    assert prepared.open_split(directory, "test").absent == ["ghost"]
    with pytest.raises(DataError, match="blob is declared absent, but . images show"):
        ready(root, absent="blob")
    with pytest.raises(ConfigError, match="'gost' is none of them"):
        ready(root, absent="gost")


def test_the_header_of_a_table(tmp_path):
    path = tmp_path / "t.csv"
    for content, names in (("a;b c;", ["a", "b c"]), ("", []), ('"x,y",z\n1', None)):
        path.write_text(content)
        assert text.header(path) == (["x,y", "z"] if names is None else names)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(errors.DataError, match="UTF-16"):
        text.header(path)


def test_windows_and_padding_carry_the_classes_of_their_image(tmp_path):
    directory = ready(named(tmp_path / "in"), validation=0.3, test=0.3)
    split = prepared.open_split(directory, "train")
    view = pipeline.View((4, 4), "crop", "none", None, None)
    chances = (split.pixels > 0).astype(np.float32)
    windows = crops.Windows((4, 4), 0, 0.5, chances, False)
    batches = pipeline.train_batches(
        split,
        view,
        lambda epoch: np.arange(len(split)),
        epoch_size=len(split),
        batch_size=len(split),
        steps=1,
        windows=windows,
    )
    (batch,) = batches
    np.testing.assert_array_equal(batch["image_classes"], split.image_classes)
    assert batch["mask"].shape[1:] == (4, 4)
    view = pipeline.View((8, 8), "stretch", "none", None, None)
    (batch,) = pipeline.eval_batches(split, view, batch_size=len(split) + 3)
    np.testing.assert_array_equal(batch["image_classes"][:-3], split.image_classes)
    assert (batch["image_classes"][-3:] == -1).all()
