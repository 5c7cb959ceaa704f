"""Checks what happens to an image and its mask between the disk and the network."""

import dataclasses
import functools
import itertools

import jax
import numpy as np

from jaxseg import lookup, types
from jaxseg.data import crops
from jaxseg.doctor import draw, probe
from jaxseg.doctor.case import ERROR, OK, WARNING, Case, Finding, few, share
from jaxseg.experiment import build
from jaxseg.train_step import step
from jaxseg.types import IGNORE

_EACH = 4  # images a process reads twice
_BLACK = 0.1  # of its contrast is what a blackened image has left
_SOME = 0.2  # of the images
_OVERLAP = 0.33, 0.6  # of the ranges: below is an error, a warning
_IOU = 0.8, 0.5  # of pattern and mask: the median, the worst
_VISIBLE = 0.25  # of the pattern must be in view to be compared
_GLYPH = (*["##########"] * 2, *["##........"] * 2)
_GLYPH += (*["#######..."] * 2, *["##........"] * 4)
_SIZE = 0.6  # of the letter, in sides of the image


def supervision(case: Case) -> Finding:
    """The labelled pixels of an image are the same ones in every epoch."""
    train, plan = case.experiment.splits["train"], case.experiment.plan
    count = min(_EACH, len(train)) * jax.process_count()
    chosen = np.argsort(~train.positive, kind="stable")[:count] % len(train)
    chosen = np.resize(chosen, count)
    plan = plan._replace(
        order=functools.partial(_again, chosen), epoch_size=count, batch_size=count
    )
    windows = case.experiment.windows()
    again = windows and functools.partial(_same_windows, windows, count)
    experiment = case.experiment._replace(plan=plan, windows=lambda: again)
    first, second = (b["mask"] for b in build.train_batches(experiment, steps=2))
    labelled = first != IGNORE, second != IGNORE
    area = labelled[0].shape[1] * labelled[0].shape[2]
    each = labelled[0].sum((1, 2))
    total = (labelled[0] | labelled[1]).sum((1, 2))
    stored = train.pixels[chosen].sum() / train.sizes[chosen].prod(1).sum()
    observed = (
        f"{len(first)} images: {each.mean():,.0f} of {area:,} pixels labelled on "
        f"average, at most {each.max():,} ({share(each.mean(), area)}; "
        f"{share(stored, 1)} in store)"
    )
    if not np.array_equal(first, second):
        return Finding(
            ERROR,
            f"{observed}; after two epochs {total.mean():,.0f} on average, at most "
            f"{total.max():,}: other labels in the second epoch",
            "labels that are drawn again show more pixels in every epoch, so training "
            "uses a larger budget of labels than the one that is stated",
            "draw labels once, from the seed and the image (data/supervision)",
        )
    return _taught(case, f"{observed}; the same ones in the second epoch")


def _taught(case: Case, observed: str) -> Finding:
    """Some term of the loss learns from labels that are there."""
    block = case.config.loss.to_dict()
    terms = [n for n, b in block.items() if np.atleast_2d(b["weight"])[:, -1].any()]
    modules = {name: lookup.term(name, block[name]) for name in terms}
    places = {
        name: lookup.check(lookup.TERMS, module) for name, module in modules.items()
    }
    fns = {n: lookup.find(lookup.TERMS, module).loss for n, module in modules.items()}
    by_class = [n for n, fn in fns.items() if "image_classes" in step.asks_for(fn)]
    classes = case.experiment.splits["train"].image_classes
    if by_class and classes is not None and np.any(classes >= 0):
        return Finding(OK, observed)
    by_pixel = [name for name, folder in places.items() if folder == "losses"]
    by_image = [name for name, fn in fns.items() if "label" in step.asks_for(fn)]
    drawn = case.experiment.labels()
    pixels = drawn is None or drawn.any_pixel
    images = case.experiment.splits["train"].labels
    labelled = images[images >= 0] > 0
    if not ((pixels and by_pixel) or (len(labelled) and by_image)):
        return Finding(
            ERROR,
            f"{'some' if pixels else 'no'} pixels and {len(labelled):,} of "
            f"{len(images):,} images are labelled, but the terms of the loss are "
            f"{few(terms)}",
            "none of them learns from a label that is there, so training runs and "
            "teaches nothing",
            "config.loss.image_label.weight=1.0 for labels of images; for labelled "
            "pixels another config.supervision, and a term of jaxseg/losses/",
        )
    if not (pixels and by_pixel) and len({*labelled.tolist()}) == 1:
        return Finding(
            WARNING,
            f"all {len(labelled):,} image labels are "
            f"{'positive' if labelled[0] else 'negative'}, and no pixel is labelled",
            "a network that gives this answer everywhere is right about each of them",
            "images of both kinds, or labelled pixels",
        )
    return Finding(OK, observed)


def _again(chosen: np.ndarray, *, epoch: int) -> np.ndarray:
    del epoch
    return chosen


def _same_windows(windows: crops.Windows, count: int, number: int, *image):
    return windows(number % count, *image)


def value_range(case: Case) -> Finding:
    """The network gets the same range of values in training as in evaluation."""
    s = case.stages()
    read = types.unit_interval(s.image)
    rows = [("", "min", "mean", "max", "std")]
    rows += [
        (name, *(f"{f(x):.3g}" for f in (np.min, np.mean, np.max, np.std)))
        for name, x in {
            "training, as read": read,
            "training, augmented": s.augmented,
            "training, to the network": s.network,
            "same images, evaluation": s.scored,
            "validation": s.validation,
        }.items()
    ]
    drawing = draw.table(rows)
    axes = (1, 2, 3)
    before, after = read.std(axes), s.augmented.std(axes)
    black = (before > 1e-3) & (after < _BLACK * before)
    same = _overlap(s.network, s.scored)
    other = _overlap(s.scored, s.validation)
    observed = (
        f"{len(s.image)} images: ranges of training and evaluation overlap by "
        f"{share(same, 1)}, those of validation by {share(other, 1)}"
    )
    if black.sum() > _SOME * len(black) or not np.isfinite(s.network).all():
        return Finding(
            ERROR,
            f"{black.sum()} of {len(black)} images lose their contrast in augmentation "
            f"(mean {read.mean():.3f} before, {s.augmented.mean():.3f} after)",
            "the network would be trained on blank images and scored on real ones",
            "look at the tones of config.augment and at the scale they expect",
            drawing,
        )
    if same < _OVERLAP[1]:
        return Finding(
            ERROR if same < _OVERLAP[0] else WARNING,
            observed,
            "the same images look different to the network in training and in "
            "evaluation, so what it learns does not apply",
            "gentler brightness, contrast and gamma in config.augment; the same "
            "scale in both ways",
            drawing,
        )
    if other < _OVERLAP[0]:
        return Finding(
            WARNING,
            observed,
            "images of validation are much brighter or darker than those of training",
            "look at both; config.data.intensity.mode=percentile evens them out",
            drawing,
        )
    return Finding(OK, observed, drawing=drawing)


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    """What the ranges (1st to 99th percentile) share, of the larger one."""
    (low, high), (other_low, other_high) = (np.percentile(x, (1, 99)) for x in (a, b))
    wide = max(high - low, other_high - other_low)
    both = min(high, other_high) - max(low, other_low)
    return float(max(both, 0.0) / wide) if wide > 0 else 1.0


def co_transform(case: Case) -> Finding:
    """A known pattern moves the same way in the image and in its mask."""
    batch, fitted = pattern(case.experiment)
    catch = probe.catcher(case.experiment, tones=False)
    parts = [catch(batch, k)[::2] for k in range(max(1, 8 // len(batch["mask"])))]
    image, mask = (np.concatenate(x) for x in zip(*parts, strict=True))
    before = np.concatenate([batch["mask"]] * len(parts))
    label = int(batch["mask"].max())
    shown, labelled = image.mean(-1) > 0.5, mask != IGNORE
    truth = mask == label
    alike = _iou(shown & labelled, truth)
    # what left the view says nothing
    inside = truth.sum((1, 2)) > _VISIBLE * (before == label).sum((1, 2))
    moved = (truth != (before == label)).any((1, 2)).sum()
    overlap = alike[inside]
    observed = (
        f"a letter F in image and mask: overlap (IoU) {fitted:.2f} after resizing; "
        + (
            f"{np.median(overlap):.2f}, at worst {overlap.min():.2f}"
            if len(overlap)
            else "-"
        )
        + f", after augmentation of {len(mask)} ({moved} moved)"
    )
    odd = sorted(set(np.unique(mask).tolist()) - {0, label, IGNORE})
    if odd:
        observed += f"; the mask now holds {odd}, which is no class"
    off = len(overlap) and (np.median(overlap) < _IOU[0] or overlap.min() < _IOU[1])
    if off or odd or fitted < _IOU[0]:
        return Finding(
            ERROR,
            observed,
            "the mask no longer lies on what it labels, so the network is taught to "
            "find the wrong place",
            "move image and mask by one transformation, the mask by nearest neighbour "
            "(data/augment.py, data/geometry.py)",
        )
    if not len(overlap):
        return Finding(
            WARNING,
            observed,
            "augmentation moves everything out of view",
            "a smaller config.augment.shift or scale",
        )
    return Finding(OK, observed)


def _iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    both, either = (a & b).sum((1, 2)), (a | b).sum((1, 2))
    return both / np.maximum(either, 1)


def pattern(experiment: build.Experiment) -> tuple[dict[str, np.ndarray], float]:
    """(a batch that shows its own masks, their IoU after resizing).

    Each holds a letter F, which no flip or turn leaves as it is, off the centre and in
    another place in each, and has gone through the view as if it had been stored.
    """
    split = experiment.splits["train"]
    view = dataclasses.replace(experiment.parts.view, pixel_size=0.0)
    top = np.iinfo(np.dtype(experiment.card["dtype"])).max
    label, channels = len(split.classes) - 1, experiment.card["channels"]
    letter = np.array([[c == "#" for c in row] for row in _GLYPH])
    places = itertools.product((0.05, 0.3, 0.18), (0.04, 0.34, 0.22, 0.12))
    views = []
    for k, (y, x) in zip(range(experiment.plan.batch_size), itertools.cycle(places)):
        height, width = split.sizes[k % len(split)]
        if view.fit == "crop":  # as large as a window: a batch has one size
            height, width = view.size
        mask = np.zeros((height, width), np.uint8)
        rows = (np.arange(height) / height - y) / _SIZE * letter.shape[0]
        columns = (np.arange(width) / width - x) / _SIZE * letter.shape[1]
        inside = np.ix_(
            (rows >= 0) & (rows < letter.shape[0]),
            (columns >= 0) & (columns < letter.shape[1]),
        )
        at = np.ix_(
            rows[inside[0][:, 0]].astype(int), columns[inside[1][0]].astype(int)
        )
        mask[inside] = letter[at] * label
        image = np.where(mask[..., None] > 0, top, 0).astype(experiment.card["dtype"])
        example = {"image": np.repeat(image, channels, -1), "mask": mask, "label": 1}
        views.append(view([example], 0))
    batch = {key: np.stack([v[key] for v in views]) for key in views[0]}
    middle = (batch["image"].max() + batch["image"].min().astype(int)) / 2
    white = batch["image"].mean(-1) > middle
    alike = _iou(white, batch["mask"] == label)
    kind = batch["image"].dtype
    batch["image"] = np.where(white[..., None], np.iinfo(kind).max, 0).astype(kind)
    batch["image"] = np.repeat(batch["image"], channels, -1)
    return batch, float(alike.min())
