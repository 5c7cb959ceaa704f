"""Deals the images of a prepared data set out to folds, each of which is tested once.

Of n folds, member k tests on fold k, chooses its best step, its threshold and all else
on fold (k + 1) mod n, and trains on the others: no image has a part in the model that
scores it (Stone, 1974, https://doi.org/10.1111/j.2517-6161.1974.tb00994.x). The data is
stored once; a fold is a view of it. Groups, strata and seed are those of the splits
that were dealt when the data set was prepared.
"""

import collections
import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from jaxseg.data import content, joined_split, prepared
from jaxseg.data.files.listing import SPLITS
from jaxseg.data.preparation import card as data_card
from jaxseg.data.preparation import class_checks, splits, strata
from jaxseg.errors import ConfigError

POOLED = "out_of_fold"  # the split of all images that are tested
_SEALS = ("files", "sha256", content.WITHOUT_OBJECTS)  # of a card, not of a view of it


def open_splits(
    directory: str | pathlib.Path, *, folds: int, fold: int
) -> dict[str, prepared.Split]:
    """The training, validation and test split of member `fold` of `folds`.

    Without folds (0) they are those that were stored. Raises ConfigError where the data
    brought splits of its own, has fewer groups than folds, or where a class would be
    missing from the training images of any member.
    """
    if not folds:
        return {name: prepared.open_split(directory, name) for name in SPLITS}
    dealt = _deal(directory, folds)
    _check_classes(dealt, folds)
    names = _names(dealt.fold, folds, fold, dealt.groups)
    card = _card(dealt, names) | {
        "split_rule": f"fold {fold} of {folds} (counted from 0) is for test, fold "
        f"{(fold + 1) % folds} for validation; {dealt.rule}",
    }
    extra = {"folds": folds, "fold": fold, "folds_seed": dealt.seed}
    card["extra"] = card["extra"] | extra
    return {name: _view(dealt, name, names == name, card) for name in SPLITS}


def open_pooled(
    directory: str | pathlib.Path, *, folds: int
) -> joined_split.JoinedSplit:
    """All images that the members of `folds` folds test, as one split.

    `card["extra"]["fold_of"]` names the fold of each id. Raises ConfigError where the
    data brought splits of its own or has fewer groups than folds.
    """
    dealt = _deal(directory, folds)
    chosen = dealt.fold >= 0
    names = np.where(chosen, POOLED, "")
    card = _card(dealt, names) | {"split_rule": dealt.rule}
    ids = [row["id"] for row in dealt.rows]
    fold_of = dict(zip(ids, dealt.fold.tolist(), strict=True))
    fold_of = {name: fold for name, fold in fold_of.items() if fold >= 0}
    extra = {"folds": folds, "folds_seed": dealt.seed, "fold_of": fold_of}
    extra["unlabelled"] = sorted(set(ids) - fold_of.keys())
    card["extra"] = card["extra"] | extra
    return _view(dealt, POOLED, chosen, card)


@dataclasses.dataclass(frozen=True, eq=False)
class _Dealt:
    """All n images of a data set with their folds."""

    card: dict[str, Any]
    parts: list[prepared.Split]
    places: np.ndarray  # i64 [n, 2]
    rows: list[dict]  # of index.csv, in the same order
    groups: list[str]
    fold: np.ndarray  # i64 [n]; -1: nothing of the image is labelled: no test
    rule: str
    seed: int


def _deal(directory: str | pathlib.Path, folds: int) -> _Dealt:
    card = prepared.read_card(directory)
    if not splits.are_dealt(card["split_rule"]):
        raise ConfigError(
            f"config.folds is {folds}, but {directory} brought splits of its own (its "
            f"split rule: {card['split_rule']}): set config.folds=0 to use them, or "
            "take them out, so that folds can be dealt: no folders train, validation "
            "and test, and no split in splits.csv, whose groups may stay."
        )
    parts = [prepared.open_split(directory, name) for name in SPLITS]
    places = [(k, i) for k, part in enumerate(parts) for i in range(len(part))]
    by_place = {(r["split"], r["position"]): r for r in prepared.index_rows(directory)}
    rows = [by_place[SPLITS[k], i] for k, i in places]
    groups = [row["group"] for row in rows]
    options = card["extra"].get("options") or {}
    seed = int(options.get("seed", 0))
    tested = np.array([_is_labelled(row) for row in rows])
    if (count := len({groups[i] for i in np.flatnonzero(tested)})) < folds:
        raise ConfigError(
            f"config.folds is {folds}, but {directory} has labelled images of {count} "
            "groups (patients, slides; an image without one is its own), and a group "
            "is never divided: "
            + (f"set it to at most {count}." if count > 2 else "folds need 3 or more.")
        )
    fold = np.full(len(rows), -1)
    stratum, what = _strata(rows, card, options)
    fold[tested] = assign(
        [groups[i] for i in np.flatnonzero(tested)],
        *_areas([rows[i] for i in np.flatnonzero(tested)], len(card["classes"])),
        folds=folds,
        seed=seed,
        strata=None if stratum is None else stratum[tested],
    )
    rule = f"{folds} folds by group, stratified by {what}, seed {seed}"
    order = np.array(places)
    return _Dealt(card, parts, order, rows, groups, fold, rule, seed)


def assign(
    groups: Sequence[str],
    labels: Sequence[int],
    areas: Sequence[float],
    *,
    folds: int,
    seed: int,
    strata: Sequence[int] | None = None,
) -> Int[np.ndarray, "n"]:
    """The fold of every image, one group in one fold, as `splits.assign` deals.

    A pure function; the order of the images does not matter. Raises DataError when
    there are fewer groups than folds.
    """
    shares = {str(k): 1 / folds for k in range(folds)}
    dealt = splits.assign(
        groups, labels, areas, shares=shares, seed=seed, strata=strata
    )
    return np.array(dealt).astype(int)


def _is_labelled(row: Mapping[str, Any]) -> bool:
    """Whether there is anything to score an image by: a pixel, or a label of it."""
    whole = any(row[key] >= 0 for key in row if key[0] == "i" and key[1:].isdigit())
    return not class_checks.is_bare(row) or row["label"] >= 0 or whole


def _areas(rows: Sequence[dict], classes: int) -> tuple[list[int], list[float]]:
    """(kind, share of foreground) of each: 0 negative, 1 with a mask, 2 without one.

    A positive without a mask counts as the mean of those that have one.
    """
    front = [sum(row[f"c{k}"] for k in range(1, classes)) for row in rows]
    labelled = [row["height"] * row["width"] - row["ignored"] for row in rows]
    shares = [a / b if b else 0.0 for a, b in zip(front, labelled, strict=True)]
    bare = [class_checks.is_bare(row) and row["label"] > 0 for row in rows]
    masked = [share for share in shares if share > 0]
    mean = float(np.mean(masked)) if masked else 1.0
    pairs = list(zip(shares, bare, strict=True))
    kinds = [2 if without else int(share > 0) for share, without in pairs]
    return kinds, [mean if without else share for share, without in pairs]


def _strata(
    rows: Sequence[dict], card: Mapping[str, Any], options: Mapping[str, Any]
) -> tuple[Int[np.ndarray, "n"] | None, str]:
    """(the stratum of each image, or None for bins of its foreground; in words)."""
    whole = (card.get("image_classes") or {}).get("names") or []
    wanted = options.get("stratify", "auto")
    if wanted == "auto" and whole:
        wanted = "image_classes"
    elif wanted == "auto":
        wanted = "classes" if len(card["classes"]) > 2 else "foreground"
    if wanted == "objects":
        bins = strata.edges(options.get("object_bins", strata.BINS_OPTION))
        counts = [row.get("objects", 0) for row in rows]
        return strata.by_objects(counts, bins), "objects an image"
    if wanted == "image_classes":
        shown = np.pad(_image_classes_shown(rows, len(whole)), ((0, 0), (1, 0)))
        return strata.by_rarest_class(shown), "the rarest class of images"
    if wanted == "classes":
        shown = _classes_shown(rows, len(card["classes"]))
        return strata.by_rarest_class(shown), "the rarest class shown"
    return None, "foreground"


def _classes_shown(rows: Sequence[dict], classes: int) -> Bool[np.ndarray, "n k"]:
    """The classes of pixels that an image shows; a label stands for a mask it lacks."""
    shown = np.array([[row[f"c{k}"] > 0 for k in range(classes)] for row in rows])
    for row, has in zip(rows, shown, strict=True):
        if 0 < row["label"] < classes:
            has[row["label"]] = True
    return shown


def _image_classes_shown(rows: Sequence[dict], count: int) -> Bool[np.ndarray, "n m"]:
    return np.array([[row[f"i{m}"] == 1 for m in range(count)] for row in rows])


def _names(fold: np.ndarray, folds: int, member: int, groups: list[str]) -> np.ndarray:
    """The split of each image for one member; "" = left out.

    An image without any label trains, unless its group does not.
    """
    validation = (member + 1) % folds
    names = np.full(len(fold), "train", dtype="<U10")
    names[fold == member], names[fold == validation] = "test", "validation"
    home = {g: f for g, f in zip(groups, fold.tolist(), strict=True) if f >= 0}
    for i in np.flatnonzero(fold < 0):
        if home.get(groups[i]) in (member, validation):
            names[i] = ""
    return names


def _check_classes(dealt: _Dealt, folds: int) -> None:
    """ConfigError where a member would train on no image of a class of the data."""
    names = list(dealt.card["classes"])
    shown = _classes_shown(dealt.rows, len(names))
    whole = (dealt.card.get("image_classes") or {}).get("names") or []
    kinds = [("class", name, shown[:, k]) for k, name in enumerate(names)]
    if whole:
        of_images = _image_classes_shown(dealt.rows, len(whole))
        kinds += [("class of images", n, of_images[:, m]) for m, n in enumerate(whole)]
    for member in range(folds):
        train = _names(dealt.fold, folds, member, dealt.groups) == "train"
        for kind, name, shows in kinds:
            if shows.any() and not shows[train].any():
                where = np.flatnonzero(shows)
                count = len({dealt.groups[i] for i in where})
                raise ConfigError(
                    f"config.folds is {folds}, but the {kind} {name!r} is shown by "
                    f"{len(where)} images of {count} groups alone, and member fold"
                    f"{member}, which tests fold {member} and validates on fold "
                    f"{(member + 1) % folds}, would train without it: give more images "
                    "that show it, or take the class out of the data."
                )


def _card(dealt: _Dealt, names: np.ndarray) -> dict[str, Any]:
    """The data card of the images as these splits have them."""
    card = {k: v for k, v in dealt.card.items() if k not in _SEALS}
    rows = [
        row | {"split": str(name)}
        for row, name in zip(dealt.rows, names, strict=True)
        if name
    ]
    of: dict[str, list[dict]] = collections.defaultdict(list)
    for row in rows:
        of[row["split"]].append(row)
    classes = len(card["classes"])
    columns = ([row[key] for row in rows] for key in ("id", "group", "split"))
    card["splits"] = {n: data_card.split_summary(r, classes) for n, r in of.items()}
    card["split_hash"] = {n: data_card.split_hash(r) for n, r in of.items()}
    if "content" in card:
        card["content"] = {n: data_card.content_of(r) for n, r in of.items()}
    if "train" in of:
        pixels = card["splits"]["train"]["pixels"]
        card["class_weights"] = data_card.class_weights(pixels)
    if whole := card.get("image_classes"):
        named = class_checks.ImageClasses(whole["names"], whole["exclusive"], {})
        card |= class_checks.described(named, rows)
    card["extra"] = card["extra"] | {"splits_sha256": splits.table(*columns)[1]}
    return card


def _view(
    dealt: _Dealt, name: str, chosen: np.ndarray, card: dict
) -> joined_split.JoinedSplit:
    """The chosen images as a split, in the order of their ids."""
    where = np.flatnonzero(chosen)
    where = np.array(sorted(where, key=lambda i: dealt.rows[i]["id"]), int)
    parts = dealt.parts

    def joined(key: str) -> Any:
        values = [getattr(part, key) for part in parts]
        if any(value is None for value in values):
            return None
        if isinstance(values[0], np.ndarray):
            return np.concatenate(values)[where]
        every = [one for value in values for one in value]
        return [every[i] for i in where]

    keys = ("ids", "groups", "labels", "sizes", "pixels", "pixel_sizes", "digests")
    keys += ("image_classes", "orientations")
    return joined_split.JoinedSplit(
        directory=parts[0].directory,
        name=name,
        card=card,
        **{key: joined(key) for key in keys},
        parts=tuple(parts),
        places=dealt.places[where],
    )
