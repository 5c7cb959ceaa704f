"""The same bits with a cache and without; what it cannot hold is decoded."""

import dataclasses
import errno
import functools
import os

import numpy as np
import pytest
from support import toy

from jaxseg.data import (
    fitted_cache,
    joined_split,
    pipeline,
    prepared,
    slot_file,
    worker_processes,
)
from jaxseg.data.samplers import uniform
from jaxseg.labels import IGNORE

VIEW = pipeline.View((16, 12), "stretch", "none", None, None)
COUNT = 9
# {case: (fields of the view, classes, channels, type of the image, type of the ids)}
CASES = {
    "grey": ({}, 2, 1, "uint8", None),
    "padded colours": ({"fit": "pad"}, 3, 3, "uint8", None),
    "16 bits": ({"bits": 16, "intensity": "percentile"}, 4, 1, "uint16", None),
    "16 bits as 8": ({"intensity": "percentile"}, 15, 2, "uint16", None),
    "native": ({"fit": "crop"}, 16, 1, "uint8", None),
    "components": ({}, 2, 1, "uint8", "none"),
    "objects": ({"fit": "crop"}, 2, 1, "uint8", "uint16"),
    "padded objects": ({"fit": "pad"}, 254, 1, "uint8", "uint32"),
}


@pytest.fixture(autouse=True)
def any_disk(monkeypatch):
    monkeypatch.setattr(slot_file, "RESERVE", 0)
    fitted_cache._opened.cache_clear()
    fitted_cache._say_off.cache_clear()


@pytest.fixture
def decoded(monkeypatch):
    """The indices of the examples that were decoded, in order."""
    indices = []

    def item(self, index):
        indices.append(index)
        return _example(self, index)

    monkeypatch.setattr(prepared.Split, "__getitem__", item)
    return indices


def _example(split, index):
    rng = np.random.default_rng(index)
    dtype, ids = split.directory.split()
    size = tuple(split.sizes[index])
    top = np.iinfo(dtype).max
    image = rng.integers(0, top, (*size, split.card["channels"]), dtype, endpoint=True)
    mask = rng.integers(0, len(split.classes), size).astype(np.uint8)
    mask[rng.random(size) < 0.1] = IGNORE
    if index % 3 == 0:
        mask[:] = index % 2
    example = {"image": image, "mask": mask, "label": index - 1}
    if ids not in ("None", "none"):
        labels = rng.integers(0, 40, size)
        return example | {"instances": (labels * (ids == "uint16" or 7)).astype(ids)}
    return example


def _split(case="grey", **changes):
    _, classes, channels, dtype, ids = CASES[case]
    rng = np.random.default_rng(1)
    names = [f"a{i}" for i in range(COUNT)]
    card = {
        "channels": channels,
        "classes": [f"class{k}" for k in range(classes)],
        "split_hash": {"train": case, "validation": "other"},
        "splits": dict.fromkeys(("train", "validation"), {"objects": 1}),
    }
    split = prepared.Split(
        directory=f"{dtype} {ids}",
        name="train",
        card=card,
        ids=names,
        groups=names,
        labels=np.arange(COUNT) - 1,
        sizes=rng.integers(5, 40, (COUNT, 2)),
        pixels=np.ones((COUNT, classes), int),
        digests=[f"digest{i}" for i in range(COUNT)],
    )
    return dataclasses.replace(split, **changes)


def _view(case, tmp_path, gib=1.0):
    return dataclasses.replace(
        VIEW, **CASES[case][0], cache=fitted_cache.cache(tmp_path, gib)
    )


def _assert_equal(view, split, instances=False):
    plain = dataclasses.replace(view, cache=None)
    for index in range(len(split)):
        ours = view(split, index, instances=instances)
        expected = plain(split, index, instances=instances)
        assert ours.keys() == expected.keys()
        for name, array in expected.items():
            np.testing.assert_array_equal(ours[name], array)
            assert ours[name].dtype == array.dtype, name


@pytest.mark.parametrize("case", CASES)
def test_an_example_is_the_same_bit_for_bit_and_decoded_once(case, tmp_path, decoded):
    view, split, instances = _view(case, tmp_path), _split(case), bool(CASES[case][4])
    _assert_equal(view, split, instances)
    decoded.clear()
    fitted_cache._opened.cache_clear()  # as another process opens it
    for index in range(COUNT):
        view(split, index, instances=instances)
    assert not decoded
    _assert_equal(view, split, instances)


@pytest.mark.parametrize("classes", [1, 2, 3, 4, 15, 16, 254])
def test_masks_are_packed_and_come_back(classes):
    rng = np.random.default_rng(classes)
    for size in ((1, 1), (3, 5), (8, 16), (17, 31)):
        mask = rng.integers(0, classes, size).astype(np.uint8)
        mask[rng.random(size) < 0.3] = IGNORE
        packed = fitted_cache.pack(mask, classes)
        pixel = fitted_cache.mask_bits(classes)
        assert len(packed) <= -(-mask.size * pixel // 16) * 2
        back = fitted_cache.unpack(packed, size, classes)
        np.testing.assert_array_equal(back, mask)
    if pixel < 8:
        assert fitted_cache.pack(np.full((2, 2), classes, np.uint8), classes) is None
    assert pixel == (2 if classes < 4 else 4 if classes < 16 else 8)


def test_ids_that_do_not_fit_and_other_sizes_are_decoded_every_time(
    tmp_path, decoded, monkeypatch
):
    view, split = _view("padded objects", tmp_path), _split("padded objects")
    monkeypatch.setattr(
        prepared.Split,
        "__getitem__",
        lambda self, i: (
            _example(self, i) | {"instances": np.full(self.sizes[i], 2**16, np.uint32)}
        ),
    )
    for _ in range(2):
        _assert_equal(view, split, instances=True)
    native = _view("native", tmp_path)
    lying = _split("native", sizes=np.full((COUNT, 2), 7))
    monkeypatch.setattr(
        prepared.Split, "__getitem__", lambda self, i: _example(_split("native"), i)
    )
    for _ in range(2):
        assert native(lying, 1)["image"].shape == (*_split("native").sizes[1], 1)


def test_a_recipe_is_everything_that_decides_over_the_bits(tmp_path, decoded):
    def name(split, **changes):
        view = dataclasses.replace(_view("grey", tmp_path), **changes)
        return fitted_cache.of(view, split, False)._slots.path.name

    split = _split()
    base = name(split)
    other_digests = [*split.digests[:-1], "changed"]
    different = [
        name(split, size=(12, 16)),
        name(split, fit="pad"),
        name(split, fit="crop"),
        name(split, intensity="percentile"),
        name(split, intensity="percentile", high=99.0),
        name(split, bits=16),
        name(_split(digests=other_digests)),
        name(_split(labels=np.arange(COUNT))),
        name(_split(ids=split.ids[::-1], digests=split.digests[::-1])),
        name(_split(name="validation")),
    ]
    assert len({base, *different}) == 1 + len(different)
    same = [name(_split()), name(split, overlap=0.25)]
    assert set(same) == {base}
    crop = {"fit": "crop", "size": (8, 8)}
    assert name(split, **crop) == name(split, fit="crop")  # the size is that of windows
    family = base.partition("-")[0]
    assert name(_split(name="validation")).startswith(family)
    assert not name(split, fit="pad").startswith(family)


def test_data_of_elsewhere_and_without_digests_is_not_kept(tmp_path, decoded):
    view = _view("grey", tmp_path)

    class Other(prepared.Split):
        pass

    fields = vars(_split())
    for split in (Other(**fields), _split(digests=None)):
        _assert_equal(view, split)
    assert not list(tmp_path.rglob("*.slots"))


def test_folds_share_what_is_kept_of_the_stored_splits(tmp_path, decoded):
    view = _view("grey", tmp_path)
    parts = [_split(name=name) for name in ("train", "validation")]
    places = {
        "a": [[1, 0], [0, 8], [0, 2]],
        "b": [[0, 2], [0, 8]],
        "c": [[1, 0], [1, 1]],
    }

    def fold(name):
        place = np.array(places[name])
        fields = vars(_split())
        fields |= {"sizes": np.array([parts[k].sizes[i] for k, i in place])}
        return joined_split.JoinedSplit(
            **fields | {"name": "test", "ids": parts[0].ids[: len(place)]},
            parts=parts,
            places=place,
        )

    first = fold("a")
    _assert_equal(view, first)
    assert fitted_cache.of(view, first, False).full()
    del decoded[:]
    other = fold("b")
    assert fitted_cache.of(view, other, False).full(), "another fold decoded them"
    ours = view(other, 0)["image"]
    assert decoded == []
    np.testing.assert_array_equal(ours, view(parts[0], 2)["image"])
    assert not fitted_cache.of(view, fold("c"), False).full()


def test_zero_turns_it_off(tmp_path):
    assert fitted_cache.cache(tmp_path, 0.0) is None
    assert fitted_cache.cache(tmp_path, 1.5).limit == 3 * 2**29


def test_what_does_not_fit_is_decoded(tmp_path, decoded, caplog):
    view, split = _view("grey", tmp_path, gib=5500 / 2**30), _split()
    with caplog.at_level("INFO"):
        _assert_equal(view, split)
    (path,) = tmp_path.rglob("*.slots")
    assert path.stat().st_size <= 5500
    assert "1 of 9 images of train are cached: the others do not fit" in caplog.text
    decoded.clear()
    for index in range(COUNT):
        view(split, index)
    assert decoded == list(range(1, COUNT))


def test_a_flipped_bit_is_decoded_again_and_mended(tmp_path, decoded, caplog):
    view, split = _view("native", tmp_path), _split("native")
    _assert_equal(view, split)
    (path,) = tmp_path.rglob("*.slots")
    content = bytearray(path.read_bytes())
    content[-100] ^= 4  # of the last image, or of its mask
    path.write_bytes(content)
    decoded.clear()
    view(split, COUNT - 1)
    assert decoded == [COUNT - 1] and "is damaged in places" in caplog.text
    view(split, COUNT - 1)
    assert decoded == [COUNT - 1]
    _assert_equal(view, split)


@pytest.mark.parametrize(
    "code", [errno.EROFS, errno.EACCES, errno.ENOSPC], ids=errno.errorcode.get
)
def test_a_cache_that_cannot_be_opened_is_one_line(
    tmp_path, decoded, monkeypatch, caplog, code
):
    def refused(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(slot_file.os, "open", refused)
    view = _view("grey", tmp_path)
    for split in (_split(), _split(name="validation")):
        _assert_equal(view, split)
        stream = pipeline.eval_batches(split, view, batch_size=COUNT)
        assert len(next(stream)["image"]) == COUNT
    (line,) = caplog.messages
    assert os.strerror(code) in line and "config.data.cache_gib=0" in line


def test_a_cache_in_the_place_of_a_file_is_one_line(tmp_path, decoded, caplog):
    (tmp_path / "fitted").write_text("a file")
    _assert_equal(_view("grey", tmp_path), _split())
    assert len(caplog.messages) == 1 and "cannot be used" in caplog.text


def test_a_full_disk_stops_nothing(tmp_path, decoded, monkeypatch, caplog):
    view, split, real = _view("grey", tmp_path), _split(), os.pwrite
    left = [3]

    def almost_full(fd, content, at):
        left[0] -= len(content) > 64
        if left[0] <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(fd, content, at)

    monkeypatch.setattr(slot_file.os, "pwrite", almost_full)
    for _ in range(2):
        _assert_equal(view, split)
    assert len(caplog.messages) == 1 and "No space left" in caplog.text


def test_processes_that_fill_a_cache_at_once_read_the_same_batches(tmp_path):
    """Two workers each, from an empty cache, half full and full, from any step."""
    split = toy.split(tmp_path)
    size = len(split)
    order = functools.partial(uniform.order, split.present, seed=0, epochs=3, size=size)

    def batches(view, **options):
        stream = pipeline.train_batches(
            split, view, order, epoch_size=size, batch_size=8, steps=9, **options
        )
        return [*stream]

    view = dataclasses.replace(VIEW, cache=fitted_cache.cache(tmp_path, 1.0))
    expected = batches(VIEW)
    _same(batches(view, workers=2), expected)
    _same(batches(view, start=4), expected[4:])
    halves = [batches(view, process=p, processes=2) for p in (0, 1)]
    whole = [
        {name: np.concatenate([a[name], b[name]]) for name in a}
        for a, b in zip(*halves, strict=True)
    ]
    _same(whole, expected)


def test_workers_end_when_nothing_is_left_to_decode(tmp_path, decoded, monkeypatch):
    """The stream goes on where they were, and the next one starts none."""
    calls, real = [], worker_processes.batches

    def counted(data, workers):
        calls.append(workers)
        return real(data, 0)

    monkeypatch.setattr(worker_processes, "batches", counted)
    monkeypatch.setattr(pipeline, "_EVERY", 4)
    split = _split()
    view, epochs = _view("grey", tmp_path), 12
    order = functools.partial(
        uniform.order, split.present, seed=0, epochs=epochs, size=COUNT
    )

    def batches(view, **options):
        stream = pipeline.train_batches(
            split, view, order, epoch_size=COUNT, batch_size=3, steps=36, **options
        )
        return [*stream]

    expected = batches(VIEW)
    calls.clear()
    _same(batches(view, workers=2), expected)
    assert calls == [2, 0]
    _same(batches(view, workers=2), expected)
    assert calls == [2, 0, 0]
    assert len([*pipeline.eval_batches(split, view, batch_size=2, workers=2)]) == 5
    assert calls == [2, 0, 0, 0]
    # what is still to be computed of every example keeps its workers
    list(pipeline.eval_batches(split, view, batch_size=2, workers=2, instances=True))
    assert calls[4:] == [2]


def _same(ours, expected):
    for one, other in zip(ours, expected, strict=True):
        assert one.keys() == other.keys()
        for name in other:
            np.testing.assert_array_equal(one[name], other[name])
