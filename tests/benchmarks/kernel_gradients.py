"""Gradients of 3x3 kernels on a CPU: by rows, beside those of `lax`.

    python tests/benchmarks/kernel_gradients.py
    python tests/benchmarks/kernel_gradients.py 2,128,64,64 8,96,12,12

Prints a Markdown table of GFLOP/s for maps of [batch, side, channels in, channels out].
Both sides take turns in one process; the table has the median of their turns.
"""

import datetime
import os
import pathlib
import statistics
import sys
import time

import jax

sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))
from jaxseg.models import _convolution

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


if __name__ == "__main__":
    print(
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, jax {jax.__version__}"
    )
    print(f"{datetime.date.today()}\n")
    print("| map | `lax` | by rows | ratio | taken |\n|---|--:|--:|--:|---|")
    for words in sys.argv[1:] or SHAPES:
        print(row(tuple(map(int, words.split(",")))), flush=True)
