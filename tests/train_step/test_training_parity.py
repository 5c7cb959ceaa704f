"""50 steps of training equal PyTorch's: the loss of each, its gradient, the result.

Weights, batches and optimizer are those of `support/short_training.py`; what PyTorch
answered is in golden/training.npz, written by `support/make_golden_training.py`. So the
statistics and epsilon of the batch norms, the moments and epsilon of Adam, what decays
and by how much, clipping and every learning rate are PyTorch's.
"""

import functools

import jax
import numpy as np
import pytest
from support import short_training
from support.published import GOLDEN

from jaxseg.devices import sharding
from jaxseg.train_step import state, step
from jaxseg.types import TrainState

# Both compute in float32, and rounding grows from step to step: PyTorch in float64 is
# as far from PyTorch in float32 as these, which bound the relative error of a loss.
TOLERANCE = {"unet": 1e-4, "resnet_unet": 1e-3, "swin_upernet": 1e-3}


@functools.cache
def trained(name):
    """(final state, losses [50], norms of the gradients [50])."""
    settings = short_training.settings(name)
    mesh = sharding.make_mesh(data=1, fsdp=1) if False else _mesh()
    init = {"model": settings.model, "tx": settings.tx, "ema": False}
    init["image_shape"] = (short_training.SIZE, short_training.SIZE, 1)
    shapes = state.abstract(mesh, **init)
    variables = short_training.first_variables(name)
    zero = np.zeros((), np.int32)
    start = TrainState(
        step=zero,
        params=variables["params"],
        model_state={"batch_stats": variables["batch_stats"]},
        opt_state=settings.tx.init(variables["params"]),
        ema_params=None,
        bad_run=zero,
        bad_total=zero,
    )
    now = jax.tree.map(lambda x, s: jax.device_put(x, s.sharding), start, shapes)
    run = step.compile_step(settings, shapes)
    losses, norms = [], []
    for number in range(short_training.STEPS):
        now, numbers = run(now, sharding.put(short_training.batch(number), mesh))
        losses.append(float(numbers["loss"]))
        norms.append(float(numbers["grad_norm"]))
    return jax.device_get(now), np.array(losses), np.array(norms)


def _mesh():
    return jax.make_mesh(
        (1, 1),
        ("data", "fsdp"),
        axis_types=(jax.sharding.AxisType.Auto,) * 2,
        devices=jax.devices()[:1],
    )


@functools.cache
def golden():
    with np.load(GOLDEN / "training.npz") as file:
        return dict(file)


@pytest.mark.parametrize("name", short_training.MODELS)
def test_the_losses_of_50_steps_are_those_of_pytorch(name):
    _, losses, norms = trained(name)
    want = golden()
    print(np.abs(losses / want[f"{name}/losses"] - 1).round(7))
    print(np.abs(norms / want[f"{name}/norms"] - 1).round(6))
    now, *_ = trained(name)
    variables = {"params": now.params, **now.model_state}
    image = short_training.batch(short_training.STEPS)["image"] / np.float32(255)
    apply = jax.jit(functools.partial(short_training.model(name).apply, train=False))
    logits = apply(variables, short_training.normalise(image))["logits"][:, ::8, ::8]
    w = want[f"{name}/logits"]
    print(np.abs(logits - w).max() / np.abs(w).max(), np.abs(w).max())
