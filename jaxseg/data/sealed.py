"""Seals a data card and the files beside it, and opens them only as they were sealed.

The card names every file of the prepared data set with its size, and those that are
small with their SHA-256; its own is that of everything else in it. The images and masks
have digests of their own (`content.py`). A data set of an earlier version has no seal
and is opened with less proved.
"""

import hashlib
import json
import pathlib
from typing import Any

from jaxseg.errors import DataError

CARD, INDEX = "card.json", "index.csv"
_WORDS = (".csv", ".json")  # suffixes of small files, which get a SHA-256
_NEEDED = ("name", "classes", "channels", "dtype", "splits", "split_hash", "extra")
_AGAIN = "prepare the data set again, or copy it again from where it is whole."


def seal(card: dict[str, Any], directory: pathlib.Path) -> dict[str, Any]:
    """The card with `files` and `sha256`, for the files that are in `directory` now."""
    files = {}
    for path in sorted(directory.iterdir()):
        if path.is_file() and path.name != CARD:
            files[path.name] = {"bytes": path.stat().st_size}
            if path.suffix in _WORDS:
                files[path.name]["sha256"] = _sha256(path.read_bytes())
    sealed = json.loads(json.dumps(card | {"files": files}))
    return sealed | {"sha256": _of_card(sealed)}


def open_card(directory: str | pathlib.Path) -> dict[str, Any]:
    """The data card; DataError where there is none, or it is not as it was written."""
    path = pathlib.Path(directory) / CARD
    if not path.is_file():
        raise DataError(
            f"{directory} holds no prepared data set (card.json is missing); "
            "make it with: python -m jaxseg.prepare"
        )
    try:
        card = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{path} is damaged, it is no JSON ({error}); {_AGAIN}"
        ) from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    if not isinstance(card, dict) or any(key not in card for key in _NEEDED):
        raise DataError(f"{path} is damaged, it is no data card; {_AGAIN}")
    ours = {key: value for key, value in card.items() if key != "sha256"}
    if is_sealed(card) and card.get("sha256") != _of_card(ours):
        raise DataError(f"{path} was changed or is damaged; {_AGAIN}")
    return card


def is_sealed(card: dict[str, Any]) -> bool:
    """Whether the card can be checked: those of earlier versions cannot."""
    return not {"files", "content", "sha256"}.isdisjoint(card)


def read(directory: str | pathlib.Path, card: dict[str, Any], name: str) -> bytes:
    """A small file beside the card; DataError where it is not as it was sealed."""
    path = pathlib.Path(directory) / name
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}; {_AGAIN}") from error
    stored = card.get("files", {}).get(name)
    if stored and stored["sha256"] != _sha256(content):
        raise DataError(f"{path} was changed or is damaged; {_AGAIN}")
    return content


def check_files(directory: str | pathlib.Path, card: dict[str, Any]) -> None:
    """Raises DataError for a file that is missing, or of another size or SHA-256."""
    for name, stored in card.get("files", {}).items():
        path = pathlib.Path(directory) / name
        if "sha256" in stored:
            read(directory, card, name)
        elif not path.is_file():
            raise DataError(f"{path} is missing; {_AGAIN}")
        elif path.stat().st_size != stored["bytes"]:
            raise DataError(
                f"{path} has {path.stat().st_size} bytes, but had {stored['bytes']} "
                f"when it was written; {_AGAIN}"
            )


def damaged(what: str, error: Exception) -> DataError:
    """The DataError for a record or a file that cannot be read."""
    reason = " ".join(str(error).split()) or type(error).__name__
    return DataError(f"{what} is damaged ({reason}); {_AGAIN}")


def _of_card(card: dict[str, Any]) -> str:
    return _sha256(json.dumps(card, sort_keys=True).encode())


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
