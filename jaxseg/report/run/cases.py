"""Draws examples as image, truth, and prediction with its errors in colour.

Of two classes the errors are painted upon the prediction. Of more, truth and prediction
have the colours of their classes, and the errors a panel and colours of their own.
"""

from typing import Any

import numpy as np
from PIL import Image

from jaxseg import pictures
from jaxseg.errors import DataError
from jaxseg.labels import IGNORE
from jaxseg.report import blocks, class_numbers, derived_numbers, text
from jaxseg.report.blocks import Block
from jaxseg.report.read import Split, pick
from jaxseg.report.run import panels

RIGHT, EXTRA, MISSED = (0, 158, 115), (230, 60, 20), (240, 228, 66)
UNLABELLED = (128, 128, 128)
NEAR = "Near the median"  # in place of the median itself
_ROUNDED = 1e-6  # two files may round one score


def _entry(colour: tuple[int, int, int], words: str) -> dict[str, str]:
    return {"colour": f"#{bytes(colour).hex()}", "words": words}


ERRORS = [
    _entry(RIGHT, "green: right (TP)"),
    _entry(EXTRA, "red: too much (FP)"),
    _entry(MISSED, "yellow: missed (FN)"),
]
ROLES = {
    "decision_false_positive": "Wrongly called positive",
    "decision_false_negative": "Wrongly called negative",
    "best": "Best case",
    "median": "Median case",
    "worst": "Worst case",
    "false_positive": "False positive",
    "negative": "Clean negative",
}


def cases(split: Split) -> list[dict[str, Any]]:
    """Examples in reading order: {"title", "note", "panels", "strip", "role"}."""
    order = list(ROLES)
    off = {id(case): _off_median(split, case) for case in split["cases"]}

    def within(case: dict[str, Any]) -> float:
        if _of_decision(case):
            return 0.0  # these come in their order
        return off[id(case)] if case["role"] == "median" else -(_dice(case) or 0)

    ranked = sorted(
        split["cases"],
        key=lambda c: (
            order.index(c["role"]) if c["role"] in order else len(order),
            within(c),
        ),
    )
    return [
        _case(split, case, i, called=NEAR if off[id(case)] else "")
        for i, case in enumerate(ranked, start=1)
    ]


def _off_median(split: Split, case: dict[str, Any]) -> float:
    """How far a case of the role "median" is from the median of images with foreground.

    0 of the median itself, of both that are in the middle of an even number, and of any
    other role.
    """
    if case["role"] != "median":
        return 0.0
    column = "dice" if case.get("worst_dice") is None else "worst_dice"
    values = [row.get(column) for row in split["images"] if row["positive"]]
    values = sorted(value for value in values if isinstance(value, float | int))
    if not values or _dice(case) is None:
        return 0.0
    low, high = values[(len(values) - 1) // 2], values[len(values) // 2]
    off = max(low - _dice(case), _dice(case) - high)
    return off if off > _ROUNDED else 0.0


def _of_decision(case: dict[str, Any]) -> bool:
    return case["role"].startswith("decision_")


def _dice(case: dict[str, Any]) -> float | None:
    return case["dice" if case.get("worst_dice") is None else "worst_dice"]


def highlights(split: Split, examples: list[dict[str, Any]]) -> list[Block]:
    """The predictions of the very best, a median and the very worst case, if any.

    Where a run has none of these roles, its first three cases.
    """
    by_role = {role: [c for c in examples if c["role"] == role] for role in ROLES}
    ends = by_role["best"][:1], by_role["median"][:1], by_role["worst"][-1:]
    chosen = [case for some in ends for case in some] or examples[:3]
    if not chosen:
        return []
    drawn = [
        case["panels"][2] | {"caption": f"{case['title']}, {case['score']}"}
        for case in chosen
    ]
    words = (
        f"Images of {split['name']}. {text.plural(len(examples), 'case')} of "
        f"{text.plural(split['result']['images'], 'image')} stand below, with their "
        "inputs and truths."
    )
    classes = _class_entries(split) if class_numbers.several(split) else ERRORS
    return [
        blocks.side_by_side(drawn),
        blocks.legend(classes),
        blocks.paragraph(words),
    ]


def _case(
    split: Split, case: dict[str, Any], index: int, called: str = ""
) -> dict[str, Any]:
    """One example; `called` is said in place of its role."""
    image = panels.read(case["image"], "RGB")
    truth = panels.read(case["mask"], "L")
    prediction, rule = _predict(split, case)
    for name, array in (("mask", truth), ("probability", prediction)):
        if array.shape != image.shape[:2]:
            raise DataError(
                f"{case[name]} is {array.shape[0]}x{array.shape[1]} pixels, its image "
                f"{image.shape[0]}x{image.shape[1]}: evaluate the split again."
            )
    shown = _panels(split, image, truth, prediction)
    role, case_id = ROLES.get(case["role"], text.label(case["role"])), case["id"]
    title = f"{called or role}: {case_id}"
    stem = f"{split['name']}_{index}_{case['role']}"
    if case.get("image_score") is not None:
        stem += f"_score_{case['image_score']:.3f}"
    drawn = [
        panels.picture(f"{stem}_{word}", panel, f"{title}, {word}")
        for word, panel in shown.items()
    ]
    listed = ", ".join(shown)
    whole = panels.side_by_side([*shown.values()])
    strip = panels.picture(stem, whole, f"{title}: {listed}")
    return {
        "role": case["role"],
        "id": case_id,
        "title": title,
        "score": _score(case),
        "note": _note(case, rule, int((prediction > 0).sum())),
        "words": [*shown],
        "panels": drawn,
        "strip": strip,
    }


def _predict(split: Split, case: dict[str, Any]) -> tuple[np.ndarray, str]:
    """Predicted class ids [h, w], and the rule that they follow."""
    if "prediction" in case:
        return panels.read(case["prediction"], "L"), "as scored"
    threshold = pick(split["result"], "operating_point", "threshold")
    cut = 0.5 if threshold is None else threshold
    probability = panels.read(case["probability"], "L") / 255
    prediction = (probability > cut).astype(np.uint8)
    if case.get("predicted_pixels") == 0:
        prediction[:] = 0  # removed by the minimum area
    return prediction, f"probability above {text.number(cut)}"


def _score(case: dict[str, Any]) -> str:
    """What the case is ranked by: the score of a decision, the Dice of a mask.

    Of several classes it is that of the worst one, where that is known.
    """
    if _of_decision(case):
        return f"Image score {text.number(case.get('image_score'))}"
    if case.get("worst_class"):
        dice = text.number(case.get("worst_dice"))
        return f"worst class {case['worst_class']}: Dice {dice}"
    return f"Dice {text.number(case['dice'])}"


def _note(case: dict[str, Any], rule: str, pixels: int) -> str:
    scored = case.get("predicted_pixels")
    words = f"{_score(case)}. "
    if case.get("image_score") is not None and not _of_decision(case):
        words += f"Image score {text.number(case['image_score'])}. "
    elif _of_decision(case) and case["dice"] is not None:
        words += f"Dice {text.number(case['dice'])}. "
    if case.get("worst_class"):
        words = f"W{words[1:]}Foreground of all classes: "
        words += f"Dice {text.number(case['dice'])}. "
    words += (
        f"Truth {text.number(case.get('truth_pixels'), 'count')} pixels, "
        f"prediction {text.number(scored, 'count')} pixels ({rule})."
    )
    if scored is not None and scored != pixels:
        words += (
            f" Drawn: {text.number(pixels, 'count')} pixels, from the stored picture."
        )
    return words


def _paint(
    image: np.ndarray, layers: list[tuple[np.ndarray, tuple]], strength: float = 0.6
) -> np.ndarray:
    """The image, fitted, under layers that cover it to a share of `strength`.

    Each layer is averaged over the pixels it covers, so that a thin line of a large
    image stays visible when the panel is smaller.
    """
    panel = panels.fit(image).astype(np.float32)
    for where, colour in layers:
        cover = Image.fromarray(where.astype(np.float32))
        cover = np.array(cover.resize(panels.size(image.shape), Image.Resampling.BOX))
        alpha = strength * np.minimum(cover, 1.0)[..., None]
        panel += alpha * (np.array(colour, np.float32) - panel)
    return np.rint(panel).clip(0, 255).astype(np.uint8)


def _panels(
    split: Split, image: np.ndarray, truth: np.ndarray, prediction: np.ndarray
) -> dict[str, np.ndarray]:
    """word -> panel u8 [h, w, 3], in reading order."""
    if not class_numbers.several(split):
        return {
            "input": panels.fit(image),
            "truth": _by_class(image, truth, truth),
            "prediction": _errors(image, truth, prediction),
        }
    areas = pictures.error_areas(truth, prediction)
    layers = [(area, pictures.ERRORS[name]) for name, area in areas.items()]
    layers.append((truth == IGNORE, UNLABELLED))
    grey = pictures.grey(image)  # the colours of classes are no others
    return {
        "input": panels.fit(image),
        "truth": _by_class(grey, truth, truth),
        "prediction": _by_class(grey, prediction, truth),
        "errors": _paint(pictures.pale(image), layers, strength=0.8),
    }


def _by_class(image: np.ndarray, ids: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Class ids [h, w] in colour, where the truth is known."""
    classes = [int(c) for c in np.unique(ids) if c not in (0, IGNORE)]
    colours = pictures.class_colours(max(classes, default=0))
    known = truth != IGNORE
    layers = [((ids == c) & known, colours[c - 1]) for c in classes]
    return _paint(image, [*layers, (~known, UNLABELLED)])


def _errors(image: np.ndarray, truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    labelled = truth != IGNORE
    right = labelled & (prediction == truth) & (truth > 0)
    extra = labelled & (prediction > 0) & (prediction != truth)
    missed = labelled & (truth > 0) & (prediction == 0)
    layers = [(right, RIGHT), (extra, EXTRA), (missed, MISSED)]
    return _paint(image, [*layers, (~labelled, UNLABELLED)])


def _class_entries(split: Split) -> list[dict[str, str]]:
    names = derived_numbers.classes(split)[1:]
    entries = []
    for i, colour in enumerate(pictures.class_colours(len(names))):
        known = i < len(pictures.NAMES)
        called = pictures.NAMES[i] if known else f"#{bytes(colour).hex()}"
        entries.append(_entry(colour, f"{called}: {names[i]}"))
    return entries


def legend(split: Split) -> list[dict[str, str]]:
    """[{"colour", "words"}] of what the panels of a split may show."""
    unlabelled = [_entry(UNLABELLED, "grey: not labelled, counts nowhere")]
    unlabelled = unlabelled if split["result"].get("ignored_pixels") else []
    if not class_numbers.several(split):
        return [_entry(pictures.CLASSES[0], "truth"), *ERRORS, *unlabelled]
    errors = [
        _entry(colour, f"errors, {pictures.ERROR_WORDS[name]}")
        for name, colour in pictures.ERRORS.items()
    ]
    return [*_class_entries(split), *errors, *unlabelled]


def order_in_words(split: Split) -> str:
    """By what the cases are called best, median and worst."""
    by = "Dice"
    if any(case.get("worst_class") for case in split["cases"]):
        by = "the Dice of the worst class that an image shows,"
    words = (
        f"From {split['name']}. Best, median and worst are by {by} among images with "
        "foreground."
    )
    if any(_of_decision(case) for case in split["cases"]):
        words += (
            " Before them the images of which the decision head is surest and wrong, "
            "at its frozen threshold."
        )
    return words
