"""Translates the parameters of `swin_upernet` into Hugging Face's UPerNet-Swin names.

The names are those of the published safetensors files, which transformers still
writes today although its modules were renamed in version 5.
"""

import re

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
LEAVES = {  # ours, PyTorch's
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}


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
        return tuple(f"{start}{part}.{LEAVES[leaf]}" for part in parts)
    for ours, theirs in _RULES:
        part = ""
        name = module
        if ours.endswith("/"):
            name, _, part = module.rpartition("/")
            name, part = f"{name}/", _PARTS.get(part, "")
        match = re.fullmatch(ours, name)
        if match:
            return (f"{theirs.format(**_from_zero(match))}{part}.{LEAVES[leaf]}",)
    raise DataError(f"no Hugging Face name is known for {path!r}.")


def _from_zero(match):
    groups = match.groupdict()
    if "stage" in groups:
        groups["stage"] = int(groups["stage"]) - 1
    return groups
