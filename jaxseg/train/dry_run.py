"""Describes a run before it is trained: config, parameters, memory, one step."""

import json
import time

import jax
from ml_collections import ConfigDict

from jaxseg.devices import sharding
from jaxseg.experiment import build, length, training_plan
from jaxseg.train import progress
from jaxseg.train_step import state


def describe(config: ConfigDict) -> str:
    """A page of text; the data is prepared if it must be, nothing else is written."""
    experiment = build.load(config, batch_size=training_plan.batch_size(config))
    plan = experiment.plan
    lines = [json.dumps(config.to_dict(), indent=1, default=str), ""]
    lines += _parameters(experiment.abstract.params)
    lines += ["", f"data       {experiment.directory}"]
    lines += [f"splits     {experiment.card['split_rule']}"]
    lines += [f"intensity  {experiment.parts.intensity}"]
    lines += [f"fit        {experiment.parts.view.fit}"]
    lines += [
        progress.describe(
            steps_per_epoch=plan.steps_per_epoch,
            total_steps=plan.total_steps,
            warmup_steps=length.warmup_steps(config, plan.steps_per_epoch),
            images_seen=plan.total_steps * plan.batch_size,
        ),
        f"batch size {plan.batch_size} on {jax.device_count()} "
        f"{jax.devices()[0].device_kind} device(s)",
    ]
    return "\n".join(lines + _one_step(config, experiment))


def _parameters(params) -> list[str]:
    def size(tree) -> int:
        return state.count(tree)

    rows = [("parameters", size(params))]
    for name, tree in params.items():
        rows.append((f"  {name}", size(tree)))
        if isinstance(tree, dict) and len(params) < 4:
            rows += [(f"    {k}", size(v)) for k, v in tree.items()]
    width = max(len(name) for name, _ in rows)
    return [f"{name:<{width}}  {count:>13,}" for name, count in rows]


def _one_step(config: ConfigDict, experiment: build.Experiment) -> list[str]:
    batches = build.train_batches(experiment, steps=1)
    batch = sharding.put(next(batches), experiment.mesh)
    batches.close()
    began = time.monotonic()
    compiled = experiment.train_step.lower(experiment.abstract, batch).compile()
    lines = ["", f"compiled in {time.monotonic() - began:.1f} s"]
    memory = compiled.memory_analysis()
    if memory is not None:
        total = memory.argument_size_in_bytes + memory.temp_size_in_bytes
        lines.append(
            f"memory per device: {total / 2**30:.2f} GiB "
            f"(state and batch {memory.argument_size_in_bytes / 2**30:.2f}, "
            f"work {memory.temp_size_in_bytes / 2**30:.2f})"
        )
    now = state.create(config.seed, experiment.abstract, **experiment.init)
    began = time.monotonic()
    _, numbers = compiled(now, batch)
    numbers = {k: float(v) for k, v in jax.device_get(numbers).items()}
    seconds = time.monotonic() - began
    lines.append(f"one step: {seconds:.2f} s, loss {numbers['loss']:.4f}")
    return lines
