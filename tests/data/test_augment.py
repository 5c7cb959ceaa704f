"""Augmentation: image and mask move together, and off means off to the last bit."""

import functools
import inspect
import types

import beartype
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import jaxtyped
from support import runs, tiny

from jaxseg import errors
from jaxseg.data import _warp, augment, augment_settings
from jaxseg.experiment import from_config
from jaxseg.train_step import step
from jaxseg.types import IGNORE, TrainState

typed = jaxtyped(typechecker=beartype.beartype)(augment.augment)
KEY = jax.random.key(3)
GEOMETRY = dict(
    flip_horizontal=0.5,
    flip_vertical=0.5,
    rotate_degrees=40.0,
    scale=(0.7, 1.5),
    shift=0.2,
    shear_degrees=20.0,
    elastic_pixels=3.0,
)
TONE = dict(brightness=0.3, contrast=0.4, gamma=0.8, noise=0.1)


def blobs(batch=8, height=36, width=28, channels=1):
    """Smooth random images in [0, 1] and masks with IGNORE in one corner."""
    rng = np.random.default_rng(0)
    coarse = jnp.asarray(rng.uniform(size=(batch, 5, 4, channels)), jnp.float32)
    image = jax.image.resize(coarse, (batch, height, width, channels), "linear")
    mask = np.asarray(image[..., 0] > 0.5).astype(np.uint8)
    mask[:, :4, :5] = IGNORE
    return jnp.clip(image, 0, 1), jnp.asarray(mask)


@functools.lru_cache
def _compiled(settings):
    return jax.jit(functools.partial(typed, **dict(settings)))


def run(image, mask, key=KEY, **settings):
    return _compiled(tuple(settings.items()))(image, mask, key)


def test_off_changes_no_bit():
    image, mask = blobs()
    never = {
        f"{name}_probability": 0.0
        for name in ("affine", "elastic", "brightness", "contrast", "gamma", "noise")
    }
    never |= GEOMETRY | TONE | {"flip_horizontal": 0.0, "flip_vertical": 0.0}
    for settings in ({}, never):
        got = run(image, mask, **settings)
        np.testing.assert_array_equal(got[0], image)
        np.testing.assert_array_equal(got[1], mask)
        assert got[1].dtype == mask.dtype


def test_what_is_off_is_not_traced():
    image, mask = blobs()
    got = augment.augment(image, mask, KEY)
    assert got[0] is image and got[1] is mask
    text = str(
        jax.make_jaxpr(
            lambda *pair: augment.augment(*pair, KEY, flip_horizontal=0.5, noise=0.1)
        )(image, mask)
    )
    assert "gather" not in text and "exp " not in text


@pytest.mark.parametrize(
    "settings",
    [
        *({name: value} for name, value in GEOMETRY.items()),
        GEOMETRY,
    ],
    ids=lambda s: "-".join(s)[:20],
)
def test_the_mask_moves_with_the_image(settings):
    # A mask painted into the image as intensity: after the warp, wherever the blend
    # is nearly pure, it is the mask's own class.
    _, mask = blobs()
    mask = jnp.where(mask == IGNORE, 0, mask)
    image, moved = run(mask[..., None].astype(jnp.float32), mask, **settings)
    image, moved = np.asarray(image[..., 0]), np.asarray(moved)
    assert (moved != np.asarray(mask)).any()
    inside = moved != IGNORE
    assert inside.mean() > 0.4
    pure = inside & ((image < 0.2) | (image > 0.8))
    assert pure.sum() > 0.7 * inside.sum()
    np.testing.assert_array_equal(moved[pure], image[pure] > 0.5)
    assert (image[~inside] == 0).all()


def test_outside_is_ignored_and_black_in_the_same_pixels():
    mask = jnp.zeros((8, 20, 24), jnp.int32)
    image, moved = run(jnp.ones((8, 20, 24, 2)), mask, shift=0.5, rotate_degrees=90.0)
    outside = np.asarray(moved) == IGNORE
    assert moved.dtype == jnp.int32 and 0.05 < outside.mean() < 0.9
    for channel in range(2):
        np.testing.assert_array_equal(np.asarray(image[..., channel] == 0), outside)


def test_flips_are_exact_inside_the_warp_and_without_it():
    image, mask = blobs(width=27)
    for axis, name in ((2, "flip_horizontal"), (1, "flip_vertical")):
        want = jnp.flip(image, axis), jnp.flip(mask, axis)
        warped = dict(rotate_degrees=9.0, affine_probability=0.0)
        for settings in ({name: 1.0}, {name: 1.0} | warped):
            got = run(image, mask, **settings)
            np.testing.assert_array_equal(got[0], want[0])
            np.testing.assert_array_equal(got[1], want[1])


@pytest.mark.parametrize("name", [*TONE, "all"])
def test_tone_changes_the_image_alone(name):
    image, mask = blobs(channels=3)
    image = image.at[:, :8].set(0.0).at[:, -8:].set(1.0)
    settings = TONE if name == "all" else {name: TONE[name]}
    got = run(image, mask, **settings)
    np.testing.assert_array_equal(got[1], mask)
    assert (np.abs(got[0] - image).max((1, 2, 3)) > 1e-4).all()
    clipped = run(image, mask, **settings, clip=True)[0]
    assert 0 <= clipped.min() and clipped.max() <= 1
    if name != "all":  # gamma alone stays in range; else the clip is the one difference
        # two programs, which may round the last bit of numbers up to 1 differently
        want = np.clip(got[0], 0, 1)
        np.testing.assert_allclose(clipped, want, rtol=0, atol=2**-24)
    half = run(image, mask, **settings, **{f"{n}_probability": 0.5 for n in settings})
    same = np.asarray((half[0] == image).all((1, 2, 3)))
    assert name == "all" or 0 < same.sum() < 8


def test_tone_by_hand():
    image, mask = blobs(batch=64, height=4, width=4)
    image = 0.4 + 0.2 * image  # far from the ends: nothing is clipped
    shift = np.asarray(run(image, mask, brightness=0.3)[0] - image)
    assert (np.ptp(shift, (1, 2, 3)) < 1e-6).all() and 0.25 < np.abs(shift).max() <= 0.3
    got, mean = run(image, mask, contrast=0.5)[0], image.mean((1, 2, 3))
    np.testing.assert_allclose(got.mean((1, 2, 3)), mean, rtol=1e-5)
    stretch = np.asarray(got.std((1, 2, 3)) / image.std((1, 2, 3)))
    assert 0.5 <= stretch.min() < 0.6 and 1.4 < stretch.max() <= 1.5
    power = np.asarray(jnp.log(run(image, mask, gamma=1.0)[0]) / jnp.log(image))
    assert (np.ptp(power, (1, 2, 3)) < 1e-4).all()
    assert 0.49 < power.min() < 0.6 and 1.7 < power.max() < 2.01
    spread = np.asarray((run(image, mask, noise=0.02)[0] - image).std((1, 2, 3)))
    assert spread.min() < 0.005 and 0.01 < spread.max() < 0.04


@pytest.mark.parametrize("settings", [{"brightness": 1.0}, {"contrast": 0.9}, TONE])
def test_a_dim_object_keeps_its_contrast(settings):
    """Levels 0 to 20 of 255: a clip at 0 would erase what the mask still labels."""
    levels = np.arange(21, dtype=np.float32) / 255
    image = np.zeros((64, 21, 8, 1), np.float32) + levels[:, None, None]
    image[:, :, 4:] = 10 / 255  # the background, on the right
    mask = jnp.zeros((64, 21, 8), jnp.uint8).at[:, :, :4].set(1)
    before = np.diff(image[..., 0], axis=1)
    settings = {k: v for k, v in settings.items() if k != "noise"}  # adds its own
    for seed in range(4):
        got = np.asarray(
            run(jnp.asarray(image), mask, jax.random.key(seed), **settings)[0]
        )
        after = np.diff(got[..., 0], axis=1)
        if settings == {"brightness": 1.0}:
            np.testing.assert_allclose(after, before, atol=1e-6)
            assert got.min() < -0.5  # such draws were among them
        else:  # contrast scales by 0.1 at least; gamma flattens, but not to nothing
            least = 0.1 * before[:, :, :4] - 1e-6 if "gamma" not in settings else 1e-6
            assert np.all(after[:, :, :4] > least)
        rest = got[..., 0][:, :, :1] - got[..., 0][:, :, 4:5]
        assert np.all(np.sign(np.round(rest, 7)) == np.sign(levels - 10 / 255)[:, None])


def test_each_warp_is_done_with_its_own_probability():
    image, mask = blobs(batch=64)
    alone = {"rotate_degrees": 30.0, "shear_degrees": 20.0, "shift": 0.3}
    alone["scale"] = (1.2, 1.5)
    for name, value in alone.items():
        chance = f"{name.removesuffix('_degrees')}_probability"
        always = run(image, mask, **{name: value})
        half = run(image, mask, **{name: value, chance: 0.5})
        moved = np.asarray(half[0] != image).any((1, 2, 3))
        assert 16 < moved.sum() < 48
        # what is moved is moved as before, and the rest keeps every bit
        np.testing.assert_array_equal(half[0][moved], always[0][moved])
        np.testing.assert_array_equal(half[1][~moved], mask[~moved])
    off = {f"{n.removesuffix('_degrees')}_probability": 0.0 for n in alone}
    got = run(image, mask, **alone, **off)
    np.testing.assert_array_equal(got[0], image)
    # the draws of one do not hang on the probability of another
    rotated = run(image, mask, **alone, **off | {"rotate_probability": 1.0})
    only = run(image, mask, rotate_degrees=30.0)
    np.testing.assert_array_equal(rotated[0], only[0])


def test_a_reflected_border_mirrors_image_and_mask_and_leaves_nothing_unlabelled():
    _, mask = blobs()
    mask = jnp.where(mask == IGNORE, 0, mask)
    painted = mask[..., None].astype(jnp.float32)
    settings = GEOMETRY | {"shift": 1.0, "border": "reflect"}
    image, moved = run(painted, mask, **settings)
    image, moved = np.asarray(image[..., 0]), np.asarray(moved)
    assert set(np.unique(moved)) == {0, 1}
    pure = (image < 0.2) | (image > 0.8)
    assert pure.mean() > 0.7
    np.testing.assert_array_equal(moved[pure], image[pure] > 0.5)
    constant = run(painted, mask, **settings | {"border": "constant"})
    inside = np.asarray(constant[1]) != IGNORE
    np.testing.assert_array_equal(moved[inside], np.asarray(constant[1])[inside])


def test_a_reflected_border_is_that_of_numpy():
    rng = np.random.default_rng(0)
    image = jnp.asarray(rng.uniform(size=(1, 5, 7, 2)), jnp.float32)
    mask = jnp.asarray(rng.integers(0, 3, (1, 5, 7)), jnp.uint8)
    y, x = np.mgrid[-11:12, -9:10].astype(np.float32)
    place = jnp.asarray(np.stack([y, x]))[None]
    got = _warp.sample(image, mask, place, reflect=True)
    pad = ((9, 9), (6, 6))
    want = np.pad(np.asarray(image[0]), (*pad, (0, 0)), mode="reflect")
    np.testing.assert_allclose(got[0][0], want, atol=1e-6)
    np.testing.assert_array_equal(got[1][0], np.pad(mask[0], pad, mode="reflect"))
    one = _warp.sample(image[:, :1, :1], mask[:, :1, :1], place, reflect=True)
    assert np.all(one[1] == mask[0, 0, 0])


def test_sparse_labels_are_not_reflected():
    image, mask = blobs()
    with pytest.raises(errors.ConfigError, match="border is 'reflect'.*use 'constant'"):
        augment.augment(image, mask, KEY, sparse=True, border="reflect")
    changes = {"augment.border": "reflect", "supervision.name": "clicks"}
    config = runs.config("folder", **changes)
    parts = from_config.Parts(None, None, None, (), (), (8, 8, 1), "none")
    with pytest.raises(errors.ConfigError, match="border is 'reflect'"):
        from_config.step_settings(config, np.ones((1, 2), int), parts, None, None)


def test_losses_are_given_images_in_range():
    asked = {}

    def loss(logits, image, mask):
        asked["range"] = jnp.min(image), jnp.max(image)
        return jnp.sum(logits, (1, 2, 3)) + asked["range"][0] + asked["range"][1]

    def far(image, mask, key):
        return 4 * image - 1, mask

    settings = tiny.settings(losses={"probe": (loss, 1.0)}, aux_weight=0.0)
    probe = settings._replace(
        augment=far,
        model=types.SimpleNamespace(
            apply=lambda *args, **kwargs: ({"logits": jnp.zeros((8, 16, 16, 2))}, {})
        ),
    )
    batch = tiny.batch()
    batch["image"][0, 0, 0], batch["image"][0, 0, 1] = 0, 255
    zero = jnp.zeros((), jnp.int32)
    state = TrainState(zero, {}, {}, probe.tx.init({}), None, zero, zero)
    _, numbers = step.train_step(state, batch, probe)
    assert float(numbers["loss/probe"]) == 1.0  # 0 + 1


def test_draws_depend_on_key_slot_and_operation_alone():
    image, mask = blobs()
    whole = run(image, mask, **GEOMETRY, **TONE)
    again = run(image, mask, **GEOMETRY, **TONE)
    np.testing.assert_array_equal(whole[0], again[0])
    other = run(image, mask, jax.random.key(4), **GEOMETRY, **TONE)
    assert (np.asarray(whole[1] != other[1]).any((1, 2))).all()
    # The first half of the batch does not see the second, nor geometry the tone.
    half = run(image[:4], mask[:4], **GEOMETRY, **TONE)
    np.testing.assert_allclose(half[0], whole[0][:4], atol=1e-5)
    np.testing.assert_array_equal(half[1], whole[1][:4])
    np.testing.assert_array_equal(run(image, mask, **GEOMETRY)[1], whole[1])
    # Equal images in different slots are changed differently.
    twins = run(jnp.repeat(image[:1], 8, 0), jnp.repeat(mask[:1], 8, 0), **GEOMETRY)
    assert len({np.asarray(one).tobytes() for one in twins[1]}) == 8


def test_the_layout_of_devices_changes_nothing_and_moves_nothing():
    image, mask = blobs()
    settings = GEOMETRY | TONE
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    cut = jax.NamedSharding(mesh, jax.P("data"))
    parts = jax.device_put(image, cut), jax.device_put(mask, cut)
    whole, split = run(image, mask, **settings), run(*parts, **settings)
    np.testing.assert_allclose(split[0], whole[0], atol=1e-5)
    np.testing.assert_array_equal(split[1], whole[1])
    program = _compiled(tuple(settings.items())).lower(*parts, KEY).compile().as_text()
    for collective in ("all-gather", "all-reduce", "all-to-all", "collective-permute"):
        assert f" {collective}(" not in program


def test_every_setting_has_a_limit_and_the_defaults_change_nothing():
    names = {
        name: p.default
        for name, p in inspect.signature(augment.augment).parameters.items()
        if p.kind is p.KEYWORD_ONLY
    }
    assert names.pop("sparse") is False  # of the labels, not a setting
    assert names.pop("instances") is None
    limits = augment_settings.LIMITS
    assert set(names) == {*limits, "scale", "elastic_cells", "border", "clip"}
    assert all(
        value == (1.0 if name.endswith("_probability") else 0.0)
        for name, value in names.items()
        if name in limits
    )


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"rotate_degrees": -5.0}, "rotate_degrees is -5.0"),
        ({"noise": float("nan")}, "noise is nan"),
        ({"gamma": "0.2"}, "gamma is '0.2'"),
        ({"flip_horizontal": 1.5}, "from 0 to 1"),
        ({"scale": (1.2, 0.8)}, "low, high"),
        ({"scale": (0.0, 1.0)}, "low, high"),
        ({"scale": (1.0,)}, "low, high"),
        ({"border": "wrap"}, "border is 'wrap'; choose one of"),
        ({"elastic_cells": 0}, "elastic_cells is 0"),
        ({"elastic_pixels": 6.0, "elastic_cells": 3}, "fold"),
        ({"rotate": 5.0}, "did you mean 'rotate_degrees'"),
        ({"zzz": 5.0}, "choose from"),
    ],
)
def test_wrong_settings_are_named(settings, words):
    image, mask = blobs()
    with pytest.raises(errors.ConfigError, match=words):
        jax.eval_shape(lambda a, b: augment.augment(a, b, KEY, **settings), image, mask)
