"""Prepared data with damaged bytes is named in one sentence, or reads as before."""

import json
import shutil

import numpy as np
import pytest
from support import sealed_before, toy

from jaxseg.data import content, prepared
from jaxseg.errors import DataError

SPLITS = tuple(toy.SIZES)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return toy.make(tmp_path_factory.mktemp("toy"))


@pytest.fixture
def directory(whole, tmp_path):
    prepared.source.cache_clear()
    return shutil.copytree(whole, tmp_path / "data")


def _read(directory):
    """Everything that the data set tells; DataError is all that it may raise."""
    splits = [prepared.open_split(directory, name) for name in SPLITS]
    content.check(splits, which="all")
    facts = [(s.ids, s.groups, s.labels.tolist(), s.pixels.tolist()) for s in splits]
    return facts, splits[0].card


def _change(path, kind, share):
    data = bytearray(path.read_bytes())
    used = np.flatnonzero(np.frombuffer(data, np.uint8))  # shards are mostly zeros
    at = int(used[min(int(share * len(used)), len(used) - 1)])
    if kind == "flip":
        data[at] ^= 1
    elif kind == "cut":
        data = data[:at]
    elif kind == "zeros":
        data[at : at + 64] = bytes(len(data[at : at + 64]))
    elif kind == "more":
        data += b"x"
    elif kind == "empty":
        data = b""
    path.write_bytes(data)


FILES = ("card.json", "index.csv", "splits.csv", "dataset_info.json", "features.json")
SHARDS = tuple(f"toy-{name}.array_record-00000-of-00001" for name in SPLITS)


@pytest.mark.parametrize("name", [*FILES, *SHARDS])
@pytest.mark.parametrize("kind", ["flip", "cut", "zeros", "more", "empty", "missing"])
def test_damage_is_named(whole, directory, name, kind):
    path = directory / name
    if kind == "missing":
        path.unlink()
    for share in (0.05, 0.33, 0.6, 0.9):
        if kind != "missing":
            shutil.copy(f"{whole}/{name}", path)
            _change(path, kind, share)
        prepared.source.cache_clear()
        with pytest.raises(DataError, match="prepare") as error:
            _read(directory)
        assert str(directory) in str(error.value)


def test_a_shard_of_another_size_is_not_even_opened(directory):
    path = directory / SHARDS[0]
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(DataError, match="has 131073 bytes, but had 131072"):
        _read(directory)


@pytest.mark.parametrize("name", ["card.json", "index.csv"])
def test_damage_of_an_earlier_version_is_at_most_a_data_error(directory, name):
    sealed_before.unseal(directory)
    path = directory / name
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    for kind in ("flip", "cut", "zeros", "empty"):
        for share in rng.random(12):
            path.write_bytes(data)
            _change(path, kind, share)
            prepared.source.cache_clear()
            try:
                for split in SPLITS:
                    each = prepared.open_split(directory, split)
                    [each[k] for k in range(0, len(each), 5)]
            except DataError as error:
                assert str(directory) in str(error)


def test_the_seal_covers_every_value_of_the_card(directory):
    path = directory / "card.json"
    card = json.loads(path.read_text())
    for key in card:
        changed = {k: v for k, v in card.items() if k != key}
        path.write_text(json.dumps(changed))
        with pytest.raises(DataError, match="card.json .*damaged"):
            prepared.read_card(directory)
    path.write_text(json.dumps(dict(sorted(card.items()))))  # the same, in other words
    assert prepared.read_card(directory) == card
