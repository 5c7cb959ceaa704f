"""Images of several sizes, predicted by tiles: each once, whole, and the same bits."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.data import pipeline
from jaxseg.inference import tiled_split, tiles, whole_split
from jaxseg.labels import IGNORE

SIZES = [(8, 8), (30, 8), (5, 90), (9, 9), (3, 2), (40, 40), (8, 16), (7, 8), (64, 9)]
VIEW = pipeline.View((8, 8), "crop", "none", None, None)


@dataclasses.dataclass
class Split:
    """Images that hold their own number and place; what tiled_split asks of one."""

    name = "toy"
    sizes = np.array(SIZES)
    card = {"channels": 1}

    def __len__(self):
        return len(SIZES)

    def __getitem__(self, index):
        rng = np.random.default_rng(index)
        image = rng.integers(0, 256, (*SIZES[index], 1)).astype(np.uint8)
        return {"image": image, "mask": np.zeros(SIZES[index], np.uint8), "label": 0}


def counts():
    return [tiles.grid(size, (8, 8), 0.5).count for size in SIZES]


def blocks(layout, block):
    rows = list(itertools.chain(*layout.rows))
    cut = [tuple(rows[k : k + block]) for k in range(0, len(rows), block)]
    return {b for b in cut if any(image >= 0 for image, _ in b)}


@pytest.mark.parametrize("block", [1, 3, 4])
def test_blocks_are_the_same_for_any_number_of_devices_and_processes(block):
    alone = tiled_split.layout(counts(), block=block, devices=1, processes=1)
    tile = [row for row in alone.rows[0] if row[0] >= 0]
    assert tile == [(i, k) for i, n in enumerate(counts()) for k in range(n)]
    for devices, processes in ((8, 1), (2, 2), (8, 4), (8, 8)):
        other = tiled_split.layout(
            counts(), block=block, devices=devices, processes=processes
        )
        assert blocks(other, block) == blocks(alone, block)
        assert len({len(own) for own in other.rows}) == 1
        assert len(other.rows[0]) % other.step == 0
        assert other.step == devices // processes * block
        homes = [{i for i, _ in own if i >= 0} for own in other.rows]
        assert sum(map(len, homes)) == len(SIZES)  # no image is in two processes
        for own in other.rows:
            place = {row: k for k, row in enumerate(own) if row[0] >= 0}
            for (image, number), k in place.items():
                assert number == 0 or place[image, number - 1] < k


def test_work_is_shared_out():
    share = tiled_split.layout([10] * 64, block=4, devices=4, processes=4)
    assert [sum(i >= 0 for i, _ in own) for own in share.rows] == [160] * 4


@pytest.fixture
def scorer():
    """Gives the image itself as probability of class 1, and counts its calls."""
    calls = []

    def predict(variables, batch):
        calls.append(np.asarray(batch["index"]).tolist())
        p = jnp.asarray(batch["image"], jnp.float32) / 255 * variables
        return jnp.concatenate([1 - p, p], -1)

    axes = (jax.sharding.AxisType.Auto,) * 2
    scorer = whole_split.Scorer(
        predict=predict,
        mesh=jax.make_mesh((4, 1), ("data", "fsdp"), axis_types=axes),
        view=VIEW,
        per_device_batch=2,
        workers=0,
        timeout=60.0,
    )
    return scorer, calls


def test_every_image_comes_once_at_its_size(scorer):
    rows = list(whole_split.predictions(scorer[0], 1.0, Split()))
    assert [index for index, _ in rows] == list(range(len(SIZES)))
    for index, probability in rows:
        image = Split()[index]["image"][..., 0]
        assert probability.shape == (*SIZES[index], 2)
        np.testing.assert_allclose(probability[..., 1], image / 255, atol=2e-6)
        same = scorer[0].to_native()(probability, SIZES[index])
        np.testing.assert_array_equal(same, probability)
    steps = -(-sum(map(len, blocks(_alone(), 2))) // 8)
    assert len(scorer[1]) == steps and all(len(call) == 8 for call in scorer[1])


def _alone():
    return tiled_split.layout(counts(), block=2, devices=4, processes=1)


def test_only_steps_with_a_wanted_image_are_computed(scorer):
    every = dict(whole_split.predictions(scorer[0], 1.0, Split()))
    count = len(scorer[1])
    rows = dict(whole_split.predictions(scorer[0], 1.0, Split(), {1, 8}))
    assert sorted(rows) == [1, 8]
    for index, probability in rows.items():
        np.testing.assert_array_equal(probability, every[index])
    assert len(scorer[1]) - count < count / 2
    assert all({1, 8} & set(call) for call in scorer[1][count:])


def test_images_are_read_once_and_a_few_ahead(monkeypatch):
    reads = []
    real = Split.__getitem__
    monkeypatch.setattr(
        Split, "__getitem__", lambda self, i: reads.append(i) or real(self, i)
    )
    rows = [(i, k) for i, n in enumerate(counts()) for k in range(n)]
    stream = tiled_split.batches(Split(), VIEW, rows, batch_size=1)
    next(stream)
    assert len(reads) <= 4
    for batch in stream:
        assert batch["image"].shape == (1, 8, 8, 1)
    assert sorted(reads) == list(range(len(SIZES)))


class Masked(Split):
    """The same images; a pixel is of class 1 where it is brighter than 128."""

    image_classes = None

    def __getitem__(self, index):
        example = super().__getitem__(index)
        mask = (example["image"][..., 0] > 128).astype(np.uint8)
        return example | {"mask": mask, "label": int(mask.any())}


def test_a_tile_with_labels_has_the_mask_of_its_window():
    """What the loss of validation sees: nothing of the margin, and no padding."""
    rows = [(i, k) for i, n in enumerate(counts()) for k in range(n)] + [(-1, 0)]
    batches = list(tiled_split.batches(Masked(), VIEW, rows, batch_size=5, labels=True))
    parts = {k: np.concatenate([b[k] for b in batches]) for k in batches[0]}
    plain = list(tiled_split.batches(Masked(), VIEW, rows, batch_size=5))
    np.testing.assert_array_equal(
        parts["image"][:-1], np.concatenate([b["image"] for b in plain])[:-1]
    )
    cuts = tiled_split.grids(Masked(), VIEW)
    for row, (index, tile) in enumerate(rows[:-1]):
        y, x = cuts[index].start(tile)
        whole = Masked()[index]["mask"]
        want = np.full((8, 8), IGNORE, np.uint8)
        within = whole[max(y, 0) : y + 8, max(x, 0) : x + 8]
        top, left = max(-y, 0), max(-x, 0)
        want[top : top + within.shape[0], left : left + within.shape[1]] = within
        np.testing.assert_array_equal(parts["mask"][row], want)
        assert parts["label"][row] == (want == 1).any()
    assert parts["weight"].tolist() == [1.0] * (len(rows) - 1) + [0.0]


def test_a_reader_that_fails_is_an_error_and_not_a_hang(scorer, monkeypatch):
    def broken(self, index):
        raise OSError("no such disk")

    monkeypatch.setattr(Split, "__getitem__", broken)
    with pytest.raises(OSError, match="no such disk"):
        list(whole_split.predictions(scorer[0], 1.0, Split()))
