"""Classes of whole images and absent classes are checked against every row."""

import pytest

from jaxseg.data.preparation import card, class_checks
from jaxseg.errors import ConfigError, DataError


def _rows(*splits):
    return [{"id": f"n{k}", "split": split} for k, split in enumerate(splits)]


def _whole(*values, names=("flu", "tb"), exclusive=True):
    of = {f"n{k}": value for k, value in enumerate(values) if value is not None}
    return card.ImageClasses(names, exclusive, of)


def test_rows_get_a_column_for_each_class_and_the_card_counts_them():
    rows = _rows("train", "train", "test")
    whole = _whole((1, 0), (0, 1), (-1, -1))
    class_checks.add_image_classes(rows, whole, "here")
    assert [(r["i0"], r["i1"]) for r in rows] == [(1, 0), (0, 1), (-1, -1)]
    told = class_checks.described(whole, rows)["image_classes"]
    assert told["images"] == {
        "train": [[1, 1, 0], [1, 1, 0]],
        "test": [[0, 0, 1], [0, 0, 1]],
    }
    assert class_checks.described(None, rows) == {}


WRONG = {
    "no values": ((1, 0), None),
    "too few": ((1, 0), (1,)),
    "a number": ((1, 0), (2, 0)),
    "two of an exclusive": ((1, 0), (1, 1)),
    "none of an exclusive": ((1, 0), (0, 0)),
    "half unknown": ((1, 0), (1, -1)),
}


@pytest.mark.parametrize("name", WRONG)
def test_classes_of_images_that_cannot_be_are_named(name):
    rows = _rows("train", "train")
    with pytest.raises(DataError, match="n1: its image classes are .*exactly one"):
        class_checks.add_image_classes(rows, _whole(*WRONG[name]), "here")


def test_several_classes_may_be_half_unknown_but_each_must_be_in_training():
    rows = _rows("train", "train", "test")
    whole = _whole((1, -1), (1, 0), (0, 1), exclusive=False)
    with pytest.raises(DataError, match="here: no image .* of the image class tb"):
        class_checks.add_image_classes(rows, whole, "here")
    rows[2]["split"] = "train"
    class_checks.add_image_classes(rows, whole, "here")


CLASSES = ("none", "blob", "ghost")


def _counted(*pixels, split="train", label=-1):
    size = {"height": 2, "width": 3, "label": label, "split": split}
    counts = {f"c{k}": n for k, n in enumerate(pixels)}
    return size | counts | {"id": f"of {pixels}", "ignored": 6 - sum(pixels)}


def _check(*rows, absent=(), whole=False):
    class_checks.check_pixel_classes([*rows], CLASSES, absent, "here", whole=whole)


def test_a_class_is_in_training_or_declared_absent():
    full = _counted(4, 2, 0)
    _check(full, absent=["ghost"])
    with pytest.raises(DataError, match=r"no pixel of ghost; .*\(absent=ghost\)"):
        _check(full)
    _check(full, _counted(0, 0, 0, label=2))  # a label of the image names it
    with pytest.raises(DataError, match="no pixel of none; .*remove the class.$"):
        _check(_counted(0, 4, 2))
    other = _counted(4, 0, 2, split="test")
    with pytest.raises(DataError, match="ghost is declared absent, but 1 images show"):
        _check(full, other, absent=["ghost"])
    with pytest.raises(DataError, match="declared absent, but 1 images .* of .0, 0, 0"):
        _check(full, _counted(0, 0, 0, label=2), absent=["ghost"])


def test_nothing_lacks_where_only_classes_of_images_are_there():
    bare = _counted(0, 0, 0)
    _check(bare, whole=True)
    with pytest.raises(DataError, match="no pixel of none, blob, ghost"):
        _check(bare)
    with pytest.raises(DataError, match="no pixel of ghost"):
        _check(bare, _counted(4, 2, 0), whole=True)


def test_names_of_absent_classes():
    assert class_checks.names("a, b,") == ["a", "b"] == class_checks.names(("a", "b"))
    assert class_checks.names("") == [] == class_checks.names(())
    class_checks.check_absent(["ghost"], CLASSES)
    for wrong in (["gost"], ["none"], ["blob", "ghost"]):
        with pytest.raises(ConfigError, match="give names of blob, ghost, not all"):
            class_checks.check_absent(wrong, CLASSES)
