"""Checks every image once: readable, not constant, not repeated across splits."""

import dataclasses
import functools
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import cv2
import numpy as np

from jaxseg.data import prepared
from jaxseg.data.preparation import convert
from jaxseg.doctor import border
from jaxseg.doctor.case import ERROR, OK, WARNING, Case, Finding, few
from jaxseg.experiment import build
from jaxseg.types import IGNORE

_SIDE = 32  # of the thumbnails
_ALIKE = 0.95  # correlation of two thumbnails, also after taking away the mean one
_ENOUGH = 20  # images that make a mean thumbnail
_FLAT = 1.5  # grey levels: the standard deviation of an image with nothing in it
_MANY = 0.05  # a larger share of flat images is no accident
_BLOCK = 2048  # thumbnails compared at a time


class Look(NamedTuple):
    """One image: what was seen of it, or the problem that reading it met."""

    split: str
    id: str
    problem: str = ""
    digest: str = ""  # of the pixels as stored
    spread: float = 0.0  # standard deviation in grey levels, as the network gets it
    flat: bool = False  # one value everywhere
    foreground: bool = False
    values: tuple[int, ...] = ()  # of the mask
    thumb: np.ndarray | None = None  # f32 [_SIDE ** 2], standardised
    frame: np.ndarray | None = None  # f32, border.frame
    tones: np.ndarray | None = None  # f32, border.tones


def scan(experiment: build.Experiment, *, show: bool = True) -> list[Look]:
    """A Look at every image of every split, in order."""
    jobs = [(s, i) for s in experiment.splits.values() for i in range(len(s))]
    view = dataclasses.replace(experiment.parts.view, pixel_size=0.0)
    one = functools.partial(_look, view=view)
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # decoders let go of the GIL
        looks = pool.map(one, *zip(*jobs, strict=True))
        return list(convert.track(looks, total=len(jobs), what="Reading", show=show))


def _look(split: prepared.Split, index: int, *, view) -> Look:
    name = split.name, split.ids[index]
    try:
        example = split[index]
        shown = view([example], 0)
    except Exception as error:  # whatever it is, it would stop training too
        return Look(*name, problem=" ".join(str(error).split()))
    stored, image = example["image"], shown["image"]
    grey = image.mean(-1, dtype=np.float32) / (np.iinfo(image.dtype).max // 255)
    small = cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).ravel()
    return Look(
        *name,
        digest=hashlib.sha256(
            repr(stored.shape).encode() + stored.tobytes()
        ).hexdigest(),
        spread=float(image.std()) / (np.iinfo(image.dtype).max // 255),
        flat=bool(stored.min() == stored.max()),
        foreground=bool(((example["mask"] > 0) & (example["mask"] != IGNORE)).any()),
        values=tuple(np.flatnonzero(np.bincount(example["mask"].ravel())).tolist()),
        thumb=(small - small.mean()) / max(float(small.std()), 1e-6),
        frame=border.frame(stored),
        tones=border.tones(stored, example["mask"]),
    )


def unreadable(case: Case) -> Finding:
    """Every image and mask decodes and fits together."""
    looks = case.scan()
    bad = [look for look in looks if look.problem]
    if bad:
        return Finding(
            ERROR,
            f"{len(bad)} of {len(looks)} images: {bad[0].split} {bad[0].problem}",
            "training would stop in the middle when it meets one of them",
            "prepare the data set again from sound files; the images are "
            + few(f"{look.split}/{look.id}" for look in bad),
        )
    return Finding(OK, f"all {len(looks):,} images and masks decode")


def constant_images(case: Case) -> Finding:
    """Images show something."""
    looks = [look for look in case.scan() if not look.problem]
    flat = [look for look in looks if look.flat]
    dim = [look for look in looks if not look.flat and look.spread < _FLAT]
    if not flat and not dim:
        return Finding(OK, f"none of {len(looks):,} images is one value, or nearly so")
    observed = (
        f"{len(flat)} of {len(looks):,} images are one value, {len(dim)} nearly so"
    )
    names = few(f"{look.split}/{look.id}" for look in flat + dim)
    lost = any(look.foreground for look in flat)
    level = ERROR if lost or len(flat) > _MANY * len(looks) else WARNING
    return Finding(
        level,
        f"{observed}: {names}",
        "nothing can be found in them"
        + (", and yet masks of theirs have foreground" if lost else ""),
        "look at these files; for 16-bit or dark images set config.data.intensity",
    )


def duplicates(case: Case) -> Finding:
    """No image, pixel for pixel, is in two splits under two names."""
    if not case.scan:
        return _known_duplicates(case)
    homes: dict[str, list[Look]] = {}
    for look in case.scan():
        if look.digest and not look.flat:
            homes.setdefault(look.digest, []).append(look)
    pairs = [equal for equal in homes.values() if len({f.split for f in equal}) > 1]
    if pairs:
        return _repeated(len(pairs), few((_names(equal) for equal in pairs), 3))
    same = sum(len(equal) - 1 for equal in homes.values())
    return Finding(OK, f"no image is in two splits, {same or 'none'} twice in one")


def _known_duplicates(case: Case) -> Finding:
    """What preparation counted, where it did."""
    extra = case.experiment.card["extra"]
    count = extra.get("equal_images_in_two_splits")
    if count:
        return _repeated(count, "python -m jaxseg.doctor names them")
    if count is None:
        return Finding(OK, "kept in one split by preparation, or not yet counted")
    return Finding(OK, "no image is in two splits, as preparation counted")


def _repeated(count: int, names: str) -> Finding:
    return Finding(
        ERROR,
        f"{count} image(s) are in two splits, pixel for pixel: {names}",
        "the model is scored on images it was trained on: the scores will look better "
        "than they are",
        "remove the copies, or give both the same group and split again; repeat images "
        "with config.sampler, never in the data",
    )


def _names(looks: list[Look]) -> str:
    return " = ".join(f"{look.split}/{look.id}" for look in looks[:3])


def near_duplicates(case: Case) -> Finding:
    """No image is in two splits in nearly the same form."""
    looks = [look for look in case.scan() if look.thumb is not None and not look.flat]
    pairs = near_pairs(looks)
    rule = f"correlation above {_ALIKE} of {_SIDE} x {_SIDE} thumbnails, also mirrored"
    if not pairs:
        return Finding(OK, f"no two splits share one ({rule})")
    names = few((f"{_names([a, b])} ({c:.3f})" for c, a, b in pairs), 3)
    return Finding(
        WARNING,
        f"{len(pairs)} pair(s) across splits ({rule}): {names}",
        "neighbouring frames, crops or saved copies of one image let the model score "
        "on what it has nearly seen",
        "look at the pairs; give what belongs together one group and split again",
    )


def near_pairs(looks: list[Look]) -> list[tuple[float, Look, Look]]:
    """(correlation, image, image) across splits, most alike first; no exact copies."""
    if len(looks) < 2:
        return []
    thumbs = np.stack([look.thumb for look in looks])
    # where all images show the same thing, what they share says nothing
    common = thumbs.mean(0) if len(looks) >= _ENOUGH else np.zeros(_SIDE**2, np.float32)
    plain, own = _unit(thumbs), _unit(thumbs - common)
    mirrored = thumbs.reshape(-1, _SIDE, _SIDE)[:, :, ::-1].reshape(len(looks), -1)
    flipped, own_flipped = _unit(mirrored), _unit(mirrored - common)
    kind = np.unique([look.split for look in looks], return_inverse=True)[1]
    closest = {}
    for start in range(0, len(looks), _BLOCK):
        rows = slice(start, start + _BLOCK)
        for one, other in ((plain, own), (flipped, own_flipped)):
            alike = np.minimum(one[rows] @ plain.T, other[rows] @ own.T)
            alike[kind[rows, None] <= kind[None]] = -1  # each pair once, across splits
            for i, j in np.argwhere(alike > _ALIKE):
                a, b = looks[start + i], looks[j]
                if a.digest != b.digest:
                    key = (start + int(i), int(j))
                    closest[key] = max(closest.get(key, 0.0), float(alike[i, j]))
    ranked = sorted(closest.items(), key=lambda item: (-item[1], item[0]))
    return [(c, looks[i], looks[j]) for (i, j), c in ranked]


def _unit(rows: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.maximum(norms, 1e-6)
