"""Writes the weights of a run as safetensors, under published names or our own."""

import json
import pathlib
from typing import Any, NamedTuple

import numpy as np
import safetensors.numpy

from jaxseg import atomic
from jaxseg.errors import ConfigError
from jaxseg.weights import into_model, published_names

CHOICES = ("safetensors", "jaxseg")


class Weights(NamedTuple):
    """The weights of a model, and what one must know to use them."""

    variables: Any  # arrays of the host
    model: str  # its name in a config
    facts: dict[str, Any]  # kept in the metadata of the file


def arrays(weights: Weights, *, format: str) -> tuple[dict[str, np.ndarray], str]:
    """({name: array}, title of the names).

    "jaxseg": everything under its own names. "safetensors": under the published names
    of the model, as far as they go (of a U-Net, its encoder); a model that nobody else
    has keeps its own. Raises ConfigError for another format.
    """
    if format not in CHOICES:
        raise ConfigError(f"--format is {format!r}: choose one of {list(CHOICES)}.")
    own = format == "jaxseg"
    names = published_names.own() if own else published_names.published(weights.model)
    return into_model.collect(weights.variables, names), names.title


def write(
    path: pathlib.Path, named: dict[str, np.ndarray], facts: dict[str, Any]
) -> None:
    """Writes a safetensors file with `facts` as JSON in its metadata.

    Raises ConfigError where there is a file already: it is never replaced.
    """
    metadata = {key: json.dumps(value) for key, value in facts.items()}
    # "pt" is what transformers asks of a file before it reads it
    content = safetensors.numpy.save(named, metadata={"format": "pt", **metadata})
    try:
        with path.open("xb") as file:
            file.write(content)
    except FileExistsError:
        raise _exists(path) from None
    except OSError as error:
        path.unlink(missing_ok=True)
        raise atomic.not_written(path, len(content), error) from error


def check_free(path: pathlib.Path) -> None:
    """Raises ConfigError where `path` exists, or its folder does not.

    Raises NotWritable where nothing can be written to that folder.
    """
    if path.exists():
        raise _exists(path)
    if not path.parent.is_dir():
        raise ConfigError(f"there is no folder {path.parent} to write {path.name} to.")
    atomic.check_folder(path.parent)


def _exists(path: pathlib.Path) -> ConfigError:
    return ConfigError(f"{path} exists and is not replaced: give another --output.")
