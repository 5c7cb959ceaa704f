"""Scores a folder of masks on a prepared split, as a directory beside those of runs."""

import datetime
import os
import pathlib
from typing import Any

from jaxseg.config import base
from jaxseg.data import content, mask_folder, prepared
from jaxseg.data.preparation import obtain
from jaxseg.errors import ConfigError
from jaxseg.evaluation import hard_masks
from jaxseg.experiment import from_config, other_data, processes
from jaxseg.run_directory import environment, files, seal


def score_masks(
    masks: str | os.PathLike,
    data_dir: str | os.PathLike,
    *,
    name: str,
    output: str | os.PathLike,
    split: str = "test",
    verify: str = "sample",
) -> dict[str, Any]:
    """Scores the masks in a folder; writes `output` and returns eval/<split>.json.

    `data_dir` holds the prepared data, or a raw folder of images and masks. `output`
    gets what a comparison of runs reads: run.json, config.json and eval/. `name` says
    whose masks they are. Raises ConfigError for a name that is none and an output that
    is there already; DataError with everything that is wrong with the masks.
    """
    other_data.check_name(name)
    output = pathlib.Path(output)
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ConfigError(
            f"--output={output} is there already: scores are never written over; give "
            "a new directory, or remove that one."
        )
    directory = obtain.any_data(
        data_dir,
        name="image_folder",
        options={},
        cache=processes.cache_dir(),
        progress=processes.is_main(),
    )
    images = prepared.open_split(directory, split)
    content.check([images], which=verify)
    folder = mask_folder.MaskFolder(pathlib.Path(masks), images)
    config = base.base()
    options = from_config.scoring_options(config)
    options["tolerance"] = config.eval.tolerance
    result = hard_masks.score(output / "eval", images, folder, **options)
    whose = {"masks": {"name": name, "folder": str(masks)}}
    files.write_json(output / files.CONFIG, whose)
    seal.close(output, _record(name, directory, images.card, str(masks)))
    return result


def _record(
    name: str, directory: pathlib.Path, card: dict[str, Any], masks: str
) -> dict[str, Any]:
    """run.json of masks: nothing was trained, and every number of it is 0."""
    now = datetime.datetime.now().isoformat(timespec="seconds")
    nothing = ("resumed", "epochs", "batch_size", "steps_per_epoch", "total_steps")
    return {
        "name": name,
        "recipe": "masks",
        "masks": masks,
        "created": now,
        "finished": now,
        "status": "finished",
        **environment.environment(),
        **dict.fromkeys((*nothing, "params"), 0),
        "dataset": card,
        "data_directory": str(directory),
        "devices": {},
    }
