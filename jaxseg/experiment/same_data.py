"""Tells whether prepared data is still that of a run: by names, counts and pixels."""

import pathlib
from collections.abc import Mapping
from typing import Any

from absl import logging

from jaxseg.errors import DataError


def check(
    then: Mapping[str, Any],
    now: Mapping[str, Any],
    *,
    directory: str | pathlib.Path,
    advice: str,
) -> None:
    """Raises DataError where the data card `now` is not `then`, that of the run.

    A split has two hashes: `split_hash` of what the card counts, and `content` of the
    pixels of its images and masks. A card of before has no `content`; then one line
    says that the pixels were not compared.
    """
    changed = [
        f"{split} ({what})"
        for split in then.get("split_hash", {})
        if (what := _changed(then, now, split))
    ]
    if changed:
        raise DataError(
            f"the data in {directory} is not what the run was made with: "
            f"{', '.join(changed)} differ; {advice}"
        )
    blind = [
        split
        for split in then.get("split_hash", {})
        if None in (_content(then, split), _content(now, split))
    ]
    if blind:
        logging.info(
            "%s has no digest of the pixels of %s, here or in the run: only names, "
            "sizes and pixels of each class were compared.",
            directory,
            ", ".join(blind),
        )


def _changed(then: Mapping[str, Any], now: Mapping[str, Any], split: str) -> str:
    """What of a split differs, in words; "" where nothing does."""
    if now["split_hash"].get(split) != then["split_hash"][split]:
        return "names, sizes or pixels of a class"
    contents = _content(then, split), _content(now, split)
    if None not in contents and contents[0] != contents[1]:
        return "the pixels of images or masks"
    return ""


def _content(card: Mapping[str, Any], split: str) -> str | None:
    """SHA-256 of the pixels of a split; None in a card of before."""
    return card["splits"].get(split, {}).get("content")
