"""Predicts every image of a split, batch by batch over the mesh."""

import functools
from collections.abc import Callable, Container, Iterable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float

from jaxseg.data import pipeline, prepared
from jaxseg.devices import prefetch, sharding
from jaxseg.inference import forward, tiled_split


class Scorer(NamedTuple):
    """What scoring needs besides the parameters and the split."""

    predict: (
        Callable  # (variables, batch) -> [b, h, w, k + m + n], as `forward.predict`
    )
    mesh: Mesh
    view: pipeline.View
    per_device_batch: int
    workers: int
    timeout: float
    classes: int | None = None  # k; None = all that is predicted
    maps: int | None = None  # k + m; None = all, so nothing is said of whole images
    # (index, what is predicted) -> what counts as predicted; None: just that
    gate: Callable | None = None
    image_classes: int = 0  # classes of whole images that the model answers, or none
    exclusive: bool = False  # an image is of one of them
    labels: bool = False  # tiles carry masks too, for a `predict` that asks for them
    instances: bool = False  # and batches carry object ids
    pixels: bool = True  # False: nothing was learned of them, and nothing is scored

    def to_native(self) -> Callable:
        """(probability, native size) -> probability at that size."""
        return self.view.to_native


def predictions(
    scorer: Scorer,
    variables: Any,
    split: prepared.Split,
    only: set[int] | None = None,
) -> Iterator[tuple[int, np.ndarray]]:
    """(index, probability f32 [H, W, k]) of the classes: the first of `maps`."""
    for index, row in maps(scorer, variables, split, only):
        yield index, row[..., : scorer.classes]


def maps(
    scorer: Scorer,
    variables: Any,
    split: prepared.Split,
    only: set[int] | None = None,
) -> Iterator[tuple[int, np.ndarray]]:
    """(index, f32 [H, W, k + m]): the probabilities and the maps of the target."""
    for index, row in channels(scorer, variables, split, only):
        yield index, row[..., : scorer.maps]


def keep(
    predictions: Iterable[tuple[int, np.ndarray]],
    wanted: Container[int],
    kept: dict[int, np.ndarray],
) -> Iterator[tuple[int, np.ndarray]]:
    """Passes predictions on; those of the `wanted` indices stay in `kept`."""
    for index, probability in predictions:
        if index in wanted:
            kept[index] = probability
        yield index, probability


def image_score(
    scorer: Scorer, row: Float[np.ndarray, "h w c"]
) -> Float[np.ndarray, "n"] | None:
    """What `channels` say of the whole image; None without a decision head."""
    if scorer.maps is None or row.shape[-1] == scorer.maps:
        return None
    return forward.image_score(row[..., scorer.maps :], exclusive=scorer.exclusive)


def channels(
    scorer: Scorer,
    variables: Any,
    split: prepared.Split,
    only: set[int] | None = None,
) -> Iterator[tuple[int, np.ndarray]]:
    """(index, f32 [H, W, k + m + n]) of this process's images, without padding.

    After the probabilities of k classes come the m maps of the target, and the n
    channels of a decision on the whole image. [H, W] is the
    size of the view; with fit "crop" that of the image (`tiled_split`). Every device
    gets the same number of images at a time whatever the number of devices, and the
    same ones side by side: so the results are equal bit for bit. `only` names the
    indices wanted; batches without one of them are not computed. The gate of the scorer
    comes last.
    """
    rows = _channels(scorer, variables, split, only)
    if scorer.gate is None:
        return rows
    return ((index, scorer.gate(index, row)) for index, row in rows)


def _channels(
    scorer: Scorer, variables: Any, split: prepared.Split, only: set[int] | None
) -> Iterator[tuple[int, np.ndarray]]:
    if scorer.view.fit == "crop":
        yield from tiled_split.predictions(
            functools.partial(scorer.predict, variables),
            split,
            scorer.view,
            mesh=scorer.mesh,
            block=scorer.per_device_batch,
            timeout=scorer.timeout,
            only=only,
            maps=scorer.maps,
            exclusive=scorer.exclusive,
            labels=scorer.labels,
            instances=scorer.instances,
        )
        return
    batch_size = scorer.per_device_batch * jax.device_count()
    batches = pipeline.eval_batches(
        split,
        scorer.view,
        batch_size=batch_size,
        process=jax.process_index(),
        processes=jax.process_count(),
        workers=scorer.workers,
        instances=scorer.instances,
    )
    stream = prefetch.ahead(
        batches,
        scorer.mesh,
        timeout=scorer.timeout,
        name=lambda k: f"batch {k} of {split.name}",
    )
    waiting = None
    for number, (batch, _) in enumerate(stream):
        first = number * batch_size
        skip = only is not None and not any(
            i in only for i in range(first, first + batch_size)
        )
        probability = None if skip else scorer.predict(variables, batch)
        if waiting is not None:  # the device works on this batch meanwhile
            yield from _rows(*waiting, only)
        waiting = None if skip else (batch["index"], probability)
    if waiting is not None:
        yield from _rows(*waiting, only)


def _rows(
    index: jax.Array, probability: jax.Array, only: set[int] | None
) -> Iterator[tuple[int, np.ndarray]]:
    """Yields (index, probability) of the images of this process in one batch."""
    parts = zip(
        sharding.local_rows(index), sharding.local_rows(probability), strict=True
    )
    for indices, rows in parts:
        for i, row in zip(indices, rows, strict=True):
            if i >= 0 and (only is None or int(i) in only):
                yield int(i), row
