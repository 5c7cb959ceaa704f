"""Draws examples as image, truth, and prediction with its errors in colour."""

import io
import pathlib
from typing import Any

import numpy as np
from PIL import Image

from jaxseg.errors import DataError
from jaxseg.labels import IGNORE
from jaxseg.report import blocks, derived_numbers, text
from jaxseg.report.blocks import Block
from jaxseg.report.figures import Picture
from jaxseg.report.read import Split, pick

SIDE = 360  # longer side of a panel on the page
TRUTHS = ((86, 180, 233), (230, 159, 0), (204, 121, 167), (0, 158, 115), (240, 228, 66))
RIGHT, EXTRA, MISSED = (0, 158, 115), (230, 60, 20), (240, 228, 66)
UNLABELLED = (128, 128, 128)


def _entry(colour: tuple[int, int, int], words: str) -> dict[str, str]:
    return {"colour": f"#{bytes(colour).hex()}", "words": words}


ERRORS = [
    _entry(RIGHT, "green: right (TP)"),
    _entry(EXTRA, "red: too much (FP)"),
    _entry(MISSED, "yellow: missed (FN)"),
]
ROLES = {
    "best": "Best case",
    "median": "Median case",
    "worst": "Worst case",
    "false_positive": "False positive",
    "negative": "Clean negative",
}


def cases(split: Split) -> list[dict[str, Any]]:
    """Examples in reading order: {"title", "note", "panels", "strip", "role"}."""
    order = list(ROLES)
    ranked = sorted(
        split["cases"],
        key=lambda c: (
            order.index(c["role"]) if c["role"] in order else len(order),
            -(c["dice"] or 0),
        ),
    )
    return [_case(split, case, i) for i, case in enumerate(ranked, start=1)]


def highlights(split: Split, examples: list[dict[str, Any]]) -> list[Block]:
    """The predictions of the very best, a median and the very worst case, if any.

    Where a run has none of these roles, its first three cases.
    """
    by_role = {role: [c for c in examples if c["role"] == role] for role in ROLES}
    ends = by_role["best"][:1], by_role["median"][:1], by_role["worst"][-1:]
    chosen = [case for some in ends for case in some] or examples[:3]
    if not chosen:
        return []
    pictures = [
        case["panels"][2] | {"caption": f"{case['title']}, Dice {case['dice']}"}
        for case in chosen
    ]
    words = f"Images of {split['name']}. All cases are below, with their inputs and "
    return [
        blocks.side_by_side(pictures),
        blocks.legend(ERRORS),
        blocks.paragraph(f"{words}truths."),
    ]


def _case(split: Split, case: dict[str, Any], index: int) -> dict[str, Any]:
    image = _read(case["image"], "RGB")
    truth = _read(case["mask"], "L")
    prediction, rule = _predict(split, case)
    for name, array in (("mask", truth), ("probability", prediction)):
        if array.shape != image.shape[:2]:
            raise DataError(
                f"{case[name]} is {array.shape[0]}x{array.shape[1]} pixels, its image "
                f"{image.shape[0]}x{image.shape[1]}: evaluate the split again."
            )
    panels = [_fit(image), _truth(image, truth), _errors(image, truth, prediction)]
    role, case_id = ROLES.get(case["role"], text.label(case["role"])), case["id"]
    title = f"{role}: {case_id}"
    stem = f"{split['name']}_{index}_{case['role']}"
    words = ("input", "truth", "prediction")
    pictures = [
        _picture(f"{stem}_{word}", panel, f"{title}, {word}")
        for word, panel in zip(words, panels, strict=True)
    ]
    strip = _picture(stem, _side_by_side(panels), f"{title}: input, truth, prediction")
    return {
        "role": case["role"],
        "id": case_id,
        "title": title,
        "dice": text.number(case["dice"]),
        "note": _note(case, rule, int((prediction > 0).sum())),
        "panels": pictures,
        "strip": strip,
    }


def _predict(split: Split, case: dict[str, Any]) -> tuple[np.ndarray, str]:
    """Predicted class ids [h, w], and the rule that they follow."""
    if "prediction" in case:
        return _read(case["prediction"], "L"), "as scored"
    threshold = pick(split["result"], "operating_point", "threshold")
    cut = 0.5 if threshold is None else threshold
    probability = _read(case["probability"], "L") / 255
    prediction = (probability > cut).astype(np.uint8)
    if case.get("predicted_pixels") == 0:
        prediction[:] = 0  # removed by the minimum area
    return prediction, f"probability above {text.number(cut)}"


def _note(case: dict[str, Any], rule: str, pixels: int) -> str:
    scored = case.get("predicted_pixels")
    words = (
        f"Dice {text.number(case['dice'])}. "
        f"Truth {text.number(case.get('truth_pixels'), 'count')} pixels, "
        f"prediction {text.number(scored, 'count')} pixels ({rule})."
    )
    if scored is not None and scored != pixels:
        words += (
            f" Drawn: {text.number(pixels, 'count')} pixels, from the stored picture."
        )
    return words


def _read(path: pathlib.Path, mode: str) -> np.ndarray:
    try:
        with Image.open(path) as image:
            # palettes hold class ids: their indices, not their colours
            if not (mode == "L" and image.mode in ("L", "P")):
                image = image.convert(mode)
            return np.array(image)
    except (OSError, SyntaxError) as error:
        raise DataError(f"{path} cannot be read as a picture: {error}.") from error


def _size(shape: tuple[int, ...]) -> tuple[int, int]:
    scale = SIDE / max(shape[:2])
    return max(1, round(shape[1] * scale)), max(1, round(shape[0] * scale))


def _fit(image: np.ndarray) -> np.ndarray:
    size = _size(image.shape)
    return np.array(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))


def _paint(image: np.ndarray, layers: list[tuple[np.ndarray, tuple]]) -> np.ndarray:
    """The image, fitted, under half-transparent layers.

    Each layer is averaged over the pixels it covers, so that a thin line of a large
    image stays visible when the panel is smaller.
    """
    panel = _fit(image).astype(np.float32)
    for where, colour in layers:
        cover = Image.fromarray(where.astype(np.float32))
        cover = np.array(cover.resize(_size(image.shape), Image.Resampling.BOX))
        alpha = 0.6 * np.minimum(cover, 1.0)[..., None]
        panel += alpha * (np.array(colour, np.float32) - panel)
    return np.rint(panel).clip(0, 255).astype(np.uint8)


def _truth(image: np.ndarray, truth: np.ndarray) -> np.ndarray:
    classes = [int(c) for c in np.unique(truth) if c not in (0, IGNORE)]
    layers = [(truth == c, TRUTHS[(c - 1) % len(TRUTHS)]) for c in classes]
    return _paint(image, [*layers, (truth == IGNORE, UNLABELLED)])


def _errors(image: np.ndarray, truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    labelled = truth != IGNORE
    right = labelled & (prediction == truth) & (truth > 0)
    extra = labelled & (prediction > 0) & (prediction != truth)
    missed = labelled & (truth > 0) & (prediction == 0)
    layers = [(right, RIGHT), (extra, EXTRA), (missed, MISSED)]
    return _paint(image, [*layers, (~labelled, UNLABELLED)])


def _side_by_side(panels: list[np.ndarray]) -> np.ndarray:
    gap = np.full((panels[0].shape[0], 8, 3), 255, np.uint8)
    return np.concatenate([panels[0], gap, panels[1], gap, panels[2]], axis=1)


def _picture(name: str, panel: np.ndarray, alt: str) -> Picture:
    if (panel == panel[..., :1]).all():
        panel = panel[..., 0]  # grey: a third of the bytes
    data = io.BytesIO()
    Image.fromarray(panel).save(data, format="PNG")
    safe = "".join(c if c.isalnum() and c.isascii() else "_" for c in name)
    height, width = panel.shape[:2]
    return {
        "name": safe,
        "png": data.getvalue(),
        "svg": None,
        "alt": alt,
        "caption": "",
        "width": width,
        "height": height,
    }


def legend(split: Split) -> list[dict[str, str]]:
    """[{"colour", "words"}] of what the panels of a split may show."""
    names = derived_numbers.classes(split)[1:]
    truths = [_entry(TRUTHS[0], "truth")]
    if len(names) > 1:
        colours = [TRUTHS[i % len(TRUTHS)] for i in range(len(names))]
        truths = [_entry(c, f"truth, {n}") for c, n in zip(colours, names, strict=True)]
    unlabelled = [_entry(UNLABELLED, "grey: not labelled, counts nowhere")]
    ignored = split["result"].get("ignored_pixels")
    return [*truths, *ERRORS, *(unlabelled if ignored else [])]
