"""Every target: channels, truth and maps fit together, whatever the ids are."""

import functools

import beartype
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import jaxtyped
from support import label_maps

from jaxseg import errors, lookup
from jaxseg.targets import border, star
from jaxseg.types import IGNORE

NAMES = lookup.names("targets")
SETTINGS = {"border": {"width": 2}, "distance": {"reach": 9}}
SETTINGS |= {"star": {"n_rays": 8, "reach": 9}, "classes": {}, "regions": {}}
each = pytest.mark.parametrize("name", NAMES)
RAYS = jax.jit(star.rays, static_argnums=(1, 2))
DISCS = [(6, 6, 5), (6, 15, 4.4), (14, 11, 5), (19, 21, 4), (2, 21, 1.5), (20, 3, 0)]


def drawn():
    """Mask u8 and ids i32 [2, 22, 24] of touching discs, one at the frame."""
    one = label_maps.discs((22, 24), DISCS)
    ids = np.stack([one, np.flip(one, 0)]).astype(np.int32)
    mask = (ids > 0).astype(np.uint8)
    mask[:, :, :2] = IGNORE
    return mask, ids


@functools.cache
def _part(name, function, settings):
    whole = getattr(lookup.find("targets", name), function)
    typed = jaxtyped(typechecker=beartype.beartype)(whole)
    return jax.jit(functools.partial(typed, num_classes=2, **dict(settings)))


def part(name, function, **changes):
    """A function of a target with its settings, shapes checked, compiled."""
    return _part(name, function, tuple((SETTINGS[name] | changes).items()))


def logits_of(name, seed=0):
    channels = lookup.find("targets", name).channels(2, **SETTINGS[name])
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.normal(size=(2, 5, 6, channels)), jnp.float32)


def test_the_folder_holds_the_targets():
    assert NAMES == ["border", "classes", "distance", "regions", "star"]


@each
def test_maps_are_the_classes_of_the_data_and_what_their_names_say(name):
    maps = part(name, "maps")(logits_of(name))
    names = lookup.find("targets", name).MAPS(SETTINGS[name])
    assert maps.shape == (2, 5, 6, 2 + len(names)) and maps.dtype == jnp.float32
    np.testing.assert_allclose(maps[..., :2].sum(-1), 1, rtol=1e-6)
    assert (maps >= 0).all() and len({*names}) == len(names)


@each
def test_losses_get_logits_of_the_size_of_the_mask(name):
    parts = part(name, "split")(logits_of(name))
    truth = part(name, "truth")(*map(jnp.asarray, drawn()))
    k = 3 if name == "border" else 2
    assert parts["logits"].shape == (2, 5, 6, k)
    for key, value in truth.items():
        assert value.shape[:3] == (2, 22, 24)
        if key != "mask":
            assert value.dtype == jnp.float32 and np.isfinite(value).all()


@each
def test_ids_of_any_order_and_size_are_the_same_objects(name):
    mask, ids = drawn()
    other = np.array([0, 70_000, -1, 3, -(2**31), 2**31 - 1, 8])[ids].astype(np.int32)
    for a, b in zip(
        jax.tree.leaves(part(name, "truth")(mask, ids)),
        jax.tree.leaves(part(name, "truth")(mask, other)),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ["star"])  # whose truth has that of distance in it
def test_a_batch_cut_over_devices_has_the_same_truth(name):
    mask, ids = drawn()
    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    cut = jax.NamedSharding(mesh, jax.P("data"))
    placed = jax.device_put(mask, cut), jax.device_put(ids, cut)
    for a, b in zip(
        jax.tree.leaves(part(name, "truth")(mask, ids)),
        jax.tree.leaves(part(name, "truth")(*placed)),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("width", [2])
def test_the_border_is_what_lies_close_to_something_else(width):
    mask, ids = drawn()
    truth = np.asarray(part("border", "truth", width=width)(mask, ids)["mask"])
    assert truth.dtype == np.uint8
    far = np.stack([label_maps.distance(one) for one in ids])
    expected = np.where((ids > 0) & (far <= width), 2, ids > 0)
    np.testing.assert_array_equal(
        truth, np.where(mask == IGNORE, IGNORE, expected).astype(np.uint8)
    )
    # an object that only the frame cuts has no border there
    full = np.ones((1, 6, 6), np.int32)
    assert (
        border.truth(full.astype(np.uint8), full, 2, width=width)["mask"] == 1
    ).all()


def test_the_border_is_foreground_for_evaluation():
    logits = jnp.zeros((1, 1, 1, 4)).at[0, 0, 0].set(jnp.array([-9.0, -9, -2, 3]))
    maps = np.asarray(border.maps(logits, 3))[0, 0, 0]
    assert maps[3] > 0.99 and maps[2] > 0.99 and maps[0] < 0.01  # 2 is the likelier
    np.testing.assert_allclose(maps[:3].sum(), 1, rtol=1e-6)


@pytest.mark.parametrize("reach", [3, 9])
def test_distances_are_those_of_brute_force(reach):
    mask, ids = drawn()
    truth = part("distance", "truth", reach=reach)(mask, ids)["true_distance"]
    for one, own in zip(ids, np.asarray(truth), strict=True):
        exact = np.minimum(label_maps.distance(one), reach)
        for i in np.unique(one[one > 0]):
            inside = one == i
            expected = exact[inside] / exact[inside].max()
            np.testing.assert_allclose(own[inside], expected, rtol=1e-6)
        assert not own[one == 0].any()


@pytest.mark.parametrize("n_rays, reach", [(8, 9), (4, 3)])
def test_rays_are_those_of_brute_force(n_rays, reach):
    _, ids = drawn()
    own = np.asarray(RAYS(ids, n_rays, reach))
    for one, found in zip(ids, own, strict=True):
        exact = np.minimum(label_maps.rays(one, n_rays), reach)
        np.testing.assert_allclose(found, exact, atol=1e-6)


STARS = [(9, 10, 7, 3, 0.2), (11, 24, 7, 5, 0.15), (24, 14, 8, 4, 0.2)]
STARS += [(24, 31, 9, 2, 0.25), (6, 38, 5, 3, 0.1)]


def test_rays_and_probability_are_those_of_stardist():
    """Sums of each ray, and one pixel, from stardist 0.9.2: star_dist and edt_prob.

    It adds up steps in float32, so that each of 1000 rays is off by less than 1e-4
    pixels; a step that was rounded to another pixel would be off by 1.
    """
    ids = label_maps.stars((34, 44), STARS)[None]
    truth = part("star", "truth", n_rays=16, reach=24)(np.ones_like(ids), ids)
    sums = [5715.5, 5425.57, 5336.78, 4942.57, 5008.5, 4953.57, 5356.78, 5448.57]
    sums += [5715.5, 5434.57, 5336.78, 4938.57, 5008.5, 4952.57, 5356.78, 5439.57]
    rays = np.asarray(truth["true_rays"])[0]
    np.testing.assert_allclose(rays.sum((0, 1)), sums, atol=0.1)
    one = [7.5, 7.541, 6.707, 8.541, 7.5, 7.541, 9.707, 7.541]
    one += [6.5, 7.541, 6.707, 4.541, 6.5, 7.541, 6.707, 5.541]
    np.testing.assert_allclose(rays[10, 24], one, atol=1e-3)
    np.testing.assert_allclose(truth["true_distance"].sum(), 348.36133, rtol=1e-5)


@pytest.mark.parametrize("axis", [1, 2])
def test_a_mirrored_image_has_mirrored_rays(axis):
    _, ids = drawn()
    rays = RAYS(ids, 8, 9)
    rest = jnp.zeros((*ids.shape, 3))
    maps = jnp.concatenate([rest, rays], -1)
    mirrored = star.mirror(maps, axis, 2, n_rays=8, reach=9)
    expected = RAYS(jnp.flip(jnp.asarray(ids), axis), 8, 9)
    np.testing.assert_allclose(mirrored[..., 3:], expected, atol=1e-6)


def test_a_predicted_ray_lies_within_reach():
    logits = jnp.asarray([9, 9, 9, 9, -1e4, 0, 1e4, 0]).reshape(1, 1, 1, 8)
    rays = star.split(logits, 3, n_rays=4, reach=10)["rays"]
    np.testing.assert_array_equal(rays.ravel(), [0, 5, 10, 5])


@pytest.mark.parametrize(
    "name, wrong, words",
    [
        ("border", {"width": 0}, "border.width is 0; give whole pixels"),
        ("border", {"width": 1.5}, "border.width is 1.5"),
        ("distance", {"reach": 0}, "distance.reach is 0"),
        ("star", {"n_rays": 6}, "star.n_rays is 6; give a multiple of 4"),
        ("star", {"reach": -1}, "star.reach is -1"),
    ],
)
def test_a_setting_out_of_range_is_refused(name, wrong, words):
    with pytest.raises(errors.ConfigError, match=words):
        lookup.find("targets", name).channels(2, **wrong)
