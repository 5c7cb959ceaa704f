"""Prints a table of all models: `python -m jaxseg.model_table --size=512x512`.

Parameters, operations of a forward pass of one image (a multiplication and an addition
are two; counted by XLA, before it optimises), strides of the encoder's maps, and the
publication. Nothing is compiled or run. `--models=unet,resnet_unet` picks some.
"""

import functools
import re
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
from absl import flags

from jaxseg import lookup
from jaxseg.config import command_line
from jaxseg.errors import ConfigError
from jaxseg.train_step import state

SIZE = flags.DEFINE_string("size", "256x256", "Height x width of the image.")
CHANNELS = flags.DEFINE_integer("channels", 3, "Channels of the image.")
CLASSES = flags.DEFINE_integer("classes", 2, "Number of classes.")
MODELS = flags.DEFINE_list("models", [], "Names of models; default: all.")

# published sizes within one file; every other model is shown as its defaults make it
VARIANTS = {
    "swin_upernet": [{"size": s} for s in ("tiny", "small", "base", "large")],
    "resnet_unet": [{"depth": d} for d in (18, 34, 50, 101)],
    "resnet_classifier": [{"depth": d} for d in (18, 34, 50, 101)],
    "segdecnet": [{"decoder": False}, {"decoder": True}],
    "deeplabv3_plus": [{"depth": d} for d in (18, 34, 50, 101)],
}
_MOST = 2**15  # of a side, channels or classes, as of config.data.image_size
_PUBLISHED = re.compile(
    r"([A-Z]\w+(?: and [A-Z]\w+| et al\.)?),\s+(\d{4}),\s+https?://(?:arxiv\.org/abs/)?"
    r"([^\s);]*[\w/])"
)


def rows(
    *, size: tuple[int, int], channels: int, classes: int, names: Iterable[str] = ()
) -> list[dict[str, Any]]:
    """A row of {model, parameters, gflops, strides, reference} for each variant.

    Raises ConfigError for a name that is no model.
    """
    names = list(names) or lookup.names("models")
    shape = (1, *size, channels)
    out = []
    for name in names:
        module = lookup.find("models", name)
        for fields in VARIANTS.get(name, [{}]):
            model = module.Model(num_classes=classes, **fields)
            words = [name, *(f"{k}={v}" for k, v in fields.items())]
            reference = references(module.__doc__)
            row = {"model": " ".join(words), "reference": "; ".join(reference)}
            out.append(row | measure(model, shape))
    return out


def references(text: str) -> list[str]:
    """The publications a docstring names: "Xiao et al. 2018 (1807.10221)"."""
    published = _PUBLISHED.findall(" ".join(text.split()))
    return [f"{who} {year} ({where})" for who, year, where in published]


def measure(model: Any, shape: tuple[int, int, int, int]) -> dict[str, Any]:
    """{parameters, gflops, strides} of a Linen module for images of `shape`."""
    image = jax.ShapeDtypeStruct(shape, jnp.float32)
    init = functools.partial(model.init, train=False)
    variables = jax.eval_shape(init, jax.random.key(0), image)
    forward = jax.jit(functools.partial(model.apply, train=False))
    cost = forward.lower(variables, image).cost_analysis()
    return {
        "parameters": state.count(variables["params"]),
        "gflops": cost["flops"] / 1e9,
        "strides": strides(model, variables, shape),
    }


def strides(model: Any, variables: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The size of the image over that of each map that its encoder returns."""
    tops = ("encoder", "backbone")

    def run(variables, image):
        _, kept = model.apply(
            variables,
            image,
            train=False,
            capture_intermediates=lambda module, _: module.path in [(t,) for t in tops],
            mutable=["intermediates"],
        )
        (top,) = kept["intermediates"].values()
        return top["__call__"][0]

    # of a size that every stride divides: the counted image may be odd
    image = jax.ShapeDtypeStruct((1, 256, 256, shape[-1]), jnp.float32)
    return tuple(256 // m.shape[1] for m in jax.eval_shape(run, variables, image))


def table(measured: list[dict[str, Any]]) -> str:
    """The rows as Markdown."""
    lines = ["| model | parameters | GFLOPs | strides | published |"]
    lines += ["|---|--:|--:|---|---|"]
    for row in measured:
        lines.append(
            f"| {row['model']} | {row['parameters']:,} | {row['gflops']:.1f} "
            f"| {', '.join(map(str, row['strides']))} | {row['reference']} |"
        )
    return "\n".join(lines)


def parse_size(text: str) -> tuple[int, int]:
    """(height, width) of "512x384"; ConfigError for anything else."""
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)
    size = match and (int(match[1]), int(match[2]))
    if not size or max(size) > _MOST:
        raise ConfigError(
            f"--size is {text!r}; give height x width of at most {_MOST:,}, as in "
            "512x512."
        )
    return size


def main(argv) -> int:
    size = parse_size(SIZE.value)
    if not all(0 < count <= _MOST for count in (CHANNELS.value, CLASSES.value)):
        raise ConfigError(
            f"--channels is {CHANNELS.value} and --classes {CLASSES.value}; both must "
            f"be from 1 to {_MOST:,}."
        )
    measured = rows(
        size=size, channels=CHANNELS.value, classes=CLASSES.value, names=MODELS.value
    )
    print(f"One image of {SIZE.value}x{CHANNELS.value}, {CLASSES.value} classes:\n")
    print(table(measured))
    return 0


if __name__ == "__main__":
    command_line.run(main)
