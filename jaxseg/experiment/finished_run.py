"""Opens a finished run: its best weights, its config, and what they predict.

This is the one place that opens a finished run. `load` needs no data; `with_data` opens
the data of the run as well, to score it again or to see where it is wrong.
"""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from jaxseg.data import content, pipeline
from jaxseg.devices import compiler, sharding
from jaxseg.errors import ConfigError, DataError
from jaxseg.evaluation.objects.finding import Finding, label_map
from jaxseg.experiment import (
    build,
    chosen,
    from_config,
    frozen_point,
    image_classes,
    training_plan,
)
from jaxseg.inference import forward, image, stitch
from jaxseg.run_directory import (
    checkpoint,
    files,
    older_configs,
    schemas,
    seal,
)
from jaxseg.train_step import state
from jaxseg.types import TrainState
from jaxseg.weights import save, weight_files


class FinishedRun(NamedTuple):
    """What a run learned, and what one must know to use it."""

    workdir: pathlib.Path
    config: ConfigDict
    record: schemas.Record
    operating_point: schemas.OperatingPoint
    step: int  # of the best checkpoint
    parts: from_config.Parts
    variables: dict[str, Any]  # arrays of the host, those that were scored
    forward: Callable  # compiled: (variables, batch) -> probability f32 [b, h, w, k]
    # the same, the m further maps of parts.target, and the n of a decision on the whole
    # image: [b, h, w, k + m + n]
    maps: Callable

    @property
    def classes(self) -> list[str]:
        """The names of the classes, in the order of their ids."""
        return list(self.record["dataset"]["classes"])

    @property
    def finding(self) -> Finding | None:
        """How the run looks for objects; None where it does not."""
        card = self.record["dataset"]
        return from_config.finding(self.config, card, self.parts.target)

    def predict(
        self,
        pixels: np.ndarray,
        *,
        pixel_size: float | None = None,
        tile: str | tuple[int, int] = "auto",
        exact: bool = False,
    ) -> image.Prediction:
        """Class ids u8 [h, w] and probabilities f32 [h, w, k] of one image.

        `pixels` is [h, w] or [h, w, c] of any size, u8, u16, f16 or f32, as its file
        stores it.
        `pixel_size` is the side of a pixel in micrometres, for a run that was trained
        at a common one (config.data.pixel_size); DataError when such a run lacks it.
        `tile` is the (height, width) of the tiles of a run at native scale; "auto" is
        that of its evaluation, and every bit is then as it was scored. With `exact`
        the tiles of a convolutional network are not blended, but joined to what the
        whole image in one piece would give.
        A run that looks for objects (config.objects.rule) gives their label map too,
        one with a decision head (config.decision) how probable foreground is at all, or
        each class of whole images.
        Raises DataError for channels or a type of numbers the run was not trained on,
        ConfigError for tiles of a run that sees whole images, and where they cannot be
        joined exactly.
        """
        card = self.record["dataset"]
        stored = image.as_stored(
            pixels,
            channels=card["channels"],
            dtype=card["dtype"],
            floats="float_percentiles" in card["extra"],
        )
        return image.predict(
            stored,
            view=tiled(self.parts.view, tile),
            maps=lambda batch: self.maps(self.variables, {"image": batch}),
            num_classes=len(self.classes),
            num_maps=len(self.classes) + len(self.parts.target.names),
            find=self._find(),
            operating_point=self.operating_point["operating_point"],
            pixel_size=pixel_size,
            block=self.config.eval.per_device_batch,
            exact=field_of(self) if exact else None,
            exclusive=image_classes.is_exclusive(card),
        )

    def _find(self) -> Callable | None:
        """How `image.predict` finds objects: as validation froze it."""
        finding, frozen = self.finding, self.operating_point.get("objects")
        if finding is None or not frozen:
            return None
        return functools.partial(label_map, finding=finding, frozen=frozen)


def field_of(run: FinishedRun) -> stitch.Field:
    """What the network of a run sees around a pixel; ConfigError where that is all."""
    field = None
    if run.parts.view.fit == "crop":
        channels = run.record["dataset"]["channels"]
        field = stitch.field(run.parts.model, channels=channels)
    if field is None:
        raise ConfigError(
            f"{run.workdir}: tiles can be joined exactly where a pixel depends on "
            "those around it alone, at native scale; this run sees whole images, or "
            f"its network, {run.config.model.name}, sees too far: leave exact at False."
        )
    return field


def tiled(view: pipeline.View, tile: str | tuple[int, int]) -> pipeline.View:
    """The view with tiles of this (height, width); "auto" leaves it as it is.

    Raises ConfigError for a view of whole images, and for a side below 1.
    """
    if tile == "auto":
        return view
    if view.fit != "crop":
        raise ConfigError(
            f"tiles of {tile[0]}x{tile[1]} need a run at native scale "
            f"(config.data.fit=crop); this one sees whole images, brought to "
            f"{view.size[0]}x{view.size[1]} by {view.fit!r}: leave the tile at auto."
        )
    if min(tile) < 1:
        raise ConfigError(f"a tile is at least 1x1, not {tile[0]}x{tile[1]}.")
    return dataclasses.replace(view, size=tuple(tile))


def _open(
    workdir: str | os.PathLike,
) -> tuple[pathlib.Path, ConfigDict, schemas.Record]:
    """(workdir, its config, its record); ConfigError for a run that is not finished."""
    workdir = pathlib.Path(workdir)
    if (workdir / files.TWO_STAGE).is_file():
        raise ConfigError(
            f"{workdir} is two runs joined: python -m jaxseg.predict --run={workdir} "
            "uses both; anything else asks for one of them, classify/ or segment/ in "
            "it."
        )
    _refuse_several(workdir)
    record = seal.read(workdir)
    if record["status"] != "finished":
        raise ConfigError(
            f"{workdir} is not finished ({record['status']}); start its command again."
        )
    seal.check(workdir, record, names=[files.CONFIG])
    config = ConfigDict(files.read(workdir / files.CONFIG, schemas.Config))
    return workdir, older_configs.complete(config), record


def _refuse_several(workdir: pathlib.Path) -> None:
    """ConfigError for the directory of all folds, which names what to do with them."""
    members = sorted(workdir.glob(f"fold[0-9]*/{files.RUN}"), key=_fold)
    if members and not (workdir / files.RUN).exists():
        runs = ",".join(str(path.parent) for path in members)
        raise ConfigError(
            f"{workdir} is no run, but holds {len(members)} of folds: python -m "
            f"jaxseg.predict --ensemble={runs} gives the mean of them; anything else "
            f"asks for one of them, such as {members[0].parent}."
        )


def _fold(path: pathlib.Path) -> int:
    digits = path.parent.name.removeprefix("fold")
    return int(digits) if digits.isdigit() else 0


def load(workdir: str | os.PathLike) -> FinishedRun:
    """The best checkpoint of the run in `workdir`, which may have moved.

    Raises ConfigError for a run that is not finished, DataError for what is not there
    or damaged.
    """
    workdir, config, record = _open(workdir)
    parts, abstract = expected(config, record)
    best, operating_point, step = _best(workdir, abstract, record)
    variables = jax.tree.map(np.asarray, state.evaluated(best))
    predict = functools.partial(
        forward.predict,
        model=parts.model,
        normalise=parts.normalise,
        mirror=from_config.mirrored_axes(config),
        target=parts.target,
        exclusive=image_classes.is_exclusive(record["dataset"]),
    )
    classes = len(record["dataset"]["classes"])
    program = functools.partial(jax.jit, compiler_options=compiler.options())
    return FinishedRun(
        workdir=workdir,
        config=config,
        record=record,
        operating_point=operating_point,
        step=step,
        parts=parts,
        variables=variables,
        forward=program(lambda *batch: predict(*batch)[..., :classes]),
        maps=program(predict),
    )


def _best(
    workdir: pathlib.Path, abstract: TrainState, record: schemas.Record
) -> tuple[TrainState, dict, int]:
    """(state, content of operating_point.json, step) of the scored checkpoint."""
    manager = checkpoint.open_manager(workdir / "checkpoints", read_only=True)
    point = frozen_point.read(workdir, manager, record)
    best, _, step = checkpoint.restore(manager, abstract, step=point["step"])
    checkpoint.close(manager)
    return best, point, step


def expected(
    config: ConfigDict, record: schemas.Record
) -> tuple[from_config.Parts, TrainState]:
    """(parts, the state as shapes) of the run with this config and record."""
    config = _resolved(config, record)
    parts = from_config.parts(config, record["dataset"])
    length = record["steps_per_epoch"], record["total_steps"]
    plan = training_plan.Plan(
        record["batch_size"], 0, *length, order=None, shares=(), epochs=0
    )
    tx, _ = from_config.optimizer(config, plan)
    abstract = state.abstract(
        sharding.make_mesh(data=0, fsdp=1),
        model=parts.model,
        tx=tx,
        image_shape=parts.image_shape,
        ema=config.optim.ema > 0,
    )
    return parts, abstract


def _resolved(config: ConfigDict, record: schemas.Record) -> ConfigDict:
    """The config with what "auto" became when the run began."""
    config = config.copy_and_resolve_references()
    config.data.intensity.mode = record.get("intensity", config.data.intensity.mode)
    config.data.fit = record.get("fit", config.data.fit)
    return config


def weights(run: FinishedRun) -> save.Weights:
    """The weights of the run, with the facts that an exported file carries."""
    name, card = run.config.model.name, run.record["dataset"]
    facts = {
        "model": name,
        "fields": chosen.fields(run.config.model),
        "classes": card["classes"],
        "channels": card["channels"],
        "image_size": list(run.config.data.image_size),
        "fit": run.parts.view.fit,
        "pixel_size": run.parts.view.pixel_size,
        "intensity": run.parts.intensity,
        "mean": run.parts.mean,
        "std": run.parts.std,
        "step": run.step,
    }
    return save.Weights(run.variables, name, facts)


def read_weights(path: str) -> dict[str, np.ndarray]:
    """{name: array} of config.pretrained.path: a run directory or a file of weights.

    Raises what `load` and `weight_files.read` do.
    """
    if os.path.isfile(os.path.join(path, files.RUN)):
        return save.arrays(weights(load(path)), format="jaxseg")[0]
    return weight_files.read(path)


class RunWithData(NamedTuple):
    """A finished run and its data, on whatever devices there are."""

    workdir: pathlib.Path
    config: ConfigDict
    experiment: build.Experiment
    variables: dict[str, Any]  # of the best step, whole on every device
    operating_point: schemas.OperatingPoint
    step: int


def with_data(
    workdir: str | os.PathLike,
    split: str,
    *,
    data_dir: str = "",
    verify: str = "sample",
) -> RunWithData:
    """The run in `workdir`, whose `split` shall be seen; `data_dir` if it moved.

    `verify` is how much of the data is compared with its digests: `content.check`.

    Raises ConfigError for a run that is not finished and a split that is none,
    DataError when the data is not what the run was trained and scored on.
    """
    workdir, config, record = _open(workdir)
    config.mesh = {"data": 0, "fsdp": 1}
    if data_dir and config.data.demo.images:
        raise ConfigError("the run made its own demonstration data; omit --data_dir.")
    if data_dir:
        config.data.dir = data_dir
    experiment = build.load(
        _resolved(config, record), batch_size=record["batch_size"], verify=verify
    )
    hashes = record["dataset"]["split_hash"]
    if split not in experiment.splits:
        raise ConfigError(f"there is no split {split!r}; choose of {sorted(hashes)}.")
    if changed := content.changed(record["dataset"], experiment.card):
        raise DataError(
            f"the data in {experiment.directory} is not what {workdir} was made with: "
            f"names, images or masks of {', '.join(changed)} differ."
        )
    best, operating_point, step = _best(workdir, experiment.abstract, record)
    variables = build.variables(experiment, best)
    return RunWithData(workdir, config, experiment, variables, operating_point, step)
