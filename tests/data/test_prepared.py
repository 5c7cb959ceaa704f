"""Prepared data sets: pixels come back exactly, and the card refuses what is wrong."""

import csv
import dataclasses
import hashlib
import json

import hypothesis
import numpy as np
import pytest
import tensorflow_datasets as tfds
from hypothesis import strategies as st
from support import sealed_before, toy

from jaxseg.data import prepared, records
from jaxseg.data.preparation import card
from jaxseg.errors import DataError


def _example(name, split="train", *, value=1, group=None, image=None):
    mask = np.zeros((4, 5), np.uint8)
    mask[1, 1:3], mask[2, 2] = value, 255
    image = np.full((4, 5, 1), 9, np.uint8) if image is None else image
    return {"image": image, "mask": mask, "label": 1, "id": name} | {
        "group": group or name,
        "split": split,
    }


class Builder(tfds.core.GeneratorBasedBuilder):
    """A data set of the examples that the test hands over, with their `split`."""

    name = "by_hand"
    VERSION = tfds.core.Version("1.0.0")
    code_path = None

    def __init__(self, examples, **kwargs):
        self._examples = examples
        super().__init__(file_format="array_record", **kwargs)

    def _info(self):
        instances = any("instances" in e for e in self._examples)
        features = records.features(1, "uint8", instances=instances)
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager):
        names = sorted({e["split"] for e in self._examples})
        return {name: self._generate_examples(name) for name in names}

    def _generate_examples(self, name="train"):
        for i, example in enumerate(self._examples):
            if example["split"] == name:
                example = {k: v for k, v in example.items() if k != "split"}
                yield f"{i}", records.encode(example)


def _finish(directory, examples, **kwargs):
    tfds.disable_progress_bar()
    builder = Builder(examples, data_dir=directory)
    builder.download_and_prepare()
    fields = {"classes": ["rest", "thing"], "channels": 1, "source": "here"}
    card.finish(builder, split_rule="by hand", **(fields | kwargs))
    return builder.data_path


@hypothesis.settings(max_examples=60, deadline=None, derandomize=True, database=None)
@hypothesis.given(
    seed=st.integers(0, 9999),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 6)),
    dtype=st.sampled_from([np.uint8, np.uint16]),
)
def test_pixels_come_back_bit_for_bit(seed, size, dtype):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, np.iinfo(dtype).max, size, dtype, endpoint=True)
    mask = rng.integers(0, 256, size[:2]).astype(np.uint8)
    example = {"image": image, "mask": mask, "label": 0, "id": "a", "group": "g"}
    record = records.encode(example)
    stored = records.from_png(record["image"].getvalue(), size[2], "a")
    assert stored.dtype == dtype
    np.testing.assert_array_equal(stored, image)
    stored = records.from_png(record["mask"].getvalue(), 1, "a")[..., 0]
    np.testing.assert_array_equal(stored, mask)


@pytest.mark.parametrize(
    "change, why",
    [
        ({"image": np.zeros((4, 5, 1), np.float32)}, "uint8 or uint16, not float32"),
        ({"image": np.zeros((4, 5), np.uint8)}, r"\[h, w, c\]"),
        ({"mask": np.zeros((5, 4), np.uint8)}, "same height and width"),
        ({"mask": np.zeros((4, 5), bool)}, "bool"),
        ({"instances": np.zeros((4, 5), np.int32)}, "uint16 or uint32 of the same"),
        ({"instances": np.zeros((8, 5), np.uint16)}, "uint16 or uint32 of the same"),
    ],
)
def test_records_of_other_kinds_are_refused(change, why):
    with pytest.raises(DataError, match=f"film7.*{why}"):
        records.encode(_example("film7") | change)


def test_a_broken_record_is_named():
    with pytest.raises(DataError, match="film7 cannot be decoded"):
        records.from_png(b"not a png", 1, "film7")


def test_the_card_counts_by_hand(tmp_path):
    examples = [
        _example("a"),
        _example("b", group="a"),
        _example("c", value=0) | {"label": 0},
        _example("d", "test"),
    ]
    directory = _finish(tmp_path, examples, refused=[{"file": "e", "reason": "bad"}])
    content = prepared.read_card(directory)
    train = {"images": 3, "positives": 2, "groups": 2, "pixels": [53, 4]}
    train |= {"ignored_pixels": 3, "unlabelled_images": 0}
    train |= {"labelled_images": 3, "label_only_images": 0}
    assert content["splits"]["train"] == train
    assert content["class_weights"] == [57 / (2 * 53), 57 / (2 * 4)]
    assert content["sizes"] == {"min": [4, 5], "max": [4, 5], "distinct": 1}
    assert content["refused"] == [{"file": "e", "reason": "bad"}]
    split = prepared.open_split(directory, "train")
    assert split.hash == content["split_hash"]["train"] != content["split_hash"]["test"]
    assert sorted(split.ids) == ["a", "b", "c"] and len(split) == 3
    for i, name in enumerate(split.ids):
        expected = next(e for e in examples if e["id"] == name)
        for key, value in split[i].items():
            np.testing.assert_array_equal(value, expected[key])
        assert split.positive[i] == (name != "c")
        assert split.present[i].tolist() == [True, name != "c"]
        assert split.pixels[i].sum() == 19


def test_classes_that_an_image_shows_come_from_pixels_or_else_from_its_label(tmp_path):
    directory = _finish(tmp_path, [_example("a"), _example("b", "test")])
    split = prepared.open_split(directory, "train")
    pixels = np.array(
        [[9, 0, 2], [9, 3, 0], [9, 0, 0], [0, 0, 0], [0, 0, 0], [9, 0, 0]]
    )
    labels = np.array([1, -1, 0, 2, 7, -1])
    split = dataclasses.replace(split, pixels=pixels, labels=labels)
    shown = [[1, 0, 1], [1, 1, 0], [1, 0, 0], [0, 0, 1], [0, 0, 1], [1, 0, 0]]
    np.testing.assert_array_equal(split.present, np.array(shown, bool))
    assert split.positive.tolist() == [True, True, False, True, True, False]


def test_the_hash_is_of_the_content_not_the_order(tmp_path):
    examples = [_example(name) for name in "abc"]
    other = [*examples[:2], _example("c") | {"label": 0}]
    trees = {"one": examples, "turned": examples[::-1], "other": other}
    one, turned, other = (
        prepared.open_split(_finish(tmp_path / name, tree), "train").hash
        for name, tree in trees.items()
    )
    assert one == turned != other


WRONG = {
    r"film: the mask holds \[2\]; allowed are 0 to 1": [_example("film", value=2)],
    "the id 'a' occurs twice": [_example("a"), _example("a", "test", group="b")],
    "group 'p' is in .* must stay in one split": [
        _example("a", group="p"),
        _example("b", "test", group="p"),
    ],
    "training split has no pixel of thing": [
        _example("a", value=0),
        _example("b", "test"),
    ],
}


@pytest.mark.parametrize("why", WRONG)
def test_the_card_refuses(tmp_path, why):
    with pytest.raises(DataError, match=why):
        _finish(tmp_path, WRONG[why])


def test_opening_what_is_not_there(tmp_path):
    with pytest.raises(DataError, match="card.json is missing"):
        prepared.open_split(tmp_path, "train")
    directory = toy.make(tmp_path)
    with pytest.raises(DataError, match=r"no split 'training', only \['test'"):
        prepared.open_split(directory, "training")


def test_an_index_of_other_data_is_noticed(tmp_path):
    directory = _finish(tmp_path, [_example(name) for name in "ab"])
    path = directory / "index.csv"
    with open(path, newline="") as file:
        rows = list(csv.reader(file))
    rows[1][1], rows[2][1] = rows[2][1], rows[1][1]  # positions
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows(rows)
    with pytest.raises(DataError, match="index.csv was changed or is damaged"):
        prepared.open_split(directory, "train")
    sealed_before.unseal(directory)
    with pytest.raises(DataError, match="holds 'a'|holds 'b'"):
        prepared.open_split(directory, "train")[0]


def test_the_card_is_plain_json(tmp_path):
    directory = _finish(
        tmp_path, [_example("a")], options={"seed": 1}, extra={"key": [1, "two"]}
    )
    content = json.loads((directory / "card.json").read_text())
    assert content == prepared.read_card(directory) and content["source"] == "here"
    table = (directory / "splits.csv").read_bytes()
    assert table == b"id,group,split\na,a,train\n"
    assert content["extra"] == {
        "options": {"seed": 1},
        "splits_sha256": hashlib.sha256(table).hexdigest(),
        "key": [1, "two"],
    }


def test_the_hash_of_a_split_is_that_of_its_pixels_and_not_of_their_size():
    row = {"id": "a", "position": 0, "c0": 3}
    sized = row | {"position": 4, "pixel_size": 0.5}
    assert card.split_hash([row]) == card.split_hash([sized])
    assert card.split_hash([row]) != card.split_hash([row | {"c0": 4}])
