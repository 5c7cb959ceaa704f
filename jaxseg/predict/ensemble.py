"""Opens the runs that predict together, and compiles what each of them does to a block.

Runs with one model, one way to see an image and one size of block are a group: their
weights lie in one stack, and one program goes through it. Groups see an image each in
its own way, and meet at its native size.
"""

import functools
import hashlib
import json
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float

from jaxseg.data import pipeline
from jaxseg.devices import compiler, sharding
from jaxseg.errors import ConfigError
from jaxseg.experiment import finished_run, from_config, image_classes
from jaxseg.inference import forward, stitch
from jaxseg.predict import mc_dropout
from jaxseg.types import Batch

AUGMENTATIONS = ("", "flips", "rot90")  # of --tta
_TURNS = 4


class Group(NamedTuple):
    """Runs that see an image in one way."""

    view: pipeline.View
    block: int  # tiles that a device gets at a time
    predict: Callable  # {"image": [devices * block, ...] on the mesh} -> mean f32
    members: int
    classes: int  # k
    maps: int  # k, and the maps behind them; then what is said of the whole image
    exact: stitch.Field | None = None  # tiles are joined by it, not blended
    exclusive: bool = False  # an image is of one of its classes as a whole


class Ensemble(NamedTuple):
    """One run or several, as one model."""

    runs: list[finished_run.FinishedRun]
    groups: list[Group]
    mesh: Mesh
    digests: list[str]  # of each run: its weights and what of its config predicts

    @property
    def classes(self) -> list[str]:
        """The names of the classes, in the order of their ids."""
        return self.runs[0].classes

    @property
    def operating_point(self) -> dict[str, Any] | None:
        """The frozen rule of the first run."""
        return self.runs[0].operating_point["operating_point"]

    @property
    def image_threshold(self) -> float | None:
        """From which score on an image is positive, of the first run; None: unknown."""
        image = self.runs[0].operating_point.get("image") or {}
        return image.get("threshold") if image.get("score") == "decision" else None

    @property
    def image_classes(self) -> dict[str, Any] | None:
        """How classes of whole images are decided, as the first run froze it."""
        return self.runs[0].operating_point.get("image_classes")

    @property
    def pixels(self) -> bool:
        """Whether pixels were learned; where not, there are no masks."""
        return image_classes.trains_pixels(self.runs[0].config)


def load(
    workdirs: Sequence[pathlib.Path],
    *,
    augmentation: str = "",
    tile: str | tuple[int, int] = "auto",
    exact: bool = False,
    passes: int = 0,
) -> Ensemble:
    """The ensemble of the finished runs in `workdirs`, on all devices.

    `augmentation` "" is that of each run's evaluation (config.eval.mirror), "flips" the
    mean over both mirror images and their composition, "rot90" that over the four
    quarter turns. With `exact` tiles are joined, not blended. With `passes` each member
    is the mean over so many passes with dropout. Raises what `load`, `tiled` and
    `field_of` of `finished_run` and `mc_dropout.check` do, and ConfigError for runs
    whose classes, channels or types of numbers differ, and for tiles that cannot be
    joined.
    """
    runs = [finished_run.load(workdir) for workdir in workdirs]
    _check_alike(runs)
    _check_decisions(runs)
    for run in runs:
        mc_dropout.check(run, passes, exact=exact)
    mesh = sharding.make_mesh(data=0, fsdp=1)
    parts: dict[str, list[finished_run.FinishedRun]] = {}
    for run in runs:
        parts.setdefault(_way(run), []).append(run)
    more = _maps_beside(runs, augmentation)
    groups = [
        _group(part, mesh, augmentation, tile, passes, more) for part in parts.values()
    ]
    if exact:
        fields = [finished_run.field_of(part[0]) for part in parts.values()]
        pairs = zip(groups, fields, strict=True)
        groups = [group._replace(exact=field) for group, field in pairs]
        for group in groups:  # refused before anything is predicted
            longest = 2 * max(group.view.size)
            stitch.plan((longest, longest), group.view.size, group.exact)
    return Ensemble(runs, groups, mesh, [digest(run) for run in runs])


def _check_alike(runs: Sequence[finished_run.FinishedRun]) -> None:
    first, *others = runs
    card = first.record["dataset"]
    for run in others:
        other = run.record["dataset"]
        if _kind(run) != _kind(first):
            raise ConfigError(
                f"{run.workdir} and {first.workdir} learned other classes of whole "
                "images, or only one of them pixels: runs of an ensemble answer the "
                "same question; leave one of them out."
            )
        for key in ("classes", "channels", "dtype"):
            if other[key] != card[key]:
                raise ConfigError(
                    f"{run.workdir} was trained on {key} {other[key]}, and "
                    f"{first.workdir} on {card[key]}: runs of an ensemble answer the "
                    "same question; leave one of them out."
                )
        if _floats(other) != _floats(card):
            raise ConfigError(
                f"{run.workdir} and {first.workdir} were trained on numbers of "
                "different types (floats and whole numbers); leave one of them out."
            )


def _kind(run: finished_run.FinishedRun) -> tuple[Any, ...]:
    """What of whole images a run answers, and whether it learned pixels."""
    frozen = run.operating_point.get("image_classes") or {}
    pixels = image_classes.trains_pixels(run.config)
    return frozen.get("names"), frozen.get("exclusive"), pixels


def _check_decisions(runs: Sequence[finished_run.FinishedRun]) -> None:
    """Raises ConfigError where only some runs decide on whole images, or otherwise."""
    first, *others = runs
    if not others:
        return
    counts = [_decisions(run) for run in runs]
    for run, count in zip(others, counts[1:], strict=True):
        if count != counts[0]:
            raise ConfigError(
                f"{first.workdir} says {counts[0]} numbers of a whole image and "
                f"{run.workdir} says {count} (config.decision), so they have no common "
                "mean: leave one of them out of the ensemble."
            )


def _decisions(run: finished_run.FinishedRun) -> int:
    """How many numbers the model of a run says of a whole image."""
    shape = (*run.parts.view.size, run.record["dataset"]["channels"])
    return forward.image_logits(run.parts.model, run.variables, shape)


def _maps_beside(runs: Sequence[finished_run.FinishedRun], augmentation: str) -> int:
    """How many maps beside the classes the rule for objects of the first run needs."""
    first = runs[0]
    if first.finding is None or not first.finding.names:
        return 0
    target = first.config.target.name
    for run in runs[1:]:
        if run.finding is None or run.finding[3:] != first.finding[3:]:
            raise ConfigError(
                f"{first.workdir} looks for objects in the maps of its target, "
                f"{target!r}, which {run.workdir} does not predict alike: leave one of "
                "them out of the ensemble."
            )
    rays = first.parts.target.ray_length > 0
    if rays and augmentation == "rot90":
        raise ConfigError(
            f"--tta=rot90 turns the image, but not the rays that the target {target!r} "
            "learns: use --tta=flips."
        )
    if rays and len({run.parts.view for run in runs}) > 1:
        raise ConfigError(
            "the runs of this ensemble see images at different scales, so their rays "
            "have no common mean: leave all but those of one scale out."
        )
    return len(first.finding.names)


def _floats(card: dict[str, Any]) -> bool:
    return "float_percentiles" in card["extra"]


def _way(run: finished_run.FinishedRun) -> str:
    """What runs of one group share, as text."""
    parts = run.parts
    return repr(
        (parts.model, parts.view, parts.mean, parts.std)
        + ((run.finding,) if run.finding else ())
        + (from_config.mirrored_axes(run.config), run.config.eval.per_device_batch)
    )


def digest(run: finished_run.FinishedRun) -> str:
    """The SHA-256 of the weights of a run and all else that its answers depend on."""
    out = hashlib.sha256()
    flat, _ = jax.tree_util.tree_flatten_with_path(run.variables)
    for path, array in flat:
        out.update(f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}".encode())
        out.update(np.ascontiguousarray(array).tobytes())
    out.update(json.dumps(run.operating_point, sort_keys=True).encode())
    out.update(_way(run).encode())
    return out.hexdigest()


def _group(
    runs: Sequence[finished_run.FinishedRun],
    mesh: Mesh,
    augmentation: str,
    tile: str | tuple[int, int],
    passes: int,
    more: int,
) -> Group:
    """The group of these runs, which answers the classes and `more` maps."""
    first = runs[0]
    mirror = {
        "": from_config.mirrored_axes(first.config),
        "flips": (1, 2),
        "rot90": (),
    }[augmentation]
    maps, every = (
        len(first.classes) + n for n in (more, len(first.parts.target.names))
    )
    exclusive = image_classes.is_exclusive(first.record["dataset"])
    one = functools.partial(
        _maps,
        maps=maps,
        every=every,
        normalise=first.parts.normalise,
        mirror=mirror,
        target=first.parts.target,
        exclusive=exclusive,
    )
    if passes:
        one = functools.partial(mc_dropout.mean_of_passes, predict=one, passes=passes)
    one = functools.partial(one, model=first.parts.model)
    if augmentation == "rot90":
        one = functools.partial(turned, predict=one)
    rows, variables = P(("data", "fsdp")), first.variables
    if len(runs) > 1:
        one = functools.partial(mean_of, predict=one)
        trees = [run.variables for run in runs]
        variables = jax.tree.map(lambda *arrays: np.stack(arrays), *trees)
    program = jax.jit(
        jax.shard_map(
            one, mesh=mesh, in_specs=(P(), rows), out_specs=rows, check_vma=False
        ),
        compiler_options=compiler.options(),
    )
    return Group(
        finished_run.tiled(first.parts.view, tile),
        first.config.eval.per_device_batch,
        functools.partial(
            program, jax.device_put(variables, sharding.replicated(mesh))
        ),
        len(runs),
        len(first.classes),
        maps,
        exclusive=exclusive,
    )


def _maps(
    variables: Any, batch: Batch, *, maps: int, every: int, **settings: Any
) -> Float[Array, "b h w n"]:
    """The first `maps` of `every` map, and what stands behind all of them."""
    out = forward.predict(variables, batch, **settings)
    if out.shape[-1] == every:
        return out[..., :maps]
    return jnp.concatenate([out[..., :maps], out[..., every:]], axis=-1)


def mean_of(
    stacked: Any, batch: Batch, *, predict: Callable
) -> Float[Array, "b h w k"]:
    """The mean of the probabilities of all members, whose weights lie in a stack.

    The members follow one another in one program: side by side, their convolutions
    would be grouped ones, which run at a quarter of the speed on a CPU.
    """
    members = jax.tree.leaves(stacked)[0].shape[0]
    first = predict(jax.tree.map(lambda a: a[0], stacked), batch)
    rest = jax.tree.map(lambda a: a[1:], stacked)
    total, _ = jax.lax.scan(
        lambda total, variables: (total + predict(variables, batch), None), first, rest
    )
    return total / members


def turned(
    variables: Any, batch: Batch, *, predict: Callable
) -> Float[Array, "b h w k"]:
    """The mean of the probabilities over the four quarter turns of the image."""
    total = predict(variables, batch)
    for k in range(1, _TURNS):
        image = jnp.rot90(batch["image"], k, axes=(1, 2))
        answer = predict(variables, {**batch, "image": image})
        total = total + jnp.rot90(answer, -k, axes=(1, 2))
    return total / _TURNS
