"""Every file in jaxseg/models: the contract that the step relies on.

A model file brings `TINY`: the smallest fields with which every part of it works.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg import lookup
from jaxseg.errors import ConfigError

CLASSES = 3
MODELS = lookup.names("models")
# what is compiled of a model, without one whose parts are those of resnet_unet
COMPILED = [name for name in MODELS if name != "resnet_classifier"]
AT_FULL_SIZE, SMALLER = ("logits", "aux"), ("features", "coarse_logits")


def make(name, **fields):
    module = lookup.find("models", name)
    return module.Model(num_classes=CLASSES, **{**module.TINY, **fields})


@functools.cache
def ready(name):
    """(model, its first variables, images): two images of an odd size."""
    model = make(name)
    image = jax.random.normal(jax.random.key(0), (2, 38, 45, 3))
    init = jax.jit(functools.partial(model.init, train=False))
    return model, init(jax.random.key(1), image), image


@functools.cache
def training(name):
    """(gradient, (loss, model state, outputs)) of one step in training mode."""
    model, variables, image = ready(name)
    rest = {k: v for k, v in variables.items() if k != "params"}

    def objective(params):
        outputs, state = model.apply(
            {"params": params, **rest},
            image,
            train=True,
            rngs={"dropout": jax.random.key(2)},
            mutable=list(rest),
        )
        heads = [outputs[name] for name in ("logits", "aux") if name in outputs]
        loss = sum(jnp.mean(jax.nn.softplus(x[..., -1])) for x in heads)
        return loss, (state, outputs)

    return jax.jit(jax.grad(objective, has_aux=True))(variables["params"])


TRACES = []


@functools.cache
def compiled(name, dtype="float32"):
    """The model's outputs in evaluation, jitted once; every trace is noted."""
    model = make(name, dtype=dtype)

    @jax.jit
    def apply(variables, image):
        TRACES.append((name, dtype, image.shape))
        return model.apply(variables, image, train=False)

    return apply


def evaluate(name, dtype="float32"):
    _, variables, image = ready(name)
    return compiled(name, dtype)(variables, image)


def test_there_are_models():
    assert "swin_upernet" in MODELS


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("size", [(64, 64), (33, 50), (8, 100)])
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_logits_are_float32_at_the_size_of_the_image(name, size, channels):
    image = jnp.zeros((2, *size, channels))
    model = make(name, dtype="bfloat16")

    def run(key):
        return model.init_with_output(key, image, train=False)

    outputs, variables = jax.eval_shape(run, jax.random.key(0))
    assert {"logits", "features"} <= set(outputs) <= {*AT_FULL_SIZE, *SMALLER}
    for out in (outputs[name] for name in AT_FULL_SIZE if name in outputs):
        assert out.shape == (2, *size, CLASSES) and out.dtype == jnp.float32
    deepest = outputs["features"].shape
    assert len(deepest) == 4 and deepest[0] == 2
    assert all(1 <= a <= -(-b // 4) for a, b in zip(deepest[1:3], size, strict=True))
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}


@pytest.mark.parametrize("name", COMPILED)
def test_gradients_are_finite_and_reach_every_parameter(name):
    gradient, _ = training(name)
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
        where = jax.tree_util.keystr(path)
        assert np.isfinite(leaf).all(), where
        assert np.abs(leaf).max() > 0, f"{where} gets no gradient"


@pytest.mark.parametrize("name", COMPILED)
def test_training_differs_from_evaluation_and_moves_the_statistics(name):
    _, variables, _ = ready(name)
    if "batch_stats" not in variables:
        return  # nothing in such a model depends on `train` but random drops
    _, (state, outputs) = training(name)
    assert np.abs(outputs["logits"] - evaluate(name)["logits"]).max() > 1e-6
    pairs = zip(
        jax.tree.leaves(state), jax.tree.leaves(variables["batch_stats"]), strict=True
    )
    assert all(np.abs(a - b).max() > 0 for a, b in pairs)


@pytest.mark.parametrize("name", COMPILED)
def test_evaluation_needs_no_random_stream_and_is_per_image(name):
    _, variables, image = ready(name)
    other = compiled(name)(variables, image.at[0].set(9.0))
    np.testing.assert_allclose(
        other["logits"][1], evaluate(name)["logits"][1], atol=1e-5
    )


@pytest.mark.parametrize("name", COMPILED)
def test_one_trace_per_shape(name):
    _, variables, image = ready(name)
    evaluate(name)
    before = len(TRACES)
    evaluate(name)
    compiled(name)(variables, image + 1)
    assert len(TRACES) == before
    small = image[:, :16, :16]
    for x in (small, small + 1):  # traced as a call would trace it, and not compiled
        compiled(name).eval_shape(variables, x)
    assert TRACES[before:] == [(name, "float32", small.shape)]


@pytest.mark.parametrize("name", COMPILED)
def test_bfloat16_is_near_float32(name):
    exact = evaluate(name)["logits"]
    rough = evaluate(name, dtype="bfloat16")["logits"]
    assert rough.dtype == jnp.float32
    error = np.abs(exact - rough).mean() / np.abs(exact - exact.mean()).mean()
    assert 0 < error < 0.05


@pytest.mark.parametrize("name", MODELS)
def test_a_wrong_dtype_is_a_config_error(name):
    with pytest.raises(ConfigError, match="float32"):
        jax.eval_shape(
            functools.partial(make(name, dtype="int8").init, train=False),
            jax.random.key(0),
            jnp.zeros((1, 32, 32, 3)),
        )
