"""Measures what a prediction of a finished run costs here; the run keeps it."""

import os
import pathlib
from typing import Any

from jaxseg import atomic
from jaxseg.evaluation import cost
from jaxseg.experiment import finished_run
from jaxseg.run_directory import cost_schemas, environment, files, seal


def measure_cost(
    workdir: str | os.PathLike, *, passes: int = cost.PASSES
) -> dict[str, Any]:
    """Measures the best checkpoint; writes eval/cost.json and returns what it holds.

    The mirror images of config.eval.mirror are in the measured pass, as in the scores.
    Raises what `finished_run.load` does, and NotWritable before anything is measured.
    """
    workdir = pathlib.Path(workdir)
    run = finished_run.load(workdir)
    atomic.check_folder(workdir)  # a minute is not measured in vain
    card, view = run.record["dataset"], run.parts.view
    measured = cost.measure(
        run.maps,
        run.variables,
        (*view.size, card["channels"]),
        dtype=f"uint{view.bits}",
        passes=passes,
    )
    about = environment.environment()
    measured |= {"parameters": run.record["params"], "platform": about["platform"]}
    measured |= {"jax": about["versions"]["jax"], "step": run.step}
    path = workdir / files.COST
    with files.lock(workdir):
        files.write(path, measured, cost_schemas.Cost)
        seal.renew(workdir, [path])
    return measured
