"""The model of a finished run, without its data: to export it or to start from it."""

import json
import os
import pathlib
from typing import Any, NamedTuple

import jax
import numpy as np
import safetensors.numpy
from ml_collections import ConfigDict

from jaxseg.config import older_configs
from jaxseg.devices import sharding
from jaxseg.errors import ConfigError
from jaxseg.evaluation import score_split
from jaxseg.experiment import from_config
from jaxseg.run_directory import checkpoint, files
from jaxseg.train_step import state
from jaxseg.weights import into_model, published_names, weight_files

CHOICES = ("safetensors", "jaxseg")


class Trained(NamedTuple):
    """What a run learned, and what one must know to use it."""

    variables: Any  # numpy, those that were scored
    model: str
    facts: dict[str, Any]


def load(workdir: str | os.PathLike) -> Trained:
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
    point = files.read_json(workdir / score_split.POINT)
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
    return Trained(variables, name, facts)


def read(path: str) -> dict[str, np.ndarray]:
    """{name: array} of config.pretrained.path: a run directory, or `weights.read`.

    Raises what `load` and `weights.read` do.
    """
    if os.path.isfile(os.path.join(path, "run.json")):
        return arrays(load(path), format="jaxseg")[0]
    return weight_files.read(path)


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


def arrays(trained: Trained, *, format: str) -> tuple[dict[str, np.ndarray], str]:
    """({name: array}, title of the names).

    "jaxseg": everything under its own names. "safetensors": under the published names
    of the model, as far as they go (of a U-Net, its encoder); a model that nobody else
    has keeps its own. Raises ConfigError for another format.
    """
    if format not in CHOICES:
        raise ConfigError(f"--format is {format!r}: choose one of {list(CHOICES)}.")
    own = format == "jaxseg"
    names = published_names.own() if own else published_names.published(trained.model)
    return into_model.collect(trained.variables, names), names.title


def write(path: pathlib.Path, named: dict[str, np.ndarray], facts: dict) -> None:
    """Writes a safetensors file with `facts` as JSON in its metadata.

    Raises ConfigError where there is a file already: it is never replaced.
    """
    metadata = {key: json.dumps(value) for key, value in facts.items()}
    # "pt" is what transformers asks of a file before it reads it
    content = safetensors.numpy.save(named, metadata={"format": "pt", **metadata})
    try:
        with path.open("xb") as file:
            file.write(content)
    except FileExistsError:
        raise _exists(path) from None
    except OSError:
        path.unlink(missing_ok=True)
        raise


def check_free(path: pathlib.Path) -> None:
    """Raises ConfigError where `path` exists, or its folder does not."""
    if path.exists():
        raise _exists(path)
    if not path.parent.is_dir():
        raise ConfigError(f"there is no folder {path.parent} to write {path.name} to.")


def _exists(path):
    return ConfigError(f"{path} exists and is not replaced: give another --output.")
