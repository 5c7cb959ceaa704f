"""A tiny network learns each target by heart, and its objects come apart again."""

import functools

import jax
import numpy as np
import optax
import pytest
from support import label_maps, runs, tiny

from jaxseg.devices import sharding
from jaxseg.experiment import from_config, targets
from jaxseg.inference import forward
from jaxseg.models import unet
from jaxseg.postprocess import objects
from jaxseg.train_step import state, step

DISCS = [(6, 6, 4.5), (6, 15, 4.5), (14, 10, 4.5), (19, 19, 3)]
MODEL = {"widths": (16, 16), "convs": 1, "norm": "group"}
# {target: (rule, its settings, weights of losses, steps)}
CASES = {
    "classes": ("components", {}, {"border_cross_entropy": 1.0}, 30),
    "border": ("border", {}, {"cross_entropy": 1.0}, 30),
    "distance": ("watershed", {}, {"cross_entropy": 1.0, "distance": 1.0}, 30),
    "star": (
        "star",
        {"threshold": 0.2},  # the network is not sure of the deepest pixels yet
        {"cross_entropy": 1.0, "object_probability": 1.0, "star_rays": 0.2},
        200,
    ),
}


def config(name, **weights):
    changes = {f"loss.{term}.weight": 0.0 for term in ("cross_entropy", "dice_batch")}
    changes |= {f"loss.{term}.weight": w for term, w in weights.items()}
    changes |= {"loss.border_cross_entropy.sigma": 2.0, "target.name": name}
    changes |= {"target.star.n_rays": 8, "target.star.reach": 8}
    changes |= {"target.distance.reach": 6, "loss.cross_entropy.class_weights": None}
    return runs.config("folder", **changes)


@functools.cache
def drawn():
    """A batch of one image of touching domes and its mirror image."""
    ids = label_maps.discs((24, 24), DISCS)
    depth = label_maps.distance(ids)
    image = np.where(ids > 0, 80 + 150 * depth / depth.max(), 20).astype(np.uint8)
    batch = {
        "image": np.stack([image, np.flip(image, 1)])[..., None],
        "mask": np.stack([ids > 0, np.flip(ids > 0, 1)]).astype(np.uint8),
        "instances": np.stack([ids, np.flip(ids, 1)]),
        "label": np.ones(2, np.int32),
        "weight": np.ones(2, np.float32),
        "index": np.arange(2, dtype=np.int32),
    }
    return ids, batch


def start(name, weights, **changes):
    """(settings, state, compiled step, mesh, target) of a tiny U-Net."""
    block = config(name, **weights)
    target = targets.of(block, 2)
    losses = from_config.losses(block, np.ones((1, 2), int))
    targets.check_losses(target, losses)
    settings = tiny.settings(
        model=unet.Model(num_classes=target.channels, **MODEL),
        losses=losses,
        tx=optax.adam(3e-2),
        target=targets.beside_classes(target),
        **changes,
    )
    mesh = jax.make_mesh(
        (1, 1),
        ("data", "fsdp"),
        axis_types=(jax.sharding.AxisType.Auto,) * 2,
        devices=jax.devices()[:1],
    )
    init = {"model": settings.model, "tx": settings.tx}
    init |= {"image_shape": (24, 24, 1), "ema": False}
    shapes = state.abstract(mesh, **init)
    now = state.create(0, shapes, **init)
    return settings, now, step.compile_step(settings, shapes), mesh, target


def keep(image, mask, key, instances):
    return image, mask, instances


@pytest.mark.parametrize("name", CASES)
def test_touching_discs_are_learned_and_come_apart(name):
    rule, chosen, weights, steps = CASES[name]
    ids, batch = drawn()
    settings, now, run, mesh, target = start(name, weights, augment=keep)
    first = None
    for _ in range(steps):
        now, numbers = run(now, sharding.put(dict(batch), mesh))
        first = first or jax.device_get(numbers)
    last = jax.device_get(numbers)
    assert last["loss"] < 0.2 * first["loss"]
    right = 2 * last["count/tp"]
    if name != "classes":  # whose truth has gaps
        assert right / (right + last["count/fp"] + last["count/fn"]) > 0.95
    parts = {"model": settings.model, "normalise": settings.normalise}
    variables = jax.device_get(state.evaluated(now))
    mirror = (2,) if name == "star" else ()
    predict = forward.make_predict(mesh, target=target, mirror=mirror, **parts)
    maps = np.asarray(predict(variables, sharding.put(dict(batch), mesh)))
    assert maps.shape[-1] == 2 + len(target.names)
    named = objects.named(maps[0], target.names, target.ray_length)
    labels = objects.find(named, rule, chosen, {"min_area": 8})
    assert labels.max() == ids.max() == 4
    assert label_maps.matched(ids, labels).min() > 0.6
    if mirror:  # of two mirror images the mean maps are mirror images too
        np.testing.assert_allclose(target.mirror(maps, 2)[::-1], maps, atol=1e-5)
