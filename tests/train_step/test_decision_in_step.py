"""A decision beside a segmentation: what each label teaches, and when."""

import functools

import jax
import numpy as np
import optax
import pytest
from support import tiny

from jaxseg import schedule
from jaxseg.devices import sharding
from jaxseg.errors import ConfigError
from jaxseg.experiment import decision, from_config
from jaxseg.losses import coarse_cross_entropy, image_cross_entropy
from jaxseg.models import _decided, _heads, segdecnet, unet
from jaxseg.train_step import parameter_groups, state, step
from jaxseg.types import IGNORE

DELTA, EPOCHS, STEPS = 0.5, 4, 2
LAMBDA, DECISION = ("staircase", 1.0, 0.0), ("staircase", 0.0, DELTA)


def settings(weight=DECISION, by=0.0, **changes):
    model = _decided.Decided(
        segdecnet.Model(2, **{**segdecnet.TINY, "decoder": False}),
        _heads.SegDec(widths=(4,), kernel=3, features_multiplier=by),
    )
    losses = {
        "mask": (coarse_cross_entropy.loss, LAMBDA),
        "decision": (image_cross_entropy.loss, weight),
    }
    fields = {"model": model, "losses": losses, "tx": optax.sgd(0.1)}
    fields |= {"total_steps": EPOCHS * STEPS, "steps_per_epoch": STEPS}
    return tiny.settings(**fields | changes)


@functools.cache
def started(weight=DECISION, by=0.0):
    """(the first state, the compiled step)."""
    chosen = settings(weight, by)
    init = {"model": chosen.model, "tx": chosen.tx, "image_shape": (32, 32, 1)}
    shapes = state.abstract(sharding.make_mesh(data=0, fsdp=1), ema=False, **init)
    now = state.create(0, shapes, ema=False, **init)
    return jax.device_get(now), jax.jit(
        functools.partial(step.train_step, settings=chosen)
    )


def batch(masks=(True, True, True, True)):
    """Two images with a square and two without; a positive may have no mask."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 90, (4, 32, 32, 1)).astype(np.uint8)
    mask = np.zeros((4, 32, 32), np.uint8)
    mask[:2, 4:20, 6:25] = 1
    image[mask == 1] += 120
    label = mask.any((1, 2)).astype(np.int32)
    mask[~np.array(masks)] = IGNORE
    return {
        "image": image,
        "mask": mask,
        "label": label,
        "weight": np.ones(4, np.float32),
        "index": np.arange(4, dtype=np.int32),
    }


def moved(before, after) -> set[str]:
    """The modules of which a parameter is another one."""
    old, new = (parameter_groups.paths(s.params) for s in (before, after))
    return {k.split("/")[0] for k in old if not np.array_equal(old[k], new[k])}


def test_the_loss_is_balanced_by_epoch_and_exact_at_both_ends_of_each():
    now, run = started()
    for done in range(EPOCHS * STEPS):
        _, numbers = run(now.replace(step=np.int32(done)), batch())
        share = 1 - (done // STEPS) / EPOCHS
        expected = share * numbers["loss/mask"]
        expected += DELTA * (1 - share) * numbers["loss/decision"]
        np.testing.assert_allclose(numbers["loss"], expected, rtol=1e-6)


def test_an_image_without_a_mask_teaches_the_decision_alone():
    """Its part of the mask's term is 0, and the mean still divides by the batch."""
    now, run = started()
    _, whole = run(now, batch())
    _, part = run(now, batch((False, True, True, True)))
    assert part["loss/decision"] == whole["loss/decision"]
    _, nothing = run(now, batch((False, False, False, False)))
    assert nothing["loss/mask"] == 0
    alone = [run(now, _only(i))[1]["loss/mask"] for i in range(4)]
    np.testing.assert_allclose(whole["loss/mask"], np.mean(alone), rtol=1e-5)
    np.testing.assert_allclose(part["loss/mask"], np.sum(alone[1:]) / 4, rtol=1e-5)


def _only(i):
    return batch() | {"weight": np.eye(4, dtype=np.float32)[i]}


def test_the_first_epoch_teaches_the_mask_and_no_decision():
    now, run = started()
    assert moved(now, run(now, batch())[0]) == {"encoder", "head", "head_norm"}


@pytest.mark.parametrize("by, model", [(0.0, set()), (1.0, {"encoder"})])
def test_without_masks_the_multiplier_says_what_learns(by, model):
    now, run = started(by=by)
    later = now.replace(step=np.int32(STEPS))  # the second epoch: lambda is 3/4
    blind = batch((False,) * 4)
    gone = moved(later, run(later, blind)[0])
    assert gone - {"head", "head_norm"} == {"decision"} | model


def test_a_head_that_rests_is_not_asked_for_a_gradient_until_it_learns():
    now, _ = started()
    every = parameter_groups.paths(now.params)
    frozen = jax.tree.map(lambda _: False, now.params)
    total = {"total_steps": 40, "steps_per_epoch": 10}
    for weight, changes, rests in (
        (DECISION, total, True),
        (DECISION, {}, False),  # two steps an epoch: it learns within the first ten
        (1.0, total, False),
        (((0.0, 0.0), (1.0, 1.0)), total, False),
    ):
        tree = decision.resting(frozen, settings(weight, **changes))
        resting = {p for p, v in parameter_groups.paths(tree).items() if v}
        head = {path for path in every if path.startswith("decision/")}
        assert head and resting == (head if rests else set())
    assert schedule.is_staircase(DECISION)


def test_coarse_logits_that_a_model_has_not_are_refused_before_training():
    terms = {"mask": (coarse_cross_entropy.loss, 1.0)}
    plain = tiny.settings(losses=terms, model=unet.Model(2, widths=(4, 6)))
    init = {"model": plain.model, "tx": plain.tx, "image_shape": (16, 16, 1)}
    mesh = sharding.make_mesh(data=0, fsdp=1)
    shapes = state.abstract(mesh, ema=False, **init)
    words = r"loss.mask learns from coarse_logits, .*\['features', 'logits'\].*segdecn"
    with pytest.raises(ConfigError, match=words):
        from_config.check_outputs(plain, shapes, (16, 16, 1), 2)
