"""Image-level labels: the pooled probability by hand, and what it teaches."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support import runs, tiny

from jaxseg import errors
from jaxseg.config import check
from jaxseg.devices import sharding
from jaxseg.doctor import audit
from jaxseg.experiment import build, from_config
from jaxseg.inference import forward
from jaxseg.regularisers import image_label
from jaxseg.train import loop
from jaxseg.train_step import state, step
from jaxseg.types import IGNORE

RANGE = (0.001, 0.3, 1.0, 5.0, 100.0)  # of sharpness
PIXELS = np.array([[20, 10]])  # of background and square


def cost(logits, label, **options):
    mask = jnp.full(logits.shape[:3], IGNORE, jnp.uint8)
    label = jnp.asarray(label, jnp.int32)
    return image_label.loss(logits, mask, label=label, **options)


def pixels(*odds):
    """Logits [1, 1, n, 2] whose log-odds of foreground are `odds`."""
    odds = jnp.asarray(odds, jnp.float32)
    return jnp.stack([0 * odds, odds], -1)[None, None]


def test_values_by_hand():
    # r = 1 is the mean of the odds: (e^0 + e^log 3) / 2 = 2, so P(image) is 2/3
    two = pixels(0.0, np.log(3))
    found = [float(cost(two, [label], sharpness=1.0)[0]) for label in (1, 0)]
    np.testing.assert_allclose(found, [-np.log(2 / 3), -np.log(1 / 3)], rtol=1e-6)
    # one value everywhere is its own pool, whatever the sharpness
    for sharpness in (0.01, 1.0, 100.0):
        same = cost(pixels(0.7, 0.7, 0.7), [1], sharpness=sharpness)
        np.testing.assert_allclose(same, np.log1p(np.exp(-0.7)), rtol=1e-5)


def test_sharpness_goes_from_the_mean_to_the_maximum():
    spread = pixels(-4.0, -2.0, 3.0)
    pooled = {r: -np.log(np.expm1(cost(spread, [1], sharpness=r)))[0] for r in RANGE}
    assert list(pooled.values()) == sorted(pooled.values())
    assert abs(pooled[RANGE[0]] + 1) < 0.02 and abs(pooled[RANGE[-1]] - 3) < 0.02


def test_any_foreground_class_counts_and_which_one_does_not():
    rng = np.random.default_rng(0)
    logits = jnp.asarray(rng.normal(size=(2, 4, 5, 3)), jnp.float32)
    p = np.asarray(jax.nn.softmax(logits), np.float64)
    merged = jnp.log(jnp.asarray(np.stack([p[..., 0], p[..., 1:].sum(-1)], -1)))
    for label in ([1, 0], [2, 0]):
        np.testing.assert_allclose(
            cost(logits, label), cost(merged.astype(jnp.float32), [1, 0]), rtol=1e-5
        )
    other = logits[..., jnp.array([0, 2, 1])]
    np.testing.assert_allclose(cost(logits, [1, 1]), cost(other, [1, 1]), rtol=1e-6)


def test_an_unknown_label_costs_nothing_and_has_no_gradient():
    logits = jnp.stack([jnp.full((3, 3, 2), jnp.nan), jnp.zeros((3, 3, 2))])
    label = [-1, 1]
    value, slope = jax.value_and_grad(lambda x: cost(x, label).sum())(logits)
    np.testing.assert_allclose(value, np.log(2), rtol=1e-6)
    assert (slope[0] == 0).all() and (slope[1, ..., 1] < 0).all()


def test_the_pixels_that_look_most_like_foreground_learn_most():
    slope = jax.grad(lambda x: cost(x, [1], sharpness=1.0).sum())(pixels(-1.0, 0.0, 2))
    each = -np.asarray(slope)[0, 0, :, 1]
    np.testing.assert_allclose(each[1:] / each[:-1], np.exp([1, 2]), rtol=1e-5)


@pytest.mark.parametrize("sharpness", [0.0, -1.0, 2e3, float("nan")])
def test_a_sharpness_out_of_range_is_named(sharpness):
    with pytest.raises(errors.ConfigError, match="sharpness is"):
        cost(pixels(0.0), [1], sharpness=sharpness)


def test_a_network_learns_where_things_are_from_image_labels_alone():
    config = runs.config("pneumothorax")
    with config.unlocked():
        config.loss = {"image_label": {"weight": 1.0, "sharpness": 5.0}}
    check.check(config)
    terms = from_config.losses(config, PIXELS)
    settings = tiny.settings(losses=terms, tx=optax.adam(3e-2))
    mesh = sharding.make_mesh(data=0, fsdp=1)
    init = {"model": settings.model, "tx": settings.tx}
    init |= {"image_shape": (16, 16, 1), "ema": False}
    now = state.create(0, state.abstract(mesh, **init), **init)
    run = jax.jit(functools.partial(step.train_step, settings=settings))
    for k in range(60):
        batch = tiny.batch(k)
        batch["mask"] = np.full_like(batch["mask"], IGNORE)
        now, numbers = run(now, batch)
        numbers = jax.device_get(numbers)  # not 60 steps under way at once
    assert numbers["loss/image_label"] < 0.2
    batch = tiny.batch(99)
    p = forward.predict(
        state.evaluated(now), batch, model=tiny.Model(), normalise=tiny.normalise
    )[..., 1]
    inside, outside = p[batch["mask"] == 1], p[batch["mask"] == 0]
    assert inside.mean() > outside.mean() + 0.3
    # nobody told it anything: nothing moves
    blind = batch | {"label": np.full(8, -1, np.int32)}
    blind["mask"] = np.full_like(batch["mask"], IGNORE)
    _, numbers = run(now, blind)
    assert numbers["loss"] == 0 and numbers["grad_norm"] == 0


@pytest.fixture(scope="module")
def config():
    changes = {"supervision.name": "image_level", "eval.surface": False}
    out = runs.config("pneumothorax", **changes, **{"model.name": "unet"})
    out.model.unet = {"widths": (4, 6, 8)}
    with out.unlocked():
        out.loss = {"dice": {"weight": 1.0}, "image_label": {"weight": 1.0}}
    return out


def supervision(config, labels=None):
    """What doctor says of the labels; `labels` in place of those of the images."""
    made = build.load(config, batch_size=8)
    if labels is not None:
        train = made.splits["train"]
        labels = np.resize(labels, len(train))
        twin = dataclasses.replace(train, labels=labels)
        made = made._replace(splits=made.splits | {"train": twin})
    (found,) = audit.run(audit.quick_case(config, made), ["supervision"])
    return found


def test_a_run_learns_from_image_labels_and_says_so(config, tmp_path):
    assert supervision(config).level == "ok"
    record = loop.train_and_evaluate(config, tmp_path / "run")
    assert record["supervision"]["labelled_pixels"] == 0
    rows = runs.history(tmp_path / "run")
    assert float(rows[-1]["loss/image_label"]) > 0 == float(rows[-1]["loss/dice"])
    assert float(rows[-1]["grad_norm"]) > 0


def test_a_loss_without_its_labels_stops_before_training(config, tmp_path):
    deaf = config.copy_and_resolve_references()
    deaf.loss.image_label.weight = 0.0
    with pytest.raises(errors.ConfigError, match="supervision: no pixels and .*dice;"):
        loop.train_and_evaluate(deaf, tmp_path / "run")
    assert not (tmp_path / "run" / "run.json").exists()
    assert "no pixels and 0 of" in supervision(config, [-1]).observed
    clicks = deaf.copy_and_resolve_references()
    clicks.supervision.name = "clicks"
    assert supervision(clicks).level == "ok"
    with clicks.unlocked():
        clicks.loss = {"entropy": {"weight": 1.0}}
    found = supervision(clicks)
    assert found.level == "error" and "some pixels and" in found.observed


@pytest.mark.parametrize("label, said", [(1, "positive"), (0, "negative")])
def test_image_labels_of_one_kind_are_a_warning(config, label, said):
    found = supervision(config, [label, -1])
    assert found.level == "warning" and f"are {said}, and no pixel" in found.observed
