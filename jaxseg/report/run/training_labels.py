"""Shows which labels a run was trained on, where that was a part of all pixels."""

import json
import pathlib
from collections.abc import Iterator
from typing import Any

from PIL import Image

from jaxseg.errors import DataError
from jaxseg.report import text
from jaxseg.report.blocks import (
    Block,
    Claim,
    columns,
    legend,
    pairs,
    paragraph,
    pictures,
    table,
)
from jaxseg.report.figures import Picture
from jaxseg.report.read import Run, pick
from jaxseg.report.text import number
from jaxseg.run_directory import files

_FOLDER = "supervision_examples"  # as jaxseg.train.label_pictures writes it


def blocks(run: Run) -> list[Block | None]:
    """Amount, balance and pictures of the labels; [] for a run on full masks."""
    budget = run["info"].get("supervision")
    if not budget:
        return []
    words = (
        "Training saw the labels of these pixels and of no others. They were drawn "
        "once, and are the same in every epoch, on every process and after a restart "
        "(`supervision.npz`). Validation and test have their full masks; the best "
        "epoch and the operating point were chosen on those of validation."
    )
    if "kinds" in budget:
        words = (
            "Training saw the masks of the negatives and of these positives; of every "
            "other positive it saw the image-level label alone. Which ones keep their "
            "masks was chosen once (`supervision.npz`). Validation and test have what "
            "the data set holds."
        )
    return [
        paragraph(words),
        columns([_budget(budget), _classes(run, budget)]),
        *_pictures(run["workdir"] / _FOLDER),
    ]


def _budget(budget: dict[str, Any]) -> Block:
    each = budget["per_image"]
    facts = [("kind", budget["options"]["name"])]
    options = {k: v for k, v in budget["options"].items() if k != "name"}
    facts += text.flat(options)
    spread = f"{number(each['min'], 'count')} to {number(each['max'], 'count')}"
    facts += [
        ("training images", number(budget["images"], "count")),
        ("distinct labelled pixels", number(budget["labelled_pixels"], "count")),
        ("share of all pixels", number(budget["share"], "percent")),
        ("labelled pixels an image", f"{number(each['mean'], 'plain')} ({spread})"),
    ]
    for kind, images in budget.get("kinds", {}).items():
        facts.append((kind.replace("_", " "), number(images, "count")))
    return pairs("Label budget", facts)


def _classes(run: Run, budget: dict[str, Any]) -> Block:
    """What was asked and labelled of each class, beside its share of full masks."""
    per_class, short = budget["per_class"], budget["short_images"]
    stored = pick(run["info"], "dataset", "splits", "train", "pixels") or []
    stored = stored if len(stored) == len(per_class) else [None] * len(per_class)
    whole, labelled = sum(filter(None, stored)), sum(per_class.values())
    rows = []
    for c, (name, pixels) in enumerate(per_class.items()):
        asked, full = _asked(budget["options"], c), stored[c]
        rows.append(
            [
                name,
                text.UNDEFINED if asked is None else number(asked, "count"),
                number(pixels, "count"),
                number(pixels / labelled if labelled else None, "percent"),
                number(full / whole if full is not None and whole else None, "percent"),
                number(short[name], "count") if name in short else text.UNDEFINED,
            ]
        )
    heads = ["Class", "Clicks asked an image", "Labelled pixels", "Share of them"]
    heads += ["Share of the full masks", "Images with too few"]
    note = (
        "Images with too few have fewer pixels of the class than clicks were asked "
        "for: all of them are labelled. Training did not see the full masks."
    )
    return table(heads, rows, title="Labels by class", note=note)


def _asked(options: dict[str, Any], c: int) -> int | None:
    if options["name"] != "clicks":
        return None
    return options["positive" if c else "negative"] * options.get("annotators", 1)


def _pictures(folder: pathlib.Path) -> list[Block | None]:
    """Training images with their labels marked; [] where a run wrote none."""
    index = folder / "index.json"
    if not index.is_file():
        return []
    try:
        listed = json.loads(index.read_text("utf-8"))
        drawn = [_picture(folder, k, e) for k, e in enumerate(listed["examples"])]
        entries = [
            {"colour": each["colour"], "words": f"{each['mark']}: {each['class']}"}
            for each in listed["legend"]
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{index} does not list pictures: {error!r}.") from error
    return [legend(entries), pictures(drawn)]


def _picture(folder: pathlib.Path, k: int, example: dict[str, Any]) -> Picture:
    path = folder / example["labels"]
    pixels = ", ".join(
        f"{name} {number(n, 'count')}" for name, n in example["pixels"].items()
    )
    files.check_regular(path)
    try:
        png = path.read_bytes()
        with Image.open(path) as image:
            width, height = image.size
    except OSError as error:
        raise DataError(f"{path} cannot be read as a picture: {error}.") from error
    return {
        "name": f"labels_{k}",
        "png": png,
        "svg": None,
        "alt": f"Labelled pixels of {example['id']}",
        "caption": f"Training image `{example['id']}`, labelled pixels: {pixels}.",
        "width": width,
        "height": height,
    }


def claims(run: Run) -> Iterator[Claim]:
    """Had every training image the labels that were asked for?"""
    short = pick(run["info"], "supervision", "short_images")
    if not short:
        return
    images = run["info"]["supervision"]["images"]
    lacking = [f"{name} in {n:,} of {images:,}" for name, n in short.items() if n]
    if lacking:
        words = "NOT every training image has as many pixels of a class as clicks were "
        words += f"asked for: fewer of {', '.join(lacking)}. All it has are labelled."
        yield Claim(answer="no", text=words)
    else:
        words = "Every training image has as many labelled pixels of each class as "
        yield Claim(answer="yes", text=f"{words}clicks were asked for.")
