"""SegDecNet and SegDecNet++ equal to PyTorch's, built there from the table of layers.

The numbers were written by tests/support/make_golden_segdecnet.py.
"""

import functools
import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from jaxseg.models import _decided, _heads, segdecnet

GOLDEN = pathlib.Path(__file__).parents[1] / "support" / "golden"
SIZE, SHARE = (144, 128), 0.3
NAMES = {"segdecnet": False, "segdecnet_plus_plus": True}
LEAVES = {"kernel": "weight", "scale": "gamma", "bias": "beta"}
RULES = [  # of modules, ours and theirs
    (r"encoder/level(\d)/layer(\d)", lambda m: f"v{m[1]}.{int(m[2]) - 1}"),
    (r"decoder/level(\d)/layer(\d)", lambda m: f"d{m[1]}.{int(m[2]) - 1}"),
    (r"decoder/up(\d)", r"up\1"),
    (r"decoder/skip(\d)", r"s\1"),
    (r"decision/level(\d)", r"c\1.0"),
    (r"decision/out", "fc"),
    (r"head_norm", "mask_norm"),
    (r"head", "mask"),
]


def theirs(path: str) -> str:
    """The name in PyTorch of a parameter of ours."""
    module, leaf = path.rsplit("/", 1)
    for pattern, new in RULES:
        module, times = re.subn(rf"^{pattern}(?=/|$)", new, module)
        if times:
            break
    plain = leaf == "bias" and re.search(r"up\d$|squeeze|excite|fc", module)
    return f"{module.replace('/', '.')}.{'bias' if plain else LEAVES[leaf]}"


def build(plus_plus: bool):
    model = segdecnet.Model(
        2,
        widths=(4, 6, 6, 8),
        decoder=plus_plus,
        decoder_widths=(6, 5, 4),
        skip_modules=plus_plus,
    )
    shares = dict.fromkeys(("features", "maximum", "average"), SHARE)
    shares = {f"{name}_multiplier": share for name, share in shares.items()}
    return _decided.Decided(model, _heads.SegDec(widths=(3, 4, 5), **shares))


@functools.cache
def golden(name):
    """(model, its variables from PyTorch's arrays, the golden arrays)."""
    with np.load(GOLDEN / f"{name}.npz") as file:
        arrays = dict(file)
    checkpoint = {k[11:]: v for k, v in arrays.items() if k.startswith("checkpoint/")}
    model = build(NAMES[name])
    init = functools.partial(model.init, train=False)
    shapes = jax.eval_shape(init, jax.random.key(0), jnp.zeros((1, *SIZE, 3)))
    leaves = traverse_util.flatten_dict(shapes["params"], sep="/")
    for path, leaf in leaves.items():
        array = checkpoint.pop(theirs(path))
        if re.search(r"/up\d/kernel", path):
            array = array.transpose(2, 3, 0, 1)
        elif array.ndim == 4:
            array = array.transpose(2, 3, 1, 0)
            array = array[0, 0] if leaf.ndim == 2 else array
        elif array.ndim == 2:
            array = array.T
        assert array.shape == leaf.shape, path
        leaves[path] = array
    assert not checkpoint
    return model, {"params": traverse_util.unflatten_dict(leaves, sep="/")}, arrays


def drawn(shape, seed):
    return np.random.default_rng(seed).normal(size=shape)


def nhwc(array):
    return jnp.asarray(np.moveaxis(array, 1, -1), jnp.float32)


@pytest.mark.parametrize("name", NAMES)
def test_logits_decision_and_the_gradient_of_the_image_equal_pytorch(name):
    model, variables, arrays = golden(name)
    weigh = nhwc(drawn(arrays["mask"].shape, 1))[..., 0]

    @functools.partial(jax.grad, has_aux=True)
    def run(image):
        outputs = model.apply(variables, image, train=True)
        mask = outputs.get("coarse_logits", outputs["logits"])[..., 1]
        value = jnp.sum(mask * weigh) + 3 * jnp.sum(outputs["image_logits"])
        return value, (mask, outputs)

    slope, (mask, outputs) = jax.jit(run)(nhwc(drawn((1, 3, *SIZE), 0)))
    np.testing.assert_allclose(mask, arrays["mask"][:, 0], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(outputs["image_logits"], arrays["whole"], 1e-4, 1e-5)
    if not NAMES[name]:
        large = outputs["logits"][..., 1]
        np.testing.assert_allclose(large, arrays["large"][:, 0], rtol=1e-4, atol=1e-4)
    expected = nhwc(arrays["image_gradient"])
    error = np.abs(slope[:, ::5, ::5] - expected).max() / np.abs(expected).max()
    assert error < 1e-4
