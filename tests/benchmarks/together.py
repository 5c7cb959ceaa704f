"""Members trained together in one program, against the same members one by one.

    python tests/benchmarks/together.py --members=2,4,9 --naive=4

Prints a Markdown table for the demonstration recipe of configs/clicks.py (U-Net of
widths 12, 24, 48, 96, eight images of 96x96): seconds to trace and compile a step (the
cache of programs is off), and seconds of one step of all members: M steps of one, one
step of M, and with `--naive` one step of M whose convolutions vmap has made into
grouped ones (what `jaxseg.sweep.vmap_convolution` is there to avoid). The sides take
turns; a ratio is that of one turn of each, and the table has the median of the ratios
with their quartiles, since on a shared machine speeds drift more between minutes than
between neighbours.
"""

import argparse
import datetime
import importlib.util
import logging as quiet
import os
import pathlib
import sys
import time
from unittest import mock

import jax
import numpy as np

ROOT = pathlib.Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from jaxseg.experiment import build
from jaxseg.run_directory import older_configs
from jaxseg.sweep import vmap_step
from jaxseg.train import loop
from jaxseg.train_step import state


def configs(count: int, **changes):
    """`count` members of the recipe that differ in seed and clicks."""
    path = ROOT / "configs" / "clicks.py"
    spec = importlib.util.spec_from_file_location("clicks", path)
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    with mock.patch.dict(os.environ, {"JAXSEG_DATA": ""}):
        config = recipe.get_config("10+10")
    config.update_from_flattened_dict(changes)
    found = [older_configs.complete(config) for _ in range(count)]
    for i, own in enumerate(found):
        own.seed, own.supervision.positive = i, 5 + i
    return found


def timed(call):
    """(seconds, what the call returned)."""
    began = time.perf_counter()
    found = jax.block_until_ready(call())
    return time.perf_counter() - began, found


def compiled(step, *arguments):
    """(seconds to trace and compile, a call that takes one step and waits for it)."""
    seconds, program = timed(lambda: step.lower(*arguments).compile())
    box = [jax.tree.map(jax.numpy.copy, arguments[0])]

    def advance():
        box[0], numbers = program(box[0], *arguments[1:])
        jax.block_until_ready((box[0], numbers))

    return seconds, advance


def alone(config, experiment):
    """`compiled` of the step that a run by itself takes."""
    now = state.create(config.seed, experiment.abstract, **experiment.init)
    stream = loop.stream(config, experiment, 0)
    batch, _ = next(stream)
    stream.close()
    return compiled(experiment.train_step, now, batch)


def together(group, experiment, *, naive=False):
    """`compiled` of one step of all members; `naive` leaves convolutions to vmap."""
    siblings = [
        experiment,
        *(build.sibling(experiment, config) for config in group[1:]),
    ]
    states = vmap_step.create([config.seed for config in group], experiment.init)
    stream = loop.stream(group[0], experiment, 0)
    batch, host = next(stream)
    stream.close()
    index = host["index"].tolist()
    masks = np.stack([[m.labels().mask(i) for i in index] for m in siblings])
    step = vmap_step.make_step(group[0], experiment)
    arguments = (states, batch, masks, vmap_step.hyper(group))
    if not naive:
        return compiled(step, *arguments)
    with mock.patch.object(vmap_step.vmap_convolution, "in_training", _as_it_is):
        return compiled(step, *arguments)


def _as_it_is(call, args, kwargs, context):
    return call(*args, **kwargs)


def measure(sides, *, turns, seconds):
    """Seconds a call, [turns] of each side, turn by turn."""
    counts = []
    for call in sides:
        call()
        counts.append(max(1, round(seconds / timed(call)[0])))
    found = [[] for _ in sides]
    for turn in range(turns):
        order = list(zip(sides, counts, found, strict=True))
        for call, count, times in order if turn % 2 == 0 else order[::-1]:
            began = time.perf_counter()
            for _ in range(count):
                call()
            times.append((time.perf_counter() - began) / count)
    return np.array(found)


def rows(count, *, naive, turns, seconds, **changes):
    """The lines of the table for `count` members."""
    group = configs(count, **changes)
    experiment = build.load(group[0], batch_size=group[0].batch_size)
    sides = [alone(group[0], experiment), together(group, experiment)]
    names = [f"{count} one by one", f"{count} together"]
    if naive:
        sides.append(together(group, experiment, naive=True))
        names.append(f"{count} together, grouped convolutions")
    times = measure([call for _, call in sides], turns=turns, seconds=seconds)
    times[0] *= count
    lines = []
    for name, (compiling, _), own in zip(names, sides, times, strict=True):
        low, middle, high = np.quantile(times[0] / own, (0.25, 0.5, 0.75))
        ratio = f"{middle:.2f} ({low:.2f} to {high:.2f})" if name != names[0] else "1"
        lines.append(f"| {name} | {compiling:.1f} | {np.median(own):.3f} | {ratio} |")
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", default="2,4,9")
    parser.add_argument("--naive", type=int, default=4, help="this many, also grouped")
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2.0, help="of one turn")
    args = parser.parse_args()
    jax.config.update("jax_enable_compilation_cache", False)
    quiet.disable(quiet.WARNING)
    cores = len(os.sched_getaffinity(0))
    print(
        f"{jax.devices()[0].device_kind} with {cores} core(s), jax {jax.__version__}, "
        f"{datetime.date.today()}, load {os.getloadavg()[0]:.1f} at the start; medians "
        f"of {args.turns} turns; times as fast: time one by one over time (quartiles)\n"
    )
    print("| members | compiling, s | a step of all, s | times as fast |")
    print("|---|--:|--:|--:|", flush=True)
    for count in map(int, args.members.split(",")):
        options = {"turns": args.turns, "seconds": args.seconds}
        lines = rows(count, naive=count == args.naive, **options)
        print("\n".join(lines), flush=True)
    print(f"\nload {os.getloadavg()[0]:.1f} at the end")


if __name__ == "__main__":
    main()
