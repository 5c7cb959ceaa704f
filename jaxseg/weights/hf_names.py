"""Names and layouts of Hugging Face's UPerNet-Swin checkpoints, for `swin_upernet`.

The names are those of the published safetensors files, which transformers still
writes today although its modules were renamed in version 5. Every array on both sides
is accounted for: one that is missing, left over or of another shape is an error.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from flax import traverse_util

from jaxseg.errors import DataError

_BLOCK = r"backbone/stage(?P<stage>\d+)_block(?P<block>\d+)/"
_HF_BLOCK = "backbone.encoder.layers.{stage}.blocks.{block}."
_RULES = (  # our module, theirs; {stage} counts from 0 there and from 1 here
    (r"backbone/patch_embed", "backbone.embeddings.patch_embeddings.projection"),
    (r"backbone/patch_norm", "backbone.embeddings.norm"),
    (_BLOCK + "attention_norm", _HF_BLOCK + "layernorm_before"),
    (_BLOCK + "attention/out", _HF_BLOCK + "attention.output.dense"),
    (_BLOCK + "mlp_norm", _HF_BLOCK + "layernorm_after"),
    (_BLOCK + "mlp_in", _HF_BLOCK + "intermediate.dense"),
    (_BLOCK + "mlp_out", _HF_BLOCK + "output.dense"),
    (
        r"backbone/merge(?P<stage>\d+)",
        "backbone.encoder.layers.{stage}.downsample.reduction",
    ),
    (
        r"backbone/merge(?P<stage>\d+)_norm",
        "backbone.encoder.layers.{stage}.downsample.norm",
    ),
    (r"backbone/(?P<norm>stage\d+)_norm", "backbone.hidden_states_norms.{norm}"),
    (r"decode_head/pool(?P<i>\d+)/", "decode_head.psp_modules.{i}.1."),
    (r"decode_head/lateral(?P<i>\d+)/", "decode_head.lateral_convs.{i}."),
    (r"decode_head/fpn(?P<i>\d+)/", "decode_head.fpn_convs.{i}."),
    (r"decode_head/bottleneck/", "decode_head.bottleneck."),
    (r"decode_head/fpn_bottleneck/", "decode_head.fpn_bottleneck."),
    (r"classifier", "decode_head.classifier"),
    (r"aux_conv/", "auxiliary_head.convs.0."),
    (r"aux_classifier", "auxiliary_head.classifier"),
)
_PARTS = {"conv": "conv", "norm": "batch_norm"}  # of a module that ends in "/"
_LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}
# Constants that we compute, counters that we do not keep, and the norm after the last
# stage, which the backbone of transformers 5 holds but never calls.
_IGNORED = re.compile(
    r".*\.(relative_position_index|num_batches_tracked)|backbone\.swin\.layernorm\..*"
)


def from_hf(
    arrays: Mapping[str, np.ndarray], variables: Any, *, skip: tuple[str, ...] = ()
) -> Any:
    """`variables` of `swin_upernet.Model` with every leaf taken from `arrays`.

    `arrays` is a checkpoint by Hugging Face name, in PyTorch's layout; `variables`
    is what the model's init returns, or its shapes from `jax.eval_shape`. A name that
    starts with one of `skip` is imported on neither side: the leaf stays as it is in
    `variables` (the classifiers, for another number of classes). Raises DataError,
    with all the names, for arrays missing, left over, or of another shape.
    """
    leaves = traverse_util.flatten_dict(variables, sep="/")
    used, missing, misshapen = set(), [], []
    for path, leaf in leaves.items():
        names = hf_names(path)
        if names[0].startswith(tuple(skip)):
            continue
        used.update(names)
        absent = [name for name in names if name not in arrays]
        missing.extend(absent)
        if absent:
            continue
        parts = [_to_flax(np.asarray(arrays[name]), path) for name in names]
        value = parts[0] if len(parts) == 1 else np.concatenate(parts, -1)
        if path.endswith("bias_table"):
            value = _square(value)
        if value.shape != leaf.shape:
            misshapen.append(f"{names[0]} {value.shape} for {tuple(leaf.shape)}")
        leaves[path] = value
    left = [
        name
        for name in arrays
        if name not in used
        and not name.startswith(tuple(skip))
        and not _IGNORED.fullmatch(name)
    ]
    _refuse("lacks", missing)
    _refuse("holds, for no use of the model,", left)
    _refuse("has arrays of another shape than the model's:", misshapen)
    return traverse_util.unflatten_dict(leaves, sep="/")


def hf_names(path: str) -> tuple[str, ...]:
    """The Hugging Face names (three for a joint qkv) of one leaf of our variables.

    `path` is like "params/backbone/patch_embed/kernel".
    """
    path = path.split("/", 1)[1]  # without the collection
    module, leaf = path.rsplit("/", 1)
    attention = re.fullmatch(_BLOCK + "attention", module)
    if attention and leaf == "bias_table":
        start = _HF_BLOCK.format(**_from_zero(attention))
        return (f"{start}attention.self.relative_position_bias_table",)
    qkv = re.fullmatch(_BLOCK + "attention/qkv", module)
    if qkv:
        start = _HF_BLOCK.format(**_from_zero(qkv)) + "attention.self."
        parts = ("query", "key", "value")
        return tuple(f"{start}{part}.{_LEAVES[leaf]}" for part in parts)
    for ours, theirs in _RULES:
        part = ""
        name = module
        if ours.endswith("/"):
            name, _, part = module.rpartition("/")
            name, part = f"{name}/", _PARTS.get(part, "")
        match = re.fullmatch(ours, name)
        if match:
            return (f"{theirs.format(**_from_zero(match))}{part}.{_LEAVES[leaf]}",)
    raise DataError(f"no Hugging Face name is known for {path!r}.")


def _from_zero(match):
    groups = match.groupdict()
    if "stage" in groups:
        groups["stage"] = int(groups["stage"]) - 1
    return groups


def _to_flax(array, path):
    """PyTorch's [out, in, ...] as Flax's [..., in, out]; vectors as they are."""
    array = np.asarray(array, np.float32)
    if path.endswith("bias_table") or array.ndim == 1:
        return array
    if array.ndim == 2:
        return array.T
    kernel = array.transpose(2, 3, 1, 0)
    if path.endswith("patch_embed/kernel"):  # a dense layer on flattened patches
        return kernel.reshape(-1, kernel.shape[-1])
    return kernel[0, 0] if kernel.shape[:2] == (1, 1) else kernel


def _square(table):
    """[(2w-1)^2, heads] as [2w-1, 2w-1, heads]."""
    side = round(table.shape[0] ** 0.5)
    return table.reshape(side, -1, table.shape[-1])


def _refuse(what, names):
    if names:
        raise DataError(f"the checkpoint {what} {len(names)}: {', '.join(names)}.")
