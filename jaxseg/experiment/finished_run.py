"""A finished run with its data: to score it again, or to see where it is wrong."""

import contextlib
import pathlib
from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict

from jaxseg.config import older_configs
from jaxseg.errors import ConfigError, DataError
from jaxseg.evaluation import score_split
from jaxseg.experiment import build
from jaxseg.run_directory import checkpoint, files
from jaxseg.train import validation


class Finished(NamedTuple):
    """The parts of a finished run, on whatever devices there are."""

    config: ConfigDict
    made: build.Setup
    variables: Any  # of the best step, those that were scored
    point: dict  # checkpoints/operating_point.json
    step: int


def score_again(
    workdir: pathlib.Path, name: str, *, data_dir: str = ""
) -> tuple[dict, str]:
    """(what eval/<name>.json holds now, "yes", "no" or "none were").

    Raises ConfigError for a run that is not finished, and DataError when the data is
    not what the run was trained and scored on.
    """
    files.read_json(
        workdir / validation.RUN
    )  # no run: said before a lock makes a folder
    with files.lock(workdir) if jax.process_index() == 0 else contextlib.nullcontext():
        return _score_again(workdir, name, data_dir)


def _score_again(workdir: pathlib.Path, name: str, data_dir: str) -> tuple[dict, str]:
    run = load(workdir, name, data_dir=data_dir)
    path = workdir / "eval" / f"{name}.json"
    before = files.read_json(path) if path.exists() else None
    found = score_split.score_split(
        workdir,
        run.made.scorer,
        run.variables,
        run.made.splits[name],
        run.point,
        step=run.step,
        seed=run.config.seed,
        resamples=run.config.eval.bootstrap,
        tolerance=run.config.eval.tolerance if run.config.eval.surface else None,
    )
    return found, "none were" if before is None else "yes" if before == found else "no"


def load(workdir: pathlib.Path, name: str, *, data_dir: str = "") -> Finished:
    """The run in `workdir`, whose split `name` shall be seen; `data_dir` if it moved.

    Raises ConfigError for a run that is not finished and a split that is none,
    DataError when the data is not what the run was trained and scored on.
    """
    known = files.read_json(workdir / validation.RUN)
    if known["status"] != "finished":
        raise ConfigError(
            f"{workdir} is not finished ({known['status']}); start its command again."
        )
    config = ConfigDict(files.read_json(workdir / "config.json"))
    config = older_configs.complete(config)
    config.mesh = {"data": 0, "fsdp": 1}
    if data_dir and config.data.demo.images:
        raise ConfigError("the run made its own demonstration data; omit --data_dir.")
    if data_dir:
        config.data.dir = data_dir
    made = build.load(config, batch_size=known["batch_size"])
    hashes = known["dataset"]["split_hash"]
    if name not in made.splits:
        raise ConfigError(f"there is no split {name!r}; choose of {sorted(hashes)}.")
    if made.card["split_hash"] != hashes:
        raise DataError(
            f"the data in {made.directory} is not what {workdir} was made with: the "
            "hashes of the splits differ."
        )
    manager = checkpoint.open_manager(
        workdir / "checkpoints",
        metric=f"validation/{config.eval.metric}",
        keep=config.checkpoint.keep,
        read_only=True,
    )
    point = files.read_json(workdir / score_split.POINT)
    restored, _, best = checkpoint.restore(manager, made.abstract, step=point["step"])
    checkpoint.close(manager)
    return Finished(config, made, build.variables(made, restored), point, best)
