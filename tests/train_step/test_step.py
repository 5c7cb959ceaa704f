"""The step: pure, learns, skips what is not finite, and does not depend on layout."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support import tiny

from jaxseg import errors
from jaxseg.data import augment
from jaxseg.devices import sharding
from jaxseg.inference import forward
from jaxseg.train import epoch_sums
from jaxseg.train_step import state, step


def _start(mesh, **changes):
    settings = tiny.settings(**changes)
    init = {"model": settings.model, "tx": settings.tx}
    init |= {"image_shape": (16, 16, 1), "ema": settings.ema > 0}
    shapes = state.abstract(mesh, **init)
    begin = state.create(0, shapes, **init)
    return begin, step.compile_step(settings, shapes)


def _mesh(devices=1, fsdp=1):
    return jax.make_mesh(
        (devices // fsdp, fsdp),
        ("data", "fsdp"),
        axis_types=(jax.sharding.AxisType.Auto,) * 2,
        devices=jax.devices()[:devices],
    )


def _run(steps=4, devices=1, fsdp=1, batches=None, **changes):
    mesh = _mesh(devices, fsdp)
    now, run = _start(mesh, **changes)
    numbers = []
    for k in range(steps):
        batch = tiny.batch(k) if batches is None else batches[k]
        now, more = run(now, sharding.put(batch, mesh))
        numbers.append(jax.device_get(more))
    return jax.device_get(now), numbers


def test_the_loss_falls_and_the_same_seed_gives_the_same_bits():
    first, numbers = _run(steps=30)
    second, _ = _run(steps=30)
    assert tiny.leaves_equal(first, second)
    assert numbers[-1]["loss"] < 0.5 * numbers[0]["loss"]
    assert first.step == 30


def test_the_auxiliary_head_is_in_the_loss():
    _, numbers = _run(steps=1)
    expected = (
        numbers[0]["loss/cross_entropy"] + 0.4 * numbers[0]["loss/aux_cross_entropy"]
    )
    np.testing.assert_allclose(numbers[0]["loss"], expected, rtol=1e-6)
    before = jax.device_get(_start(_mesh())[0].params["aux"]["kernel"])
    after, _ = _run(steps=1)
    assert not np.array_equal(before, after.params["aux"]["kernel"])


def test_agreement_counts_every_labelled_pixel_once():
    _, numbers = _run(steps=1)
    batch = tiny.batch(0)
    counts = {k: int(numbers[0][f"count/{k}"]) for k in ("tp", "fp", "fn")}
    assert counts["tp"] + counts["fn"] == np.sum(batch["mask"] == 1)
    assert counts["tp"] + counts["fp"] + counts["fn"] <= batch["mask"].size


def test_loss_weights_may_be_schedules():
    losses = {"cross_entropy": (tiny.loss, ((0.0, 1.0), (1.0, 0.0)))}
    _, numbers = _run(steps=3, total_steps=3, losses=losses, aux_weight=0.0)
    weights = [n["loss"] / n["loss/cross_entropy"] for n in numbers]
    np.testing.assert_allclose(weights, [1.0, 0.5, 0.0], atol=1e-6)


@pytest.mark.parametrize("devices,fsdp", [(4, 1), (4, 2), (4, 4), (2, 1)])
def test_devices_and_fsdp_do_not_change_the_loss(devices, fsdp):
    change = {"augment": augment.augment}
    change["augment_options"] = {"flip_horizontal": 0.5}
    _, alone = _run(steps=3, **change)
    _, many = _run(steps=3, devices=devices, fsdp=fsdp, **change)
    for a, b in zip(alone, many, strict=True):
        np.testing.assert_allclose(a["loss"], b["loss"], rtol=1e-5)


def test_accumulation_gives_the_gradient_of_the_whole_batch():
    changes = {"model": tiny.Model(norm=False), "tx": optax.sgd(1.0)}
    whole, numbers = _run(steps=2, **changes)
    parts, more = _run(steps=2, accumulate=4, devices=2, **changes)
    for a, b in zip(
        jax.tree.leaves(whole.params), jax.tree.leaves(parts.params), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(numbers[1]["loss"], more[1]["loss"], rtol=1e-5)


def test_padding_does_not_change_the_step():
    batch = tiny.batch(0)
    padded = jax.tree.map(lambda x: np.concatenate([x, x]), batch)
    padded["weight"][8:] = 0
    _, one = _run(steps=1, batches=[batch])
    _, two = _run(steps=1, batches=[padded])
    np.testing.assert_allclose(one[0]["loss"], two[0]["loss"], rtol=1e-5)
    assert one[0]["examples"] == two[0]["examples"] == 8


def test_examples_that_show_a_class_are_counted_above_two_classes():
    batch = tiny.batch(0)
    batch["mask"][1, :2] = 2
    batch["mask"][2, :2] = 2
    batch["weight"][2] = 0  # padding counts nowhere
    model = tiny.Model(num_classes=3)
    _, numbers = _run(steps=1, batches=[batch], model=model, classes=3)
    shows = {k: float(v) for k, v in numbers[0].items() if k.startswith("shows/")}
    assert shows == {"shows/1": 3, "shows/2": 1} and numbers[0]["positives"] == 4
    sums = epoch_sums.EpochSums()
    sums.add(numbers[0], batch["index"], 0.0)
    sums.add({**numbers[0], "shows/2": 6.0, "bad": 1}, batch["index"], 0.0)
    plan = types.SimpleNamespace(batch_size=8, shares=(0.5,))
    row = sums.row(0, 2, plan, lambda step: 0.1, ("background", "cell", "nucleus"))
    shares = {k: v for k, v in row.items() if k.startswith("share_realised/")}
    assert shares == {"share_realised/cell": 6 / 14, "share_realised/nucleus": 0.5}
    assert not [k for k in _run(steps=1)[1][0] if k.startswith("shows/")]


def test_positives_are_counted_from_what_was_fed():
    _, numbers = _run(steps=1)
    assert numbers[0]["positives"] == 4 and numbers[0]["examples"] == 8


def test_a_step_that_is_not_finite_is_skipped_and_counted():
    def poisoned(logits, mask):
        return tiny.loss(logits, mask) / (mask[:, 0, 0] != 7)

    bad = tiny.batch(1)
    bad["mask"][3, 0, 0] = 7
    losses = {"cross_entropy": (poisoned, 1.0)}
    batches = [tiny.batch(0), bad, bad, tiny.batch(2)]
    skipped, numbers = _run(batches=batches, losses=losses, ema=0.9)
    assert [int(n["bad"]) for n in numbers] == [0, 1, 1, 0]
    assert [int(n["bad_run"]) for n in numbers] == [0, 1, 2, 0]
    assert skipped.bad_total == 2 and skipped.step == 4
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(skipped))
    before, _ = _run(steps=1, batches=batches[:1], losses=losses, ema=0.9)
    after, _ = _run(steps=3, batches=batches[:3], losses=losses, ema=0.9)
    assert tiny.leaves_equal(before.params, after.params)
    assert tiny.leaves_equal(before.opt_state, after.opt_state)


def _average(steps, ema):
    """(by hand, of the step) after so many steps."""
    mesh = _mesh()
    now, run = _start(mesh, ema=ema)
    by_hand = jax.device_get(now.params)
    for t in range(steps):
        now, _ = run(now, sharding.put(tiny.batch(t), mesh))
        decay = min(ema, (1 + t) / (10 + t))
        by_hand = jax.tree.map(
            lambda a, b, d=decay: d * a + (1 - d) * b,
            by_hand,
            jax.device_get(now.params),
        )
    return by_hand, jax.device_get(now)


@pytest.mark.parametrize("ema", [0.15, 0.999])  # reached in the second step, or never
def test_the_average_of_parameters(ema):
    by_hand, now = _average(4, ema)
    for a, b in zip(
        jax.tree.leaves(by_hand), jax.tree.leaves(now.ema_params), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)
    assert state.evaluated(now)["params"] is now.ema_params


def test_a_short_training_does_not_end_on_an_average_of_random_weights():
    _, now = _average(30, 0.9999)
    start = jax.device_get(_start(_mesh(), ema=0.5)[0].params)

    def far(a, b):
        return float(optax.tree.norm(optax.tree.sub(a, b)))

    assert far(now.ema_params, now.params) < 0.5 * far(now.ema_params, start)


@pytest.mark.parametrize("devices", [2, 4])
def test_predictions_are_equal_bit_for_bit_on_any_number_of_devices(devices):
    """Blocks of 2 images each, on 1 device one after another, on more side by side."""
    begin, _ = _start(_mesh())
    variables = jax.device_get(state.evaluated(begin))
    batch = tiny.batch(0)
    out = {}
    for count in (1, devices):
        mesh = _mesh(count)
        run = forward.make_predict(mesh, model=tiny.Model(), normalise=tiny.normalise)
        size = 2 * count
        parts = [
            np.asarray(run(variables, sharding.put(_rows(batch, k, size), mesh)))
            for k in range(0, 8, size)
        ]
        out[count] = np.concatenate(parts)
    np.testing.assert_array_equal(out[1], out[devices])
    np.testing.assert_allclose(out[1].sum(-1), 1, rtol=1e-6)


def _rows(batch, start, size):
    return jax.tree.map(lambda x: x[start : start + size], batch)


def test_a_mesh_that_does_not_fit_says_what_does():
    with pytest.raises(errors.ConfigError, match="3 x fsdp=1, but this run has 4"):
        sharding.make_mesh(data=3, fsdp=1)
    assert sharding.make_mesh(data=0, fsdp=2).shape == {"data": 2, "fsdp": 2}


def test_large_parameters_are_sharded_over_fsdp():
    mesh = _mesh(4, 4)
    shapes = {"big": jnp.zeros((8, 4096)), "small": jnp.zeros((8,))}
    placed = sharding.state_sharding(shapes, mesh)
    assert placed["big"].spec == jax.sharding.PartitionSpec(None, "fsdp")
    assert placed["small"].spec == jax.sharding.PartitionSpec()
