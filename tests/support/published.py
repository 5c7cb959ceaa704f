"""Golden files of published weights, and small variables to put them in."""

import functools
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from jaxseg.models import swin_upernet
from jaxseg.weights import into_model

GOLDEN = pathlib.Path(__file__).parents[1] / "support" / "golden"


def golden(name, prefix="checkpoint/"):
    """(arrays by published name, everything else of the file)."""
    with np.load(GOLDEN / f"{name}.npz") as file:
        every = dict(file)
    names = [k for k in every if k.startswith(prefix)]
    return {k.removeprefix(prefix): every.pop(k) for k in names}, every


def shapes_of(model, channels=3):
    init = functools.partial(model.init, train=False)
    return jax.eval_shape(init, jax.random.key(0), jnp.zeros((1, 64, 64, channels)))


def start_of(shapes):
    """Zeros, but norms that change nothing: an init without its compilation."""

    def one(path, leaf):
        ones = path[-1].key in ("scale", "var")
        return np.full(leaf.shape, float(ones), leaf.dtype)

    return jax.tree_util.tree_map_with_path(one, shapes)


def encoder_within(shapes):
    """Variables of an encoder as a model has them."""
    return {collection: {"encoder": tree} for collection, tree in shapes.items()}


def upernet(name="odd", **changes):
    """(model, arrays of the checkpoint, the golden answers)."""
    arrays, rest = golden(name, "hf/")
    case = json.loads(str(rest["case"]))
    swin = case["swin"]
    fields = dict(
        num_classes=case["num_classes"],
        embed_dim=4,
        depths=tuple(swin["depths"]),
        num_heads=tuple(swin["num_heads"]),
        window=swin["window_size"],
        width=6,
        aux=case["aux"],
        aux_channels=5,
    )
    return swin_upernet.Model(**{**fields, **changes}), arrays, rest


def nhwc(array):
    return jnp.asarray(array).transpose(0, 2, 3, 1)


def put(arrays, variables, model="swin_upernet", **options):
    return into_model.apply(
        variables, arrays, model_name=model, source="a file", **options
    )


def rows(report, kind):
    return {row.name: row.why for row in report.rows if row.kind == kind}


def assert_close(ours, theirs):
    error = np.abs(np.asarray(ours) - np.asarray(theirs)).max()
    assert error < 2e-5 * np.abs(theirs).max(), error
