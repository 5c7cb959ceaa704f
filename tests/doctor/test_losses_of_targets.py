"""The doctor knows what is right for the losses of every target."""

import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import label_maps, runs

from jaxseg.doctor import model
from jaxseg.experiment import from_config, targets
from jaxseg.losses import coarse_cross_entropy, image_cross_entropy
from jaxseg.models import _decided, _heads, unet

LOSSES = {
    "classes": ["cross_entropy", "border_cross_entropy"],
    "border": ["cross_entropy", "dice_batch"],
    "distance": ["cross_entropy", "distance"],
    "star": ["cross_entropy", "object_probability", "star_rays"],
    "regions": ["cross_entropy", "region_cross_entropy", "region_dice"],
}


@pytest.mark.parametrize("name", LOSSES)
def test_a_right_prediction_costs_less_than_a_random_one(name):
    changes = {f"loss.{term}.weight": 1.0 for term in LOSSES[name]}
    changes |= {"loss.cross_entropy.class_weights": None, "target.name": name}
    changes |= {"target.star.n_rays": 4, "target.star.reach": 4}
    changes |= {"loss.border_cross_entropy.gap": 0}
    config = runs.config("folder", **changes)
    losses = from_config.losses(config, np.ones((1, 2), int))
    experiment = types.SimpleNamespace(
        parts=types.SimpleNamespace(target=targets.of(config, 2))
    )
    ids = label_maps.discs((16, 16), [(5, 5, 3), (10, 9, 3)])[None]
    mask = (ids > 0).astype(np.uint8)
    batch = {"image": np.zeros((1, 16, 16, 1), np.uint8), "mask": mask}
    batch |= {"label": np.ones(1, np.int32), "instances": ids}
    terms = {term: fn for term, (fn, _) in losses.items()}
    chance, right = model._costs(experiment, terms, batch)
    for term in LOSSES[name]:
        assert right[term] < 0.3 * chance[term]


def test_losses_of_whole_images_and_coarse_logits_cost_less_when_right():
    whole = _decided.Decided(unet.Model(2, widths=(4, 6)), _heads.Pooled())
    shape = (32, 40, 3)
    variables = jax.eval_shape(
        lambda key: whole.init(key, jnp.zeros((1, *shape)), train=False),
        jax.random.key(0),
    )
    now = types.SimpleNamespace(
        params=variables["params"],
        model_state={k: v for k, v in variables.items() if k != "params"},
    )
    target = targets.of(runs.config("folder"), 2)
    parts = types.SimpleNamespace(target=target, model=whole, image_shape=shape)
    experiment = types.SimpleNamespace(parts=parts, abstract=now)
    mask = np.zeros((2, *shape[:2]), np.uint8)
    mask[0, 4:30, 5:30] = 1
    batch = {"image": np.zeros((2, *shape), np.uint8), "mask": mask}
    batch["label"] = mask.any((1, 2)).astype(np.int32)
    terms = {
        "whole": image_cross_entropy.loss,
        "coarse": functools.partial(coarse_cross_entropy.loss, power=0.0),
    }
    chance, right = model._costs(experiment, terms, batch)
    assert all(right[name] < chance[name] for name in terms)
