"""Tables of the data card: splits, sampling, class weights."""

from typing import Any

from jaxseg.report import derived_numbers, text
from jaxseg.report.blocks import Block, table
from jaxseg.report.read import Run, pick
from jaxseg.report.text import number


def splits(card: dict[str, Any]) -> Block | None:
    """Images, positives, groups and pixels of every split of the data card."""
    rows = []
    for name, split in (card.get("splits") or {}).items():
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


def class_weights(card: dict[str, Any]) -> Block | None:
    """Class weights beside the training pixels they come from."""
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
    heads = ["Class", "Training pixels", "Share", "Stored weight", "N / (K n)"]
    note = "N labelled training pixels, K classes, n pixels of the class."
    title = "Class weights"
    return table(heads, rows, title=title, note=note) if rows else None
