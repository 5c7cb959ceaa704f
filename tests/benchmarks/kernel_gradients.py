"""Gradients of 3x3 kernels on a CPU: by rows, beside those of `lax`.

    python tests/benchmarks/kernel_gradients.py
    python tests/benchmarks/kernel_gradients.py 2,128,64,64 8,96,12,12
    python tests/benchmarks/kernel_gradients.py unet

The last takes forward and backward of the U-Net of 31 M parameters on two images of
256x256, with both gradients. Else it prints a Markdown table of GFLOP/s for maps of
[batch, side, channels in, channels out]: both sides take turns in one process, and the
table has the median of their turns.
"""

import datetime
import functools
import os
import pathlib
import statistics
import sys
import time

import jax
import jax.numpy as jnp

sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))
from jaxseg.models import _convolution, unet

SHAPES = ("2,256,32,32", "2,128,64,64", "2,64,128,128", "2,32,256,256", "8,96,32,32")
SHAPES += ("8,96,12,12", "8,48,24,24", "8,16,512,512")
TURNS = 7


def by_lax(x, g):
    """The gradient of the kernel as XLA derives it."""
    shape = jax.ShapeDtypeStruct((3, 3, x.shape[-1], g.shape[-1]), x.dtype)
    return jax.linear_transpose(lambda k: _convolution._forward(x, k), shape)(g)[0]


def row(shape: tuple[int, ...], turns: int = TURNS) -> str:
    """One line of the table."""
    batch, side, inside, out = shape
    keys = jax.random.split(jax.random.key(0))
    x = jax.random.normal(keys[0], (batch, side, side, inside))
    g = jax.random.normal(keys[1], (batch, side, side, out))
    sides = [jax.jit(call) for call in (by_lax, _convolution.kernel_gradient)]
    seconds: list[list[float]] = [[], []]
    for turn in range(turns + 1):  # the first compiles
        for each, call in zip(seconds, sides, strict=True):
            start = time.perf_counter()
            jax.block_until_ready(call(x, g))
            each += [time.perf_counter() - start] * (turn > 0)
    work = 2 * 9 * batch * side * side * inside * out / 1e9
    lax, ours = (statistics.median(each) for each in seconds)
    taken = "rows" if _convolution.is_faster(x.shape, (3, 3, inside, out)) else "lax"
    cells = f"{work / lax:.0f} | {work / ours:.0f} | {lax / ours:.2f} | {taken}"
    return f"| {', '.join(map(str, shape))} | {cells} |"


def unet_seconds(by_rows: bool, image: jax.Array, turns: int = 5) -> float:
    """The median of some turns of forward and backward."""
    model = unet.Model(num_classes=2)
    variables = jax.jit(functools.partial(model.init, train=False))(
        jax.random.key(1), image
    )

    def loss(parameters):
        own = {**variables, "params": parameters}
        answer, _ = model.apply(own, image, train=True, mutable=["batch_stats"])
        return jnp.mean(answer["logits"] ** 2)

    rule = _convolution.is_faster
    if not by_rows:
        _convolution.is_faster = lambda *shapes: False
    gradient = jax.jit(jax.grad(loss)).lower(variables["params"]).compile()
    _convolution.is_faster = rule
    seconds = []
    for _ in range(turns + 1):
        start = time.perf_counter()
        jax.block_until_ready(gradient(variables["params"]))
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


if __name__ == "__main__":
    print(
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, jax {jax.__version__}"
    )
    print(f"{datetime.date.today()}\n")
    if sys.argv[1:] == ["unet"]:
        pair = jax.random.normal(jax.random.key(0), (2, 256, 256, 3))
        lax, rows = (unet_seconds(by_rows, pair) for by_rows in (False, True))
        print(f"lax {lax:.2f} s, by rows {rows:.2f} s, ratio {lax / rows:.2f}")
        sys.exit()
    print("| map | `lax` | by rows | ratio | taken |\n|---|--:|--:|--:|---|")
    for words in sys.argv[1:] or SHAPES:
        print(row(tuple(map(int, words.split(",")))), flush=True)
