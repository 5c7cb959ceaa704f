"""Every file in data/supervision/: what is labelled is true, and drawn once for all."""

import dataclasses
import json
import tracemalloc
import zipfile

import numpy as np
import pytest
from support import toy

from jaxseg import lookup
from jaxseg.data import pipeline, sparse_labels
from jaxseg.data.samplers import uniform
from jaxseg.data.supervision import clicks, scribbles
from jaxseg.errors import ConfigError, DataError
from jaxseg.types import IGNORE

VIEW = pipeline.View((20, 16), "stretch", "none", None, None)
BLOCK = {"positive": 4, "negative": 6, "strategy": "random", "length": 8}
BLOCK |= {"annotators": 1, "seed": -1, "paths": ()}
STRATEGIES = ("random", "centre", "boundary", "grid")


def mask(classes=2):
    y, x = np.mgrid[:48, :40]
    out = ((y - 15) ** 2 + (x - 12) ** 2 < 60).astype(np.uint8)
    out[(y - 34) ** 2 + (x - 28) ** 2 < 30] = classes - 1
    out[:2] = IGNORE
    return out


def rng():
    return np.random.default_rng(7)


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    return toy.split(tmp_path_factory.mktemp("toy"))


def drawn(split, **changes):
    return sparse_labels.draw(
        split, VIEW, sparse_labels.options(BLOCK | changes, seed=0)
    )


MODULES = {
    n: lookup.find("data/supervision", n) for n in lookup.names("data/supervision")
}
DRAWN = [name for name, module in MODULES.items() if hasattr(module, "label")]


@pytest.mark.parametrize("name", DRAWN)
def test_what_is_labelled_is_true_and_the_same_again(name):
    module = lookup.find("data/supervision", name)
    kwargs = {} if name in ("full", "image_level") else dict(positive=3, negative=5)
    one, two = (module.label(mask(3), rng=rng(), **kwargs) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    labelled = one != IGNORE
    np.testing.assert_array_equal(one[labelled], mask(3)[labelled])
    assert module.SPARSE == (name != "full")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_budgets_are_nested_and_exact(strategy):
    small, large = (
        clicks.label(mask(3), rng=rng(), positive=p, negative=n, strategy=strategy)
        for p, n in ((5, 10), (10, 50))
    )
    assert [np.count_nonzero(small == c) for c in range(3)] == [10, 5, 5]
    assert [np.count_nonzero(large == c) for c in range(3)] == [50, 10, 10]
    known = small != IGNORE
    np.testing.assert_array_equal(small[known], large[known])


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_class_that_is_too_small_gives_all_it_has(strategy):
    tiny = np.zeros((9, 9), np.uint8)
    tiny[4, 4:6] = 1
    found = clicks.label(tiny, rng=rng(), positive=5, negative=3, strategy=strategy)
    assert np.count_nonzero(found == 1) == 2 and np.count_nonzero(found == 0) == 3


def test_one_budget_does_not_move_the_clicks_of_another_class():
    few, many = (
        clicks.label(mask(), rng=rng(), positive=p, negative=9) for p in (2, 30)
    )
    np.testing.assert_array_equal(few == 0, many == 0)


def test_strategies_do_what_they_say():
    disc = mask()
    depth = {}
    for strategy in STRATEGIES:
        found = clicks.label(disc, rng=rng(), positive=6, negative=0, strategy=strategy)
        depth[strategy] = clicks._depth(disc == 1, frame=0)[found == 1].mean()
    assert depth["boundary"] < 1.5 < depth["random"] < depth["centre"]
    everything = np.zeros((64, 64), np.uint8)
    found = clicks.label(
        everything, rng=rng(), positive=0, negative=16, strategy="grid"
    )
    rows = np.unique(np.argwhere(found == 0)[:, 0])
    np.testing.assert_array_equal(np.diff(rows), 16)


def test_strokes_stay_inside_and_more_contain_fewer():
    few, many = (
        scribbles.label(mask(), rng=rng(), positive=p, negative=p, length=12)
        for p in (1, 4)
    )
    known = few != IGNORE
    np.testing.assert_array_equal(few[known], many[known])
    assert 1 < np.count_nonzero(few == 0) <= 12 < np.count_nonzero(many == 0) <= 48


@pytest.mark.parametrize(
    "changes, said",
    [
        (dict(name="clicks", strategy="rnadom"), "choose one of"),
        (dict(name="clicks", positive=-1), "from 0"),
        (dict(name="clicks", positive=0, negative=0), "one of them above"),
        (dict(name="scribbles", length=0), "a length from 1"),
        (dict(name="clicks", annotators=0), "at least 1"),
        (dict(name="click"), "did you mean 'clicks'"),
        (dict(name="stored"), "paths is empty"),
    ],
)
def test_wrong_settings_are_named(split, changes, said):
    with pytest.raises(ConfigError, match=said):
        drawn(split, **changes)


def test_labels_depend_on_seed_and_id_and_not_on_their_neighbours(split):
    one = drawn(split, name="clicks")
    part = dataclasses.replace(split, ids=split.ids[:5])
    few = drawn(part, name="clicks")
    for i in range(5):
        np.testing.assert_array_equal(one.mask(i), few.mask(i))
    other = drawn(split, name="clicks", seed=3)
    assert any((one.mask(i) != other.mask(i)).any() for i in range(5))


def test_every_epoch_and_every_process_sees_the_same_labels(split):
    labels = drawn(split, name="clicks")
    order = lambda epoch: uniform.order(  # noqa: E731
        split.present, seed=0, epoch=epoch, epochs=3, size=40
    )
    seen: dict[int, list] = {}
    for process in range(2):
        batches = pipeline.train_batches(
            split,
            VIEW,
            order,
            epoch_size=40,
            batch_size=8,
            steps=15,
            process=process,
            processes=2,
            labels=labels,
        )
        for batch in batches:
            for i, found in zip(batch["index"], batch["mask"], strict=True):
                seen.setdefault(int(i), []).append(found)
    assert sum(map(len, seen.values())) == 120
    for i, found in seen.items():
        for one in found:
            np.testing.assert_array_equal(one, labels.mask(i))


def test_the_budget_is_counted_honestly(split):
    labels = drawn(split, name="clicks", positive=30)
    told = sparse_labels.describe(labels, split.classes)
    masks = np.stack([labels.mask(i) for i in range(len(split))])
    assert told["labelled_pixels"] == np.count_nonzero(masks != IGNORE)
    assert told["per_class"]["square"] == np.count_nonzero(masks == 1) > 0
    assert told["share"] == pytest.approx((masks != IGNORE).mean())
    # thirty empty images of forty, and most squares, have fewer than 30 pixels
    asked = np.count_nonzero((masks == 1).sum((1, 2)) < 30)
    assert told["short_images"] == {"background": 0, "square": asked}
    counts = np.bincount(masks[masks != IGNORE], minlength=2)
    pixels = sparse_labels.class_pixels(labels, 2)
    np.testing.assert_array_equal(pixels[:, 1], (masks == 1).sum((1, 2)))
    np.testing.assert_array_equal(pixels.sum(0), counts)


def test_the_artifact_comes_back_and_another_is_refused(split, tmp_path):
    labels = drawn(split, name="clicks")
    path = tmp_path / "run" / sparse_labels.FILE
    sparse_labels.store(path, labels)
    sparse_labels.store(path, labels)
    back = sparse_labels.read(path)
    assert back.options == labels.options and back.ids == labels.ids
    np.testing.assert_array_equal(back.mask(3), labels.mask(3))
    with pytest.raises(DataError, match="other labelled pixels"):
        sparse_labels.store(path, drawn(split, name="clicks", seed=1))
    path.write_bytes(b"no zip")
    with pytest.raises(DataError, match=r"supervision.npz is no .npz file of its kind"):
        sparse_labels.read(path)


@pytest.fixture(scope="module")
def artifact(split):
    """The arrays of an artifact of 4 + 6 clicks an image."""
    labels = drawn(split, name="clicks")
    names = ("image", "y", "x", "label")
    arrays = {name: getattr(labels, name) for name in names}
    arrays |= {"ids": np.array(labels.ids), "size": np.array(labels.size)}
    return arrays | {"options": np.array(json.dumps(labels.options))}


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("image", lambda a: a[::-1], "not sorted|other images"),
        ("image", lambda a: a + 1, "labels other images than the 40"),
        ("image", lambda a: a.astype(float), "image is an array of float64"),
        ("image", lambda a: a[:-1], "other lengths"),
        ("y", lambda a: a + 15, "lies outside its image"),
        ("x", lambda a: a - 9, "lies outside its image"),
        ("label", lambda a: a[None], "label is an array of uint8 and shape"),
        ("label", lambda a: np.array([object()]), "label"),
        ("size", lambda a: a * 0, "a size is not from 1 to"),
        ("size", lambda a: a[:1], "sizes of 40 images"),
        ("options", lambda a: np.array("{"), "options are not readable"),
        ("options", lambda a: np.array("[" * 10_000), "options are not readable"),
        ("ids", lambda a: a[:-1], "labels other images than the 39"),
        ("ids", None, "no item named 'ids.npy'"),
    ],
)
def test_a_damaged_artifact_is_refused_by_name(artifact, tmp_path, name, change, words):
    path, arrays = tmp_path / sparse_labels.FILE, dict(artifact)
    np.savez_compressed(path, **arrays)
    assert len(sparse_labels.read(path).ids) == 40
    value = arrays.pop(name)
    if change is not None:
        arrays[name] = change(value)
    np.savez_compressed(path, **arrays)
    with pytest.raises(DataError, match=words) as told:
        sparse_labels.read(path)
    assert str(path) in str(told.value)


def test_an_artifact_inflates_to_no_more_than_labels_can(artifact, tmp_path):
    path = tmp_path / sparse_labels.FILE
    np.savez_compressed(path, **artifact | {"y": np.zeros(2**26, np.int16)})
    assert path.stat().st_size < 2**18
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="would inflate to 134,2"):
            sparse_labels.read(path)
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<i2', 'fortran_order': False, 'shape': (1099511627776,), }",
        "{'descr': 'V2000000000', 'fortran_order': False, 'shape': (9,), }",
        "{'descr': '<i2', 'fortran_order': False, 'shape': (-1,), }",
        "{'descr': '<i2', 'fortran_order': False, 'shape': 3, }",
        "{'descr': 'nonsense', 'fortran_order': False, 'shape': (9,), }",
        "(" * 5000,
        "[" * 60000,
    ],
)
def test_a_header_that_declares_what_is_not_there_is_refused(
    artifact, tmp_path, header
):
    path = tmp_path / sparse_labels.FILE
    np.savez_compressed(path, **{k: v for k, v in artifact.items() if k != "y"})
    text = (header + "\n").encode()
    with zipfile.ZipFile(path, "a") as archive:
        start = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little")
        archive.writestr("y.npy", start + text + bytes(64))
    with pytest.raises(DataError, match="supervision.npz is no .npz file of its kind"):
        sparse_labels.read(path)


def test_labels_of_a_class_that_is_not_there_are_refused(split, artifact, tmp_path):
    path = tmp_path / sparse_labels.FILE
    np.savez_compressed(path, **artifact | {"label": artifact["label"] + 2})
    with pytest.raises(DataError, match="class 3, but the data has the classes 0 to 1"):
        drawn(split, name="stored", paths=(str(path),))


def test_two_annotators_unite_and_a_disagreement_is_left_out(split, tmp_path):
    pair = drawn(split, name="clicks", annotators=2)
    assert len(pair.image) > len(drawn(split, name="clicks").image)
    one = drawn(split, name="clicks")
    other = one._replace(label=np.where(one.image == 4, 1 - one.label, one.label))
    paths = tmp_path / "a.npz", tmp_path / "b.npz"
    for path, labels in zip(paths, (one, other), strict=True):
        sparse_labels.store(path, labels)
    found = drawn(split, name="stored", paths=tuple(map(str, paths)))
    np.testing.assert_array_equal(found.mask(3), one.mask(3))
    assert (one.mask(4) != IGNORE).any() and (found.mask(4) == IGNORE).all()
    with pytest.raises(DataError, match="draw them again"):
        view = dataclasses.replace(VIEW, size=(10, 8))
        block = BLOCK | {"name": "stored", "paths": (str(paths[0]),)}
        sparse_labels.draw(split, view, sparse_labels.options(block, seed=0))
