"""Tiles of many images in blocks: each image gets its own, whatever lies beside it."""

import functools

import jax
import numpy as np
import pytest

from jaxseg.data import pipeline
from jaxseg.devices import sharding
from jaxseg.inference import tiles
from jaxseg.predict import packs
from jaxseg.predict.ensemble import Group

SIZES = [(8, 8), (20, 9), (5, 5), (8, 30), (17, 17), (8, 8), (8, 8)]


def image(k):
    rng = np.random.default_rng(k)
    return rng.integers(0, 256, (*SIZES[k % len(SIZES)], 1)).astype(np.uint8)


def group(mesh, *, block, tile=(8, 8), shapes=None, scale=1.0):
    """A model that says how bright a pixel is."""
    view = pipeline.View(tile, "crop", "none", None, None)

    @functools.partial(jax.jit, out_shardings=sharding.batch_sharding(mesh))
    def bright(pixels):
        p = scale * pixels[..., 0] / 255.0
        return jax.numpy.stack([1 - p, p], -1)

    def predict(batch):
        if shapes is not None:
            shapes.append(batch["image"].shape)
        return bright(batch["image"])

    return Group(view, block, predict, 1, 2, 2)


def shown(numbers, groups, broken=()):
    return [
        packs.Shown(k, f"item {k}", [] if k in broken else [image(k)] * len(groups))
        for k in numbers
    ]


@pytest.mark.parametrize("block", [1, 3, 4])
@pytest.mark.parametrize("devices", [1, 4])
def test_every_image_gets_its_own_probabilities_in_order(block, devices):
    shapes = []
    mesh = jax.make_mesh((devices, 1), ("data", "fsdp"))
    groups = [group(mesh, block=block, shapes=shapes)]
    stream = packs.probabilities(
        shown(range(9), groups, broken=(2, 5)), groups, mesh, timeout=60
    )
    names = []
    for item, (probability,) in stream:
        names.append(item)
        want = image(int(item[5:]))[..., 0] / 255
        np.testing.assert_allclose(probability[..., 1], want, atol=1e-6)
        assert probability.shape[:2] == want.shape
    assert names == [f"item {k}" for k in (0, 1, 3, 4, 6, 7, 8)]
    assert {shape[0] for shape in shapes} == {block * devices}
    count = sum(
        tiles.grid(image(k).shape[:2], (8, 8), 0.5).count for k in (0, 1, 3, 4, 6, 7, 8)
    )
    full = -(-count // (block * devices))
    assert full <= len(shapes) <= full + 9 // block  # a block of padding a pack


def test_groups_of_other_tiles_and_blocks_meet_again():
    mesh = jax.make_mesh((1, 1), ("data", "fsdp"))
    groups = [group(mesh, block=2), group(mesh, block=3, tile=(4, 16), scale=0.5)]
    stream = packs.probabilities(shown(range(7), groups), groups, mesh, timeout=60)
    seen = 0
    for item, (one, other) in stream:
        want = image(int(item[5:]))[..., 0] / 255
        np.testing.assert_allclose(one[..., 1], want, atol=1e-6)
        np.testing.assert_allclose(other[..., 1], want / 2, atol=1e-6)
        seen += 1
    assert seen == 7


def test_what_lies_in_one_block_follows_from_the_list_alone():
    assert packs.needed([4], [3], 9) == [3, 4, 5]
    assert packs.needed([0, 8], [4], 9) == [0, 1, 2, 3, 8]
    assert packs.needed([4], [3, 2], 9) == [3, 4, 5]
    assert packs.needed([], [3], 9) == []
    mesh, rows = jax.make_mesh((1, 1), ("data", "fsdp")), {}

    def recorded(numbers):
        one = group(mesh, block=3)
        blocks = packs._blocks(shown(numbers, [one]), [one], {})
        return [block.rows for block in blocks]

    for block in recorded(range(9)):
        rows |= {row: block for row in block}
    for block in recorded(packs.needed([4], [3], 9)):
        assert all(rows[row] == block for row in block if row[0] >= 0)
