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
    files.read_json(workdir / files.RUN)  # no run: said before a lock makes a folder
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
    known = files.read_json(workdir / files.RUN)
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
    point = files.read_json(workdir / files.OPERATING_POINT)
    restored, _, best = checkpoint.restore(manager, made.abstract, step=point["step"])
    checkpoint.close(manager)
    return Finished(config, made, build.variables(made, restored), point, best)


def load_model(workdir: str | os.PathLike) -> save.Trained:
    """The best checkpoint of the run in `workdir`, which may have moved.

    Raises ConfigError for a run that is not finished, DataError for what is not there
    or damaged.
    """
    workdir = pathlib.Path(workdir)
    record = files.read_json(workdir / "run.json")
    if record["status"] != "finished":
        raise ConfigError(
            f"{workdir} is not finished ({record['status']}); start its command again."
        )
    config = ConfigDict(files.read_json(workdir / "config.json"))
    config = older_configs.complete(config)
    parts, abstract = expected(config, record)
    manager = checkpoint.open_manager(workdir / "checkpoints", read_only=True)
    point = files.read_json(workdir / files.OPERATING_POINT)
    restored, _, step = checkpoint.restore(manager, abstract, step=point["step"])
    checkpoint.close(manager)
    name, card = config.model.name, record["dataset"]
    facts = {
        "model": name,
        "fields": config.model[name].to_dict() if name in config.model else {},
        "classes": card["classes"],
        "channels": card["channels"],
        "image_size": list(config.data.image_size),
        "intensity": parts.intensity,
        "mean": parts.normalise.keywords["mean"],
        "std": parts.normalise.keywords["std"],
        "step": step,
    }
    variables = jax.tree.map(np.asarray, state.evaluated(restored))
    return save.Trained(variables, name, facts)


def read_weights(path: str) -> dict[str, np.ndarray]:
    """{name: array} of config.pretrained.path: a run directory, or `weights.read_weights`.

    Raises what `load_model` and `weights.read_weights` do.
    """
    if os.path.isfile(os.path.join(path, "run.json")):
        return save.arrays(load_model(path), format="jaxseg")[0]
    return weight_files.read_weights(path)


def expected(config: ConfigDict, record: dict) -> tuple[from_config.Parts, Any]:
    """(parts, the state as shapes) of the run with this config.json and run.json."""
    window = {**config.data.intensity, "mode": record["intensity"]}  # not "auto"
    config = config.copy_and_resolve_references()
    config.data.intensity = window
    parts = from_config.parts(config, record["dataset"])
    length = record["steps_per_epoch"], record["total_steps"]
    plan = from_config.Plan(record["batch_size"], 0, *length, order=None, shares=())
    tx, _ = from_config.optimiser(config, plan)
    abstract = state.abstract(
        sharding.make_mesh(data=0, fsdp=1),
        model=parts.model,
        tx=tx,
        image_shape=parts.image_shape,
        ema=config.optim.ema > 0,
    )
    return parts, abstract
