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

from jaxseg.train_step import state, step
from jaxseg.types import TrainState

# Both compute in float32, and rounding grows from step to step, fastest in the Swin.
# Relative errors: of the losses of the first 8 steps, of all 50, and of the logits of
# the trained network in evaluation (of their largest). PyTorch in float32 is 2e-3 from
# its own losses in float64, and 0.13 (ResNet) and 0.03 (Swin) from its logits.
FIRST, ALL = 1e-4, 1e-2
LOGITS = {"unet": 1e-2, "resnet_unet": 0.2, "swin_upernet": 0.1}


@functools.cache
def trained(name):
    """(final state, losses [50])."""
    settings = short_training.settings(name)
    variables = short_training.first_variables(name)
    zero = np.zeros((), np.int32)
    now = TrainState(
        step=zero,
        params=variables["params"],
        model_state={"batch_stats": variables["batch_stats"]},
        opt_state=settings.tx.init(variables["params"]),
        ema_params=None,
        bad_run=zero,
        bad_total=zero,
    )
    one = functools.partial(step.train_step, settings=settings)
    run = jax.jit(one, compiler_options=state.COMPILE_FAST)
    losses = []
    for number in range(short_training.STEPS):
        now, numbers = run(now, short_training.batch(number))
        losses.append(float(numbers["loss"]))
    return jax.device_get(now), np.array(losses)


@functools.cache
def golden():
    with np.load(GOLDEN / "training.npz") as file:
        return dict(file)


@pytest.mark.parametrize("name", short_training.MODELS)
def test_the_losses_of_50_steps_are_those_of_pytorch(name):
    losses, want = trained(name)[1], golden()[f"{name}/losses"]
    error = np.abs(losses / want - 1)
    assert error[:8].max() < FIRST and error.max() < ALL, error
    assert want[-5:].mean() < 0.95 * want[:5].mean()  # it is a training


@pytest.mark.parametrize("name", short_training.MODELS)
def test_the_trained_network_evaluates_as_that_of_pytorch(name):
    """By the running statistics that 50 batches left, the variance unbiased."""
    now, _ = trained(name)
    variables = {"params": now.params, **now.model_state}
    image = short_training.batch(short_training.STEPS)["image"] / np.float32(255)
    apply = functools.partial(short_training.model(name).apply, train=False)
    apply = jax.jit(apply, compiler_options=state.COMPILE_FAST)
    logits = apply(variables, short_training.normalise(image))["logits"][:, ::8, ::8]
    want = golden()[f"{name}/logits"]
    error = np.abs(logits - want).max() / np.abs(want).max()
    assert error < LOGITS[name], error
