"""Shows the data card and its splits, and what of them was fed and weighed."""

from typing import Any

import numpy as np

from jaxseg.report import class_numbers, derived_numbers, text
from jaxseg.report.blocks import Block, code, columns, folded, pairs, table
from jaxseg.report.read import Run, pick
from jaxseg.report.text import number


def blocks(run: Run) -> list[Block | None]:
    """The data card, its splits, and which classes were fed and weighed how much."""
    card = run["info"].get("dataset") or {}
    refused, more = card.get("refused") or [], _more(card)
    listed = "\n".join(f"{r.get('file')}: {r.get('reason')}" for r in refused)
    return [
        splits(card),
        columns([pairs("Data card", _facts(card)), balance(run)]),
        class_balance(run),
        image_class_balance(run),
        class_weights(run),
        folded("More of the data card", [pairs("", more)]) if more else None,
        folded("Refused files", [code(listed)]) if refused else None,
    ]


def _facts(card: dict[str, Any]) -> list[tuple[str, str]]:
    sizes = card.get("sizes") or {}
    smallest, largest = (
        " x ".join(number(s, "count") for s in sizes.get(key) or []) or text.UNDEFINED
        for key in ("min", "max")
    )
    distinct = number(sizes.get("distinct"), "count")
    keys = ("name", "version", "created", "source", "classes", "channels", "dtype")
    facts = [(k, text.plain(card[k])) for k in keys if k in card]
    span = f"{smallest} to {largest} (height x width), {distinct} distinct"
    facts += [("sizes", span), ("split rule", text.plain(card.get("split_rule")))]
    refused = card.get("refused") or []
    return [*facts, ("refused files", number(len(refused), "count"))]


def _more(card: dict[str, Any]) -> list[tuple[str, str]]:
    """What only a data set of this kind says of itself."""
    return text.flat(card["extra"]) if card.get("extra") else []


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


def class_weights(run: Run) -> Block | None:
    """Training pixels of each class, and the weights that the losses took for it."""
    rows = derived_numbers.class_weights(run)
    if not rows:
        return None
    terms = list(rows[0]["used"])
    body = [
        [
            r["class"],
            number(r["pixels"], "count"),
            number(r["share"], "percent"),
            *(
                number(r["used"][name]) if r["pixels"] else "n/a (support 0)"
                for name in terms
            ),
        ]
        for r in rows
    ]
    heads = ["Class", "Training pixels", "Share", *(f"Weight in `{n}`" for n in terms)]
    title = "Class weights" if terms else "Training pixels by class"
    return table(heads, body, title=title, note=_weighed(run, terms))


def _weighed(run: Run, shown: list[str]) -> str:
    """How the losses of the run came by their class weights."""
    blocks = derived_numbers.weighing(run)
    if not blocks:
        return "No loss of the run weighs classes."
    listed = []
    for name, block in blocks.items():
        words = f"{name} by {text.plain(block['class_weights'])}"
        if cap := block.get("class_weight_cap"):
            words += f", at most {cap:g} apart"
        listed.append(words + ("" if name in shown else " (numbers not recorded)"))
    return f"The losses of the run weigh classes: {'; '.join(listed)}."
