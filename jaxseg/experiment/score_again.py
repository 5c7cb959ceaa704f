"""Scores a finished run again, and compares with the scores that are there."""

import contextlib
import pathlib
from typing import Any

import jax

from jaxseg.evaluation import score_split
from jaxseg.experiment import build, finished_run, from_config
from jaxseg.run_directory import files, schemas


def score_again(
    workdir: pathlib.Path, split: str, *, data_dir: str = "", verify: str = "sample"
) -> tuple[dict[str, Any], str]:
    """(the content of eval/<split>.json, "yes", "no" or "none were").

    The word says whether all that was there before is equal, also where an earlier
    version scored less. Raises ConfigError for a run
    that is not finished, and DataError when the data is not what the run was trained
    and scored on.
    """
    files.read(
        workdir / files.RUN, schemas.Record
    )  # no run: said before a lock makes a folder
    main = jax.process_index() == 0
    with files.lock(workdir) if main else contextlib.nullcontext():
        run = finished_run.with_data(workdir, split, data_dir=data_dir, verify=verify)
        path = workdir / "eval" / f"{split}.json"
        before = files.read_json(path) if path.exists() else None
        scoring = score_split.Scoring(
            workdir=workdir,
            scorer=run.experiment.scorer,
            variables=run.variables,
            step=run.step,
            training=build.training_images(run.experiment),
            **from_config.scoring_options(run.config),
        )
        result = score_split.score_split(
            scoring, run.experiment.splits[split], run.operating_point
        )
    if before is None:
        return result, "none were"
    return result, "yes" if _holds(before, result) else "no"


def _holds(before: Any, now: Any, place: str = "") -> bool:
    """Whether everything that was scored before is equal now; there may be more now.

    An earlier version wrote fewer keys, fewer baselines, and nothing (None) of the
    calibration of more than two classes.
    """
    if isinstance(before, dict) and isinstance(now, dict):
        return all(
            key in now and _holds(value, now[key], key) for key, value in before.items()
        )
    if isinstance(before, list) and isinstance(now, list):
        same = len(before) == len(now) or place == "baselines"
        pairs = zip(before, now, strict=False)
        return same and len(before) <= len(now) and all(_holds(*p) for p in pairs)
    return before == now or (before is None and place == "calibration")
