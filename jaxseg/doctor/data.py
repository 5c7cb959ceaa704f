"""Checks what the card and the index of a prepared data set say; no image is read.

What "the original" did wrong in each is told in the tests, tests/doctor/.
"""

import numpy as np

from jaxseg.doctor.case import ERROR, OK, WARNING, Case, Finding, few, share

_SIGMAS = 4  # a difference between shares that is no accident
_RATIO = 1.25  # and one that matters
_ROWS = 4  # classes that are listed


def _shown(split) -> np.ndarray:
    """bool [n, k]: what each mask shows, and the labels of images without a mask.

    A label beside a mask that shows nothing of it is no support: the mask was lost.
    """
    bare = split.pixels.sum(axis=1) == 0
    return (split.pixels > 0) | (split.present & bare[:, None])


def class_support(case: Case) -> Finding:
    """Every class has pixels in every split, or labels of images that name it."""
    splits = case.experiment.splits
    images = {name: _shown(s).sum(0) for name, s in splits.items()}
    classes, absent = splits["train"].classes, splits["train"].absent
    told = [s.pixels.any() or (s.labels >= 0).any() for s in splits.values()]
    if splits["train"].image_classes is not None and not any(told):
        return Finding(
            WARNING,
            "no pixel of any image is labelled, only classes of whole images are",
            "what is scored by the pixel is n/a, and masks are not learned",
            "train a classifier, or draw a few masks, in validation and test first",
        )
    missing = {
        name: [
            c
            for c, n in zip(classes, counts, strict=True)
            if n == 0 and c not in absent
        ]
        for name, counts in images.items()
    }
    empty = [name for name, counts in images.items() if not counts[1:].any()]
    order = np.argsort(sum(counts[1:] for counts in images.values()))[:_ROWS] + 1
    observed = "images with " + "; ".join(
        f"{classes[k]}: "
        + ", ".join(
            f"{images[name][k]} of {len(split)} in {name}"
            for name, split in splits.items()
        )
        for k in order
    )
    if absent:
        observed += f"; declared absent: {few(absent)}"
    if empty or missing["train"]:
        lost = [f"no foreground at all in {name}" for name in empty]
        if missing["train"]:
            lost += [f"no {few(missing['train'])} in train"]
        return Finding(
            ERROR,
            f"{'; '.join(lost)} ({observed})",
            "nothing is learned or measured without a pixel of it, and a score over "
            "empty masks alone says nothing",
            "look at the masks (are they where the data set expects them, with the "
            "right values?) and at the rule that made the splits",
        )
    bare = {
        name: [
            c
            for c, n, shown in zip(classes, s.pixels.sum(0), images[name], strict=True)
            if shown and not n
        ]
        for name, s in splits.items()
    }
    if any(bare.values()):
        lost = [f"{name}: {few(c)} in no mask" for name, c in bare.items() if c]
        return Finding(
            WARNING,
            f"{'; '.join(lost)}, only in labels of images ({observed})",
            "of these classes a label says whether they are there, and nothing says "
            "where: what is scored by the pixel is n/a",
            "draw a few masks, in validation and test first",
        )
    lost = [f"{name}: no {few(m)}" for name, m in missing.items() if m]
    if lost:
        return Finding(
            WARNING,
            f"{'; '.join(lost)} ({observed})",
            "its score there is n/a and enters no mean",
            "give the split images of the class, or merge or remove the class",
        )
    return Finding(OK, observed)


def prevalence(case: Case) -> Finding:
    """The share of positives is that of the real world in what is scored."""
    splits, expected = case.experiment.splits, case.options["prevalence"]
    counts = {n: (int(s.positive.sum()), len(s)) for n, s in splits.items()}
    observed = "positive images: " + ", ".join(
        f"{share(p, n)} in {name}" for name, (p, n) in counts.items()
    )
    if expected < 0:
        other = sum(p for p, _ in counts.values()) / sum(n for _, n in counts.values())
        odd = [name for name, c in counts.items() if _differs(*c, other)]
        if odd:
            return Finding(
                WARNING,
                observed,
                f"{few(odd)} differs by more than chance: a split that was resampled "
                "gives precision and thresholds that do not hold elsewhere",
                "make the splits first and balance in training only (config.sampler)",
            )
        return Finding(OK, observed)
    odd = [n for n in ("validation", "test") if _differs(*counts[n], expected)]
    observed += f"; in use {share(expected, 1)}"
    if odd:
        return Finding(
            ERROR,
            observed,
            f"{few(odd)} differs by more than chance, as if images had been left out "
            "or repeated before the split: precision, average precision and the "
            "threshold will not hold where the model is used",
            "prepare all images and balance in training only (config.sampler), or "
            "set config.doctor.prevalence to the share where the model is used",
        )
    return Finding(OK, observed)


def _differs(count: int, of: int, wanted: float) -> bool:
    """Beyond chance, and by enough to matter."""
    part = count / max(of, 1)
    noise = _SIGMAS * (wanted * (1 - wanted) / max(of, 1)) ** 0.5 + 1 / max(of, 1)
    high, low = max(part, wanted), max(min(part, wanted), 1e-9)
    return abs(part - wanted) > noise and high / low > _RATIO


def label_values(case: Case) -> Finding:
    """Masks hold class ids: not 0 and 255, not two ids for one class, not one only."""
    splits, wrong = case.experiment.splits, []
    classes = splits["train"].classes
    used = [
        k
        for k in range(len(classes))
        if any(s.present[:, k].any() for s in splits.values())
    ]
    if len(used) < 2:
        wrong.append(f"of {len(classes)} classes only {few(classes[k] for k in used)}")
    for name, split in splits.items():
        ignored = split.sizes.prod(1) - split.pixels.sum(1)
        fore = split.pixels[:, 1:].sum(1)
        lost = (split.pixels[:, 0] > 0) & (fore == 0) & (ignored > 0)
        half = lost & (ignored >= 0.02 * split.sizes.prod(1)) & (split.labels != 0)
        if half.sum() > 0.2 * len(split) and not (ignored[fore > 0] > 0).any():
            wrong.append(
                f"{half.sum()} of {len(split)} masks of {name} hold 0 and 255 only "
                f"({few(split.ids[i] for i in np.flatnonzero(half)[:4])})"
            )
        against = ((split.labels == 0) & (fore > 0)) | (
            (split.labels > 0) & (fore == 0) & (ignored == 0)
        )
        if against.any():
            wrong.append(
                f"{against.sum()} masks of {name} contradict the label of their image "
                f"({few(split.ids[i] for i in np.flatnonzero(against))})"
            )
    wrong += _scanned(case, len(classes))
    if wrong:
        return Finding(
            ERROR,
            "; ".join(wrong),
            "255 means 'not labelled' and counts nowhere: in a mask of 0 and 255 the "
            "foreground would be invisible; a mask that its label contradicts was "
            "lost or belongs to another image",
            "store class ids 0, 1, 2 ...; for a folder of black and white masks set "
            "config.data.options.mask_format=binary",
        )
    unlabelled = 1 - sum(s.pixels.sum() for s in splits.values()) / sum(
        s.sizes.prod(1).sum() for s in splits.values()
    )
    return Finding(
        OK,
        f"{len(used)} of {len(classes)} classes in use, "
        f"{share(unlabelled, 1)} of the pixels not labelled" + _colours(case),
    )


def _colours(case: Case) -> str:
    """The colours of the masks with their shares of them; "" where none are named."""
    shades = case.experiment.card["extra"].get("colours")
    if not shades:
        return ""
    splits = case.experiment.splits.values()
    pixels = sum(s.pixels.sum(0) for s in splits)
    count = dict(zip(next(iter(splits)).classes, pixels, strict=True))
    masked = [s.sizes[s.pixels.any(1)] for s in splits]  # not the images without mask
    every = sum(int(sizes.prod(1).sum()) for sizes in masked)
    words = [
        f"{name} {','.join(map(str, rgb))} on "
        f"{share(count.get(name, every - sum(pixels)), every)}"
        for name, rgb in shades.items()
    ]
    return f"; colours of the masks: {', '.join(words)} of the pixels"


def _scanned(case: Case, classes: int) -> list[str]:
    """Values met in the masks themselves that are no class."""
    looks = case.scan() if case.scan else []
    odd = [look for look in looks if any(classes <= v < 255 for v in look.values)]
    values = sorted({v for look in odd for v in look.values if classes <= v < 255})
    if not odd:
        return []
    names = few(look.id for look in odd)
    return [f"{len(odd)} masks hold {few(values)}, which is no class ({names})"]


def unlabelled(case: Case) -> Finding:
    """What is scored is labelled, and most of what trains."""
    splits = case.experiment.splits
    no_pixel = {n: s.pixels.sum(1) == 0 for n, s in splits.items()}
    lost = {n: int((no_pixel[n] & (s.labels < 0)).sum()) for n, s in splits.items()}
    bare = {n: int(no_pixel[n].sum()) - lost[n] for n in splits}
    sizes = {name: len(split) for name, split in splits.items()}
    observed = "images without any label: " + ", ".join(
        f"{n} of {sizes[name]} in {name}" for name, n in lost.items()
    )
    if any(bare.values()):
        observed += "; with a label of the image and no labelled pixel: " + ", ".join(
            f"{n} of {sizes[name]} in {name}" for name, n in bare.items()
        )
    if lost["train"] == sizes["train"]:
        why, fix = "there is nothing to learn from", "label some training images"
        return Finding(ERROR, observed, why, fix)
    scored, bare_scored = (n["validation"] + n["test"] for n in (lost, bare))
    if bare_scored and not scored:
        return Finding(
            WARNING,
            observed,
            "an image without a labelled pixel counts in scores of images and in none "
            "of pixels, which rest on fewer images than the splits say",
            "draw the masks of validation and test first",
        )
    if scored or lost["train"] > 0.5 * sizes["train"]:
        return Finding(
            WARNING,
            observed,
            "they enter no score and no loss, so the numbers rest on fewer images "
            "than the splits say",
            "move them out of validation and test; lower their share in training "
            "if most steps see nothing labelled",
        )
    return Finding(OK, observed)


def group_leak(case: Case) -> Finding:
    """No image and no group (patient, slide) is in two splits."""
    splits = case.experiment.splits
    shared = {}
    for what, column in (("image", "ids"), ("group", "groups")):
        homes: dict[str, set[str]] = {}
        for name, split in splits.items():
            for key in getattr(split, column):
                homes.setdefault(key, set()).add(name)
        shared[what] = {k: sorted(v) for k, v in homes.items() if len(v) > 1}
        total = len(homes)
    for what, homes in shared.items():
        if homes:
            some = few(f"{k} in {' and '.join(v)}" for k, v in homes.items())
            return Finding(
                ERROR,
                f"{len(homes)} {what}(s) in two splits: {some}",
                "the model is scored on what it has seen, and a threshold is chosen "
                "on what is reported: the scores will look better than they are",
                "split by group (patient, slide), before anything is resampled",
            )
    return Finding(OK, f"{total} groups, each in one split")
