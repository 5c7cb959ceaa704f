"""Scores what answers on whole images rest on, as far as a run asked for it."""

import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from jaxseg import atomic
from jaxseg.data import prepared
from jaxseg.devices import sharding
from jaxseg.evaluation.evidence import cases, localisation, shortcut, whole_scores
from jaxseg.evaluation.tally import Tally
from jaxseg.inference import whole_split
from jaxseg.run_directory import files
from jaxseg.run_directory.evidence_schemas import ClassExample


class Asked(NamedTuple):
    """What is asked of the head of whole images of a run."""

    width: int  # numbers that the head says
    erased: tuple[int, ...] = ()  # pixel classes of the test of shortcuts; (): none
    # compiled: (variables, batch) -> maps [b, h, w, width]; None: no maps are asked for
    attention: Callable | None = None
    output: int = 0  # whose maps play the pointing game
    mask_class: int = 0  # in pixels of this class; 0: no game
    tolerance: float = 0.0  # pixels


def score(
    workdir: pathlib.Path,
    scorer: whole_split.Scorer,
    variables: Any,
    split: prepared.Split,
    asked: Asked | None,
    tally: Tally,
    frozen: Mapping[str, Any],
    *,
    seed: int,
    resamples: int,
) -> dict[str, Any]:
    """The blocks that `asked` asks for, and the images whose class is told best.

    Process 0 writes `eval/<split>_class_examples.json` and the files it names, of a
    run with an output for each class of images.
    """
    if asked is None:
        return {}
    if chosen := frozen.get("image_classes"):
        thresholds = [row["threshold"] for row in chosen["classes"]]
        listed, drawn = examples(
            scorer,
            variables,
            split,
            asked,
            tally.class_probability.astype(np.float64),
            thresholds=None if chosen["exclusive"] else thresholds,
        )
        if jax.process_index() == 0:
            folder = workdir / "eval"
            for name, content in drawn.items():
                atomic.replace(folder / f"{split.name}_class_examples" / name, content)
            path = folder / f"{split.name}_class_examples.json"
            files.write(path, listed, list[ClassExample])
    options = {"seed": seed, "resamples": resamples}
    return blocks(scorer, variables, split, asked, **options)


def blocks(
    scorer: whole_split.Scorer,
    variables: Any,
    split: prepared.Split,
    asked: Asked,
    *,
    seed: int,
    resamples: int,
) -> dict[str, Any]:
    """The blocks "shortcut" and "localisation" of eval/<split>.json, where asked."""
    out: dict[str, Any] = {}
    if asked.erased:
        out["shortcut"] = shortcut.score(
            scorer,
            variables,
            split,
            asked.erased,
            width=asked.width,
            seed=seed,
            resamples=resamples,
        )
    if asked.attention is not None and asked.mask_class:
        parts = asked.output, asked.width, asked.mask_class
        wanted = localisation.wanted(split, *parts)
        out["localisation"] = localisation.score(
            maps(scorer, variables, split, asked, wanted),
            split,
            output=asked.output,
            width=asked.width,
            mask_class=asked.mask_class,
            tolerance=asked.tolerance,
            to_native=scorer.to_native(),
        )
    return out


def maps(
    scorer: whole_split.Scorer,
    variables: Any,
    split: prepared.Split,
    asked: Asked,
    only: set[int],
) -> Iterator[tuple[int, np.ndarray]]:
    """Yields (index, maps f32 [H, W, width]) of the images of this process."""
    looking = scorer._replace(
        predict=asked.attention, classes=None, maps=None, gate=None
    )
    return whole_split.channels(looking, variables, split, only)


def examples(
    scorer: whole_split.Scorer,
    variables: Any,
    split: prepared.Split,
    asked: Asked,
    probability: Float[np.ndarray, "n m"],
    *,
    thresholds: Sequence[float | None] | None,
) -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    """(content of <split>_class_examples.json, the files of its folder by name).

    `probability` is of every image of the split in order, `thresholds` is None for
    exclusive classes. Every process gets the list, and the files too.
    """
    truth = whole_scores.truth(split, asked.width)
    names = whole_scores.names(split, asked.width)
    chosen = cases.choose(probability, truth, split.ids, names, thresholds=thresholds)
    attended: dict[int, np.ndarray] = {}
    if asked.attention is not None:
        wanted = {row["index"]: names.index(row["image_class"]) for row in chosen}
        own = maps(scorer, variables, split, asked, set(wanted))
        mine = {i: np.ascontiguousarray(row[..., wanted[i]]) for i, row in own}
        attended = _of_all(mine)
    to_native, drawn = scorer.to_native(), {}
    for row in chosen:
        example = split[row["index"]]
        shape, seen = example["mask"].shape, attended.get(row["index"])
        if seen is not None:
            seen = np.reshape(to_native(seen[..., None], shape), shape)
        for kind, content in cases.draw(example, seen).items():
            row[kind] = f"{row['index']:06d}_{row['image_class']}_{kind}.png"
            row[kind] = row[kind].replace("/", "_").replace(" ", "_")
            drawn[row[kind]] = content
    return chosen, drawn


def _of_all(own: dict[int, np.ndarray]) -> dict[int, np.ndarray]:
    """The maps of all processes; each may have a size of its own."""
    mine = {
        "index": np.array(list(own), np.int32),
        "shape": np.array([p.shape for p in own.values()], np.int32).reshape(-1, 2),
        "values": np.concatenate(
            [np.zeros(0, np.float32), *(p.ravel() for p in own.values())]
        ).astype(np.float32),
    }
    out = {}
    for part in sharding.gather(mine):
        sizes = part["shape"].prod(1, dtype=np.int64)
        rows = np.split(part["values"], np.cumsum(sizes)[:-1]) if len(sizes) else []
        for index, shape, row in zip(part["index"], part["shape"], rows, strict=True):
            out[int(index)] = row.reshape(shape)
    return out
