"""Images turned or masks mirrored under the same names and counts are noticed."""

import hashlib
import json

import numpy as np
import pytest
from support import sealed_before, toy
from test_prepared import _example, _finish

from jaxseg.data import content, prepared
from jaxseg.errors import DataError

IMAGE = np.arange(20, dtype=np.uint8).reshape(4, 5, 1)
MASK = np.eye(4, 5, dtype=np.uint8)
IDS = 7 * MASK.astype(np.uint16)


def _of(**changes):
    return content.of_record({"image": IMAGE, "mask": MASK} | changes)


def test_a_digest_by_hand():
    text = b"image uint8 (4, 5, 1)\n" + IMAGE.tobytes()
    text += b"mask uint8 (4, 5)\n" + MASK.tobytes()
    assert _of() == hashlib.sha256(text).hexdigest()


OTHERS = {
    "inverted": {"image": 255 - IMAGE},
    "of 16 bits": {"image": IMAGE.astype(np.uint16)},
    "turned": {"image": IMAGE.reshape(5, 4, 1)},
    "mirrored mask": {"mask": np.ascontiguousarray(MASK[:, ::-1])},
    "with objects": {"instances": IDS},
    "with other objects": {"instances": IDS + (IDS > 0)},
}


def test_every_change_of_a_pixel_changes_the_digest():
    digests = [_of()] + [_of(**change) for change in OTHERS.values()]
    assert len(set(digests)) == len(digests)
    assert _of(instances=IDS) == _of(instances=IDS.astype(np.uint32))
    assert _of(image=np.asfortranarray(IMAGE)) == _of()
    assert _of(image=IMAGE.astype(">u2")) == _of(image=IMAGE.astype(np.uint16))


def test_a_split_is_its_records_in_any_order_and_under_their_names():
    one = content.of_split(["a", "b"], ["x", "y"])
    assert one == content.of_split(["b", "a"], ["y", "x"])
    assert one != content.of_split(["a", "b"], ["y", "x"])


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return toy.make(tmp_path_factory.mktemp("toy"))


def _splits(directory):
    return [prepared.open_split(directory, name) for name in toy.SIZES]


def test_what_is_stored_is_what_the_card_says(directory):
    card = prepared.read_card(directory)
    for split in _splits(directory):
        digests = [content.of_record(split[k]) for k in range(len(split))]
        assert list(split.digests) == digests
        assert card["content"][split.name] == content.of_split(split.ids, digests)
    assert 4 * 3 < content.check(_splits(directory)) <= 8 * 3
    assert content.check(_splits(directory), which="all") == sum(toy.SIZES.values())


@pytest.mark.parametrize("which", content.CHOICES)
@pytest.mark.parametrize("part", ["image", "mask"])
def test_other_pixels_are_noticed_at_the_start(directory, monkeypatch, which, part):
    read = prepared.Split.__getitem__

    def turned(split, index):
        example = read(split, index)
        return example | {part: np.ascontiguousarray(example[part][::-1, ::-1])}

    monkeypatch.setattr(prepared.Split, "__getitem__", turned)
    with pytest.raises(DataError, match=r"train example 'train\d+' is not the one"):
        content.check(_splits(directory), which=which)


def test_one_record_is_found_by_reading_all(directory, monkeypatch):
    read, split = prepared.Split.__getitem__, _splits(directory)[0]
    (unread, *_) = set(range(len(split))) - set(content._sample(split).tolist())

    def spoilt(split, index):
        example = read(split, index)
        one = example["id"] == split.ids[unread] and split.name == "train"
        return example | {"image": example["image"] + np.uint8(one)}

    monkeypatch.setattr(prepared.Split, "__getitem__", spoilt)
    content.check([split])
    with pytest.raises(DataError, match=f"train example '{split.ids[unread]}'"):
        content.check([split], which="all")


def test_the_sample_holds_images_that_show_something(directory):
    for split in _splits(directory):
        assert split.positive[content._sample(split)].sum() >= 3


def test_the_same_names_and_counts_of_other_pixels_are_other_data(tmp_path):
    plain = _example("a", image=IMAGE)
    others = {
        "image": plain | {"image": 255 - IMAGE},
        "mask": plain | {"mask": np.ascontiguousarray(plain["mask"][::-1])},
    }
    before = prepared.read_card(_finish(tmp_path / "before", [plain]))
    again = prepared.read_card(_finish(tmp_path / "again", [plain]))
    assert content.changed(before, again) == []
    for name, other in others.items():
        now = prepared.read_card(_finish(tmp_path / name, [other]))
        assert now["split_hash"] == before["split_hash"]
        assert content.changed(before, now) == ["train"]
    more = prepared.read_card(_finish(tmp_path / "more", [plain, _example("b")]))
    assert content.changed(before, more) == ["train"]


def test_data_of_an_earlier_version_opens_with_one_sentence(tmp_path, caplog):
    directory = toy.make(tmp_path)
    now = prepared.read_card(directory)
    sealed_before.unseal(directory)
    before = prepared.read_card(directory)
    splits = _splits(directory)
    assert splits[0].digests is None and len(splits[0]) == toy.SIZES["train"]
    assert content.check(splits) == 0
    (line,) = caplog.messages
    assert "prepared by an earlier version" in line and "prepare it again" in line
    caplog.clear()
    assert content.changed(before, now) == content.changed(now, before) == []
    assert [text.split(" by an")[0] for text in caplog.messages] == [
        "the run was begun",
        "the data was prepared",
    ]
    with pytest.raises(DataError, match="prepare it again to have them checked"):
        content.check(splits, which="all")
    changed = json.loads(json.dumps(before))
    changed["split_hash"]["test"] = "other"
    assert content.changed(changed, now) == ["test"]
