"""The package from Python: light to import, and parts for another training loop."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support import runs, tiny

import jaxseg
from jaxseg.losses import dice
from jaxseg.metrics import overlap
from jaxseg.models import unet


def test_importing_the_package_is_light_and_says_what_there_is():
    code = (
        "import sys, jaxseg; assert jaxseg.__version__ and 'load' in dir(jaxseg);"
        "heavy = {'jax', 'numpy', 'flax', 'tensorflow_datasets'} & set(sys.modules);"
        "assert not heavy, heavy; jaxseg.load; assert 'jax' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=runs.OUTSIDE)
    assert "run.predict(image)" in jaxseg.__doc__
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        jaxseg.lode  # noqa: B018


def test_parts_serve_another_training_loop():
    """A model, a loss and a metric in a loop that is not jaxseg's."""
    model = unet.Model(num_classes=2, widths=(8, 16))
    batch = tiny.batch(0)
    image = jnp.asarray(batch["image"], jnp.float32) / 255
    variables = model.init(jax.random.key(0), image, train=False)
    tx = optax.adam(1e-2)

    def objective(params, rest):
        outputs, rest = model.apply(
            {"params": params, **rest}, image, train=True, mutable=list(rest)
        )
        return jnp.mean(dice.loss(outputs["logits"], batch["mask"])), rest

    @jax.jit
    def step(params, rest, opt_state):
        (loss, rest), grads = jax.value_and_grad(objective, has_aux=True)(params, rest)
        updates, opt_state = tx.update(grads, opt_state, params)
        return optax.apply_updates(params, updates), rest, opt_state, loss

    params = variables.pop("params")
    opt_state, losses = tx.init(params), []
    for _ in range(60):
        params, variables, opt_state, loss = step(params, variables, opt_state)
        losses.append(float(loss))
    assert losses[-1] < 0.7 * losses[0]
    logits = model.apply({"params": params, **variables}, image, train=False)["logits"]
    predicted, truth = np.asarray(logits.argmax(-1)) == 1, batch["mask"] == 1
    counts = overlap.split_counts(
        truth.sum((1, 2)),
        predicted.sum((1, 2)),
        (predicted & truth).sum((1, 2)),
        np.full(len(truth), truth[0].size),
    )
    assert overlap.value("dice_pooled", counts) > 0.8
