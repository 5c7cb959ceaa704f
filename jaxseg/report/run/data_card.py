"""Tables of the data card: splits, sampling, class weights."""

from typing import Any

import numpy as np

from jaxseg.report import class_numbers, derived_numbers, text
from jaxseg.report.blocks import Block, table
from jaxseg.report.read import Run, pick
from jaxseg.report.text import number


def splits(card: dict[str, Any]) -> Block | None:
    """Images, positives, groups and pixels of every split of the data card."""
    rows, bare = [], False
    for name, split in (card.get("splits") or {}).items():
        bare |= bool(split.get("label_only_images"))
        pixels = split.get("pixels") or []
        share = sum(pixels[1:]) / sum(pixels) if sum(pixels) else None
        images, positives = split.get("images"), split.get("positives")
        part = positives / images if images and positives is not None else None
        digest = pick(card, "split_hash", name)
        rows.append(
            [
                name,
                number(images, "count"),
                (number(positives, "count"), number(part, "percent")),
                number(split.get("groups"), "count"),
                number(share, "percent"),
                number(split.get("ignored_pixels"), "count"),
                number(split.get("unlabelled_images"), "count"),
                f"`{digest[:12]}`" if digest else "not recorded",
            ]
        )
    heads = ["Split", "Images", "Positive", "Groups", "Foreground pixels"]
    heads += ["Ignored pixels", "Unlabelled images", "Split hash"]
    if bare:  # labels of pixels and labels of images are two amounts
        columns = ("labelled_images", "label_only_images")
        for row, split in zip(rows, card["splits"].values(), strict=True):
            row[-1:-1] = [number(split.get(key), "count") for key in columns]
        heads[-1:-1] = ["Images with a label", "Of them without a mask"]
    return table(heads, rows, title="Splits as stored") if rows else None


def balance(run: Run) -> Block | None:
    """Share of positive training images as stored, asked for, and fed."""
    train = pick(run["info"], "dataset", "splits", "train") or {}
    images, positives = train.get("images"), train.get("positives")
    stored = positives / images if images and positives is not None else None
    rows = [["as stored", number(stored, "percent")]]
    shares = derived_numbers.shares(run)
    if shares:
        epochs = text.plural(shares["epochs"], "epoch")
        rows += [
            ["target, first epoch", number(shares["first"], "percent")],
            ["target, last epoch", number(shares["last"], "percent")],
            [f"realised over {epochs}", number(shares["realised"], "percent")],
            ["largest gap of an epoch", number(shares["worst_gap"], "percent")],
        ]
    heads = ["Share of positive training images", "Value"]
    return table(heads, rows, title="Sampling, before and after")


def class_balance(run: Run) -> Block | None:
    """What part of the draws was for each class, and how many images showed it."""
    names = derived_numbers.classes(derived_numbers.main_split(run))
    parts = pick(run["info"], "sampler", "class_parts") or []
    shown = class_numbers.history(run, "share_realised")
    if not parts:
        return None
    rows = []
    for c, name in enumerate(["no foreground", *names[1:]]):
        first, last = (number(part[c], "percent") for part in (parts[0], parts[-1]))
        realised = float(np.mean(shown[name][1])) if name in shown else None
        rows.append([name, first, last, number(realised, "percent")])
    heads = [
        "Class",
        "Drawn for it, first epoch",
        "Last epoch",
        "Fed images that show it",
    ]
    note = (
        "An image that shows several classes is drawn for one of them and shows them "
        "all, so at least as many images show a class as were drawn for it, unless "
        "windows (`data.fit` crop) or warps cut it off."
    )
    return table(heads, rows, title="Sampling by class", note=note)


def image_class_balance(run: Run) -> Block | None:
    """Images of each class of whole images as stored, drawn for it, and fed."""
    whole = pick(run["info"], "dataset", "image_classes") or {}
    names, counts = whole.get("names") or [], pick(whole, "images", "train")
    if not names or not counts:
        return None
    parts = pick(run["info"], "sampler", "image_class_parts") or []
    shown = class_numbers.history(run, "image_share_realised")
    rows = []
    for m, (name, (shows, no, unknown)) in enumerate(zip(names, counts, strict=True)):
        total = shows + no + unknown
        part = shows / total if total else None
        realised = float(np.mean(shown[name][1])) if name in shown else None
        rows.append(
            [
                name,
                (number(shows, "count"), number(part, "percent")),
                number(unknown, "count"),
                number(parts[m + 1], "percent") if parts else "as stored",
                number(realised, "percent"),
            ]
        )
    heads = ["Class of images", "Training images", "Unknown", "Drawn for it"]
    heads += ["Fed images of it"]
    return table(heads, rows, title="Classes of whole images")


def class_weights(card: dict[str, Any], config: dict[str, Any]) -> Block | None:
    """Class weights of the data card, and what the losses of the run took."""
    rows = [
        [
            r["class"],
            number(r["pixels"], "count"),
            number(r["share"], "percent"),
            number(r["stored"]) if r["pixels"] else "n/a (support 0)",
            number(r["expected"]) if r["pixels"] else "n/a (support 0)",
        ]
        for r in derived_numbers.class_weights(card)
    ]
    heads = [
        "Class",
        "Training pixels",
        "Share",
        "Weight in the data card",
        "N / (K n)",
    ]
    note = (
        "N labelled training pixels, K classes, n pixels of the class. "
        f"{_used(config.get('loss') or {})}"
    )
    title = "Class weights"
    return table(heads, rows, title=title, note=note) if rows else None


def _used(losses: dict[str, Any]) -> str:
    """Says what `class_weights` of the losses of the run are."""
    blocks = {name: block for name, block in losses.items() if block.get("weight")}
    used = [
        f"{name} by {text.plain(block['class_weights'] or 'none')}"
        + (f", at most {cap:g} apart" if (cap := block.get("class_weight_cap")) else "")
        for name, block in blocks.items()
        if "class_weights" in block
    ]
    if not used:
        return "No loss of the run weighs classes."
    return f"The losses of the run weigh classes: {'; '.join(used)}."
