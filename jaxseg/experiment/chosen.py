"""Reads the fields of the part that a block of the config names."""

from typing import Any

from ml_collections import ConfigDict


def fields(block: ConfigDict) -> dict[str, Any]:
    """The fields of the model, or sampler, that its block names.

    They are a block of that name, or `fields` for a module of the user's own.
    """
    key = "fields" if "." in block.name else block.name
    return block[key].to_dict() if key in block else {}
