"""Object ids are stored losslessly beside the mask, and count in the digests."""

import numpy as np
import pytest
from support import in_process, toy
from test_prepared import _example, _finish

from jaxseg.data import content, pipeline, prepared, records
from jaxseg.data.preparation import convert

IDS = np.zeros((4, 5), np.uint16)
IDS[1, 1:3] = 1, 65535
LARGE = IDS.astype(np.uint32)
LARGE[0, 0], LARGE[3, 4] = 65536, 2**32 - 1


@pytest.mark.parametrize("ids", [IDS, LARGE, LARGE * 0], ids=["u16", "u32", "none"])
def test_ids_come_back_as_they_were(tmp_path, ids):
    directory = _finish(tmp_path, [_example("a") | {"instances": ids}])
    example = prepared.open_split(directory, "train")[0]
    assert example["instances"].dtype == ids.dtype
    np.testing.assert_array_equal(example["instances"], ids)
    summary = prepared.read_card(directory)["splits"]["train"]
    assert summary["objects"] == len(np.unique(ids[ids > 0]))


def test_the_digests_cover_the_ids_and_not_their_type(tmp_path):
    swapped = np.where(IDS == 1, 65535, np.where(IDS == 65535, 1, 0))
    kinds = {"one": IDS, "wide": IDS.astype(np.uint32)}
    kinds |= {"swapped": swapped.astype(np.uint16)}
    cards = {
        name: prepared.read_card(
            _finish(tmp_path / name, [_example("a") | {"instances": ids}])
        )
        for name, ids in kinds.items()
    }
    cards["without"] = prepared.read_card(
        _finish(tmp_path / "without", [_example("a")])
    )
    digests = {name: card["content"]["train"] for name, card in cards.items()}
    assert digests["one"] == digests["wide"]
    assert len({digests["one"], digests["swapped"], digests["without"]}) == 3
    one, swapped, without = (cards[n] for n in ("one", "swapped", "without"))
    assert content.changed(one, swapped) == ["train"]
    # runs of versions that kept no ids go on: with the same images and masks
    assert one["split_hash"] == without["split_hash"]
    assert content.changed(without, one) == []
    assert content.changed(one, without) == ["train"]
    turned = _example("a", image=np.full((4, 5, 1), 8, np.uint8)) | {"instances": IDS}
    other = prepared.read_card(_finish(tmp_path / "other", [turned]))
    assert content.changed(without, other) == ["train"]


def test_a_data_set_without_ids_is_as_it_always_was(tmp_path):
    directory = toy.make(tmp_path)
    split = prepared.open_split(directory, "train")
    assert set(split[0]) == {"image", "mask", "label", "id", "group"}
    assert "objects" not in split.card["splits"]["train"]
    # from before object ids could be stored: older prepared data sets keep their hash
    assert split.hash == (
        "6a0a38d3d0a12c0446014833bd2ceb866d2a1e8ec39056b0e2f2264852f51e5b"
    )


@pytest.mark.parametrize("instances", [True, False])
def test_ids_are_in_every_example_of_a_data_set_or_in_none(instances):
    example = {k: v for k, v in _example("a").items() if k != "split"}
    other = example if instances else example | {"instances": IDS}
    features = records.features(1, "uint8", instances=instances)
    with pytest.raises(KeyError, match="instances"):
        features.encode_example(records.encode(other))


@pytest.mark.parametrize("ids", [IDS, LARGE], ids=["u16", "u32"])
def test_the_cache_of_a_preparation_keeps_them(tmp_path, ids, monkeypatch):
    in_process.use(monkeypatch)
    (tmp_path / "a.raw").write_text("raw")
    example = {k: v for k, v in _example("a").items() if k != "split"}
    rows, refused = convert.convert(
        [convert.Job("a", ("a.raw",))],
        lambda job: (example | {"instances": ids}, {"split": "train"}),
        source=tmp_path,
        cache=tmp_path / "cache",
        progress=False,
    )
    assert not refused
    shards = convert.shards(rows, tmp_path / "cache", "uint16")  # images are widened
    ((name, record),) = shards["train"][0]()
    assert name == "a"
    stored = records.instances_from_png(record["instances"].read(), 4, "a")
    assert stored.dtype == ids.dtype
    np.testing.assert_array_equal(stored, ids)
    image = records.from_png(record["image"].read(), 1, "a")
    assert image.dtype == np.uint16 and (image == 9).all()


def test_training_reads_a_data_set_with_ids(tmp_path):
    directory = _finish(tmp_path, [_example("a") | {"instances": LARGE}])
    split = prepared.open_split(directory, "train")
    view = pipeline.View((4, 5), "stretch", "none", 0, 100)
    assert set(view(split, 0)) == {"image", "mask", "label", "weight", "index"}
