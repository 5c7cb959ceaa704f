"""Scoring a finished run again, on whatever devices there are."""

import contextlib
import pathlib

import jax
from ml_collections import ConfigDict

from jaxseg import checkpoint, defaults, epoch, evaluation, rundir, setup
from jaxseg.errors import ConfigError, DataError


def score_again(
    workdir: pathlib.Path, name: str, *, data_dir: str = ""
) -> tuple[dict, str]:
    """(what eval/<name>.json holds now, "yes", "no" or "none were").

    Raises ConfigError for a run that is not finished, and DataError when the data is
    not what the run was trained and scored on.
    """
    rundir.read_json(workdir / epoch.RUN)  # no run: said before a lock makes a folder
    with rundir.lock(workdir) if jax.process_index() == 0 else contextlib.nullcontext():
        return _score_again(workdir, name, data_dir)


def _score_again(workdir: pathlib.Path, name: str, data_dir: str) -> tuple[dict, str]:
    known = rundir.read_json(workdir / epoch.RUN)
    if known["status"] != "finished":
        raise ConfigError(
            f"{workdir} is not finished ({known['status']}); start its command again."
        )
    config = ConfigDict(rundir.read_json(workdir / "config.json"))
    config = defaults.complete(config)
    config.mesh = {"data": 0, "fsdp": 1}
    if data_dir and config.data.demo.images:
        raise ConfigError("the run made its own demonstration data; omit --data_dir.")
    if data_dir:
        config.data.dir = data_dir
    made = setup.load(config, batch_size=known["batch_size"])
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
    point = rundir.read_json(workdir / evaluation.POINT)
    restored, _, best = checkpoint.restore(manager, made.abstract, step=point["step"])
    path = workdir / "eval" / f"{name}.json"
    before = rundir.read_json(path) if path.exists() else None
    found = evaluation.score_split(
        workdir,
        made.scorer,
        setup.variables(made, restored),
        made.splits[name],
        point,
        step=best,
        seed=config.seed,
        resamples=config.eval.bootstrap,
        tolerance=config.eval.tolerance if config.eval.surface else None,
    )
    checkpoint.close(manager)
    return found, "none were" if before is None else "yes" if before == found else "no"
