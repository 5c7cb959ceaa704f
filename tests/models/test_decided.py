"""A head around every model: the same paths, the same logits, one output more."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxseg import lookup
from jaxseg.devices import sharding
from jaxseg.errors import ConfigError
from jaxseg.models import _decided, _heads, segdecnet, unet
from jaxseg.train_step import parameter_groups, state
from jaxseg.weights import into_model

IMAGE = jax.random.normal(jax.random.key(0), (2, 64, 96, 3))
HEADS = {
    "segdec": _heads.SegDec(widths=(3, 4), kernel=3),
    "pooled": _heads.Pooled(pool="both"),
}


def build(name):
    module = lookup.find("models", name)
    return module.Model(num_classes=2, **module.TINY)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", lookup.names("models"))
def test_every_model_keeps_its_paths_and_outputs_and_gets_one_more(name, head):
    plain = build(name)
    whole = _decided.Decided(plain, HEADS[head])

    def shapes(model):
        def init(key):
            return model.init_with_output(key, IMAGE, train=False)

        outputs, variables = jax.eval_shape(init, jax.random.key(0))
        return outputs, parameter_groups.paths(variables)

    before, paths = shapes(plain)
    after, more = shapes(whole)
    decided = after.pop("image_logits")
    assert decided.shape == (2, 1) and decided.dtype == jnp.float32
    assert after == before
    added = {path for path in more if path.startswith("params/decision/")}
    assert added and {**more} == {**paths, **{path: more[path] for path in added}}


def test_deep_supervision_and_auxiliary_heads_stay():
    deep = unet.Model(2, widths=(4, 6, 8, 8), deep_supervision=True)
    whole = _decided.Decided(deep, HEADS["pooled"])

    def init(key):
        return whole.init_with_output(key, IMAGE, train=False)

    outputs, _ = jax.eval_shape(init, jax.random.key(0))
    assert [x.shape for x in outputs["deep"]] == [(2, 32, 48, 2)]
    assert outputs["image_logits"].shape == (2, 1)


@functools.cache
def small():
    """(model, the same with a head, the variables of that)."""
    plain = unet.Model(2, widths=(4, 6))
    whole = _decided.Decided(plain, HEADS["segdec"])
    init = jax.jit(functools.partial(whole.init, train=False))
    return plain, whole, init(jax.random.key(1), IMAGE)


def without_head(variables):
    kept = {k: v for k, v in variables["params"].items() if k != "decision"}
    return variables | {"params": kept}


def test_logits_are_those_of_the_model_and_statistics_move_alike():
    plain, whole, variables = small()
    options = dict(train=True, mutable=["batch_stats"])
    run = jax.jit(functools.partial(whole.apply, **options))
    ours, moved = run(variables, IMAGE)
    run = jax.jit(functools.partial(plain.apply, **options))
    theirs, expected = run(without_head(variables), IMAGE)
    np.testing.assert_allclose(ours["logits"], theirs["logits"], rtol=1e-5, atol=1e-6)
    for a, b in zip(jax.tree.leaves(moved), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_patterns_freeze_the_model_under_its_own_paths():
    _, whole, variables = small()
    params = variables["params"]
    held = parameter_groups.freeze_model(
        whole, freeze=("encoder/*", "decoder/*"), freeze_norm=("encoder/*",)
    )
    rest = {k: v for k, v in variables.items() if k != "params"}

    def cost(params):
        out, state = held.apply(
            {"params": params, **rest}, IMAGE, train=True, mutable=["batch_stats"]
        )
        return out["image_logits"].sum() + out["logits"][..., 1].sum(), state

    slopes, moved = jax.jit(jax.grad(cost, has_aux=True))(params)
    silent = parameter_groups.silent(slopes, jax.tree.map(lambda _: False, params))
    assert silent == [
        path
        for path in parameter_groups.paths(params)
        if path.split("/")[0] in ("encoder", "decoder")
    ]
    before = parameter_groups.paths(rest["batch_stats"])
    for path, value in parameter_groups.paths(moved["batch_stats"]).items():
        same = np.array_equal(value, before[path])
        assert same == path.startswith("encoder/"), path
    scales = parameter_groups.groups(params, encoder_scale=0.1).scales
    assert parameter_groups.paths(scales)["encoder/level1/layer1_conv/kernel"] == 0.1
    assert parameter_groups.paths(scales)["decision/out/kernel"] == 1.0


def test_weights_without_a_head_are_imported_and_a_missing_head_must_be_allowed():
    _, _, variables = small()
    own = without_head(jax.tree.map(lambda x: np.asarray(x) + 1, variables))
    arrays = parameter_groups.paths(own)
    options = dict(model_name="unet", source="a file")
    with pytest.raises(ConfigError, match="decision/.* is missing"):
        into_model.apply(variables, arrays, **options)
    new, _ = into_model.apply(
        variables, arrays, allow_missing=("decision/*",), **options
    )
    paths = parameter_groups.paths(new)
    for path, value in parameter_groups.paths(variables).items():
        grown = 0 if path.startswith("params/decision/") else 1
        np.testing.assert_array_equal(paths[path], np.asarray(value) + grown)


def test_the_head_is_cut_over_devices_as_the_model_is():
    mesh = sharding.make_mesh(data=2, fsdp=2)
    whole = _decided.Decided(
        segdecnet.Model(2, **segdecnet.TINY), _heads.SegDec(widths=(64, 64))
    )
    shapes = state.abstract(
        mesh, model=whole, tx=optax.sgd(0.1), image_shape=(64, 64, 1), ema=False
    )
    kernel = shapes.params["decision"]["level2"]["conv"]["kernel"]
    assert kernel.shape == (5, 5, 64, 64)
    assert "fsdp" in kernel.sharding.spec


class Bare(nn.Module):
    """A model of a project that says nothing but logits."""

    more: tuple[str, ...] = ()

    @nn.compact
    def __call__(self, image, *, train: bool):
        x = nn.Dense(2)(image)
        extra = {"features": x, "image_logits": x[:, 0, 0]}
        return {"logits": x, **{name: extra[name] for name in self.more}}


class Wrong(nn.Module):
    @nn.compact
    def __call__(self, features, logits, *, train: bool):
        return nn.Dense(1)(features)


@pytest.mark.parametrize(
    "model, head, words",
    [
        (Bare(), HEADS["pooled"], r"returns only \['logits'\].*reads its 'features'"),
        (Bare(("features", "image_logits")), HEADS["pooled"], "of its own"),
        (Bare(("features",)), Wrong(), r"returned \(2, 64, 96, 1\); it must return"),
    ],
)
def test_what_does_not_fit_together_is_one_sentence(model, head, words):
    with pytest.raises(ConfigError, match=words):
        _decided.Decided(model, head).init(jax.random.key(0), IMAGE, train=False)


def test_a_model_of_a_project_gets_a_head_when_it_returns_features():
    whole = _decided.Decided(Bare(("features",)), HEADS["pooled"])
    out, _ = whole.init_with_output(jax.random.key(0), IMAGE, train=False)
    assert out["image_logits"].shape == (2, 1)
