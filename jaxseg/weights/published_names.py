"""Recognises published weights by their names, and gives the names of our leaves.

A format gives, for each leaf of a model's variables ("params/encoder/conv1/kernel"),
the names that a file has for it: several for a joint projection, none where the file
knows no such part. `array_layout` turns the arrays themselves.
"""

import re
from collections.abc import Callable, Collection
from typing import NamedTuple

from jaxseg.errors import ConfigError, DataError
from jaxseg.weights import hf_names


class Format(NamedTuple):
    """One way of naming weights."""

    title: str
    models: tuple[str, ...]  # that it fits; () = any
    names: Callable[[str], tuple[str, ...]]  # of one leaf; () where it has none
    lacks: str = ""  # why leaves without a name stay as initialised
    extras: tuple[tuple[str, str], ...] = ()  # (pattern of names nobody needs, why)
    torch: bool = True  # arrays in PyTorch's layout
    note: str = (  # reported because nothing else would tell
        "weights published under these names expect images standardised as "
        "config.data.intensity.mode=imagenet does"
    )


_COUNTER = (r".*num_batches_tracked", "a counter that we do not keep")
_CONSTANT = (
    r".*(relative_position_index|attn_mask|relative_coords_table)",
    "a constant that we compute",
)
_WHOLE_IMAGES = "belongs to the classifier of whole images"
_NO_DECODER = "no part of the backbone that the file holds"
_RESNETS = ("resnet_unet", "resnet_classifier")
_CLASSIFIER = ("conv_head", "bn1", "fc")  # of the published EfficientNet, beside it

_TIMM = (  # our module, timm's; {merge} is where it keeps the patch merging
    (r"patch_embed", "patch_embed.proj"),
    (r"patch_norm", "patch_embed.norm"),
    (r"merge(\d+)", "layers.{merge}.downsample.reduction"),
    (r"merge(\d+)_norm", "layers.{merge}.downsample.norm"),
    (r"stage(\d+)_block(\d+)/attention", "layers.{stage}.blocks.{block}.attn"),
    (r"stage(\d+)_block(\d+)/attention/qkv", "layers.{stage}.blocks.{block}.attn.qkv"),
    (r"stage(\d+)_block(\d+)/attention/out", "layers.{stage}.blocks.{block}.attn.proj"),
    (r"stage(\d+)_block(\d+)/attention_norm", "layers.{stage}.blocks.{block}.norm1"),
    (r"stage(\d+)_block(\d+)/mlp_norm", "layers.{stage}.blocks.{block}.norm2"),
    (r"stage(\d+)_block(\d+)/mlp_in", "layers.{stage}.blocks.{block}.mlp.fc1"),
    (r"stage(\d+)_block(\d+)/mlp_out", "layers.{stage}.blocks.{block}.mlp.fc2"),
)
_TIMM_LEAVES = {**hf_names.LEAVES, "bias_table": "relative_position_bias_table"}
_HF_RESNET = (  # torchvision's part of a name, Hugging Face's
    (r"^conv1\.", "embedder.embedder.convolution."),
    (r"^bn1\.", "embedder.embedder.normalization."),
    (
        r"^layer(\d)\.(\d+)\.",
        lambda m: f"encoder.stages.{int(m[1]) - 1}.layers.{m[2]}.",
    ),
    (r"\.downsample\.0\.", ".shortcut.convolution."),
    (r"\.downsample\.1\.", ".shortcut.normalization."),
    (r"\.conv(\d)\.", lambda m: f".layer.{int(m[1]) - 1}.convolution."),
    (r"\.bn(\d)\.", lambda m: f".layer.{int(m[1]) - 1}.normalization."),
)


def own() -> Format:
    """jaxseg's own: the paths themselves, of any model."""
    return Format("jaxseg", (), lambda path: (path,), torch=False, note="")


def hf_upernet() -> Format:
    """`UperNetForSemanticSegmentation` of Hugging Face transformers, on Swin."""
    norm = (r"backbone\.(swin\.)?layernorm\..*", "a norm that UPerNet never calls")
    extras = (_COUNTER, _CONSTANT, norm)
    names = hf_names.hf_names
    return Format("Hugging Face UPerNet-Swin", ("swin_upernet",), names, "", extras)


def hf_swin(prefix: str, *, norms: bool) -> Format:
    """`SwinModel` and `SwinBackbone`; only the latter has `norms` of its stages."""

    def names(path):
        if _part(path) != "backbone" or (not norms and _is_stage_norm(path)):
            return ()
        theirs = hf_names.hf_names(path)
        return tuple(prefix + name.removeprefix("backbone.") for name in theirs)

    extras = (
        _CONSTANT,
        (r"((swin|backbone)\.)?layernorm\..*|classifier\..*", _WHOLE_IMAGES),
    )
    return Format("Hugging Face Swin", ("swin_upernet",), names, _NO_DECODER, extras)


def timm_swin(*, merges_first: bool) -> Format:
    """timm's Swin and the paper's own; of old, a stage ended with its merging."""

    def names(path):
        if _part(path) != "backbone" or _is_stage_norm(path):
            return ()
        module, leaf = path.split("/", 2)[2].rsplit("/", 1)
        for ours, theirs in _TIMM:
            if match := re.fullmatch(ours, module):
                first = int((*match.groups(), 0)[0])
                where = {
                    "merge": first if merges_first else first - 1,
                    "stage": first - 1,
                    "block": match[match.lastindex or 0],
                }
                return (f"{theirs.format(**where)}.{_TIMM_LEAVES[leaf]}",)
        raise DataError(f"no name in timm's Swin is known for {path!r}.")

    extras = (_CONSTANT, (r"(norm|head)\..*", _WHOLE_IMAGES))
    title = "timm Swin" if merges_first else "original Swin (or timm before 0.9)"
    return Format(title, ("swin_upernet",), names, _NO_DECODER, extras)


def torchvision_resnet() -> Format:
    """torchvision's ResNet; timm's has the same names."""

    def names(path):
        if _part(path) != "encoder":
            return ()
        return (torchvision_name(path.split("/", 2)[2]),)

    extras = (_COUNTER, (r"fc\..*", _WHOLE_IMAGES))
    return Format("torchvision or timm ResNet", _RESNETS, names, _NO_DECODER, extras)


def torchvision_name(path: str) -> str:
    """torchvision's name of one leaf of `_resnet.ResNet`.

    `path` is like "layer1_0/downsample_0/kernel".
    """
    module, leaf = path.rsplit("/", 1)
    module = module.replace("/", ".").replace("_", ".")
    return f"{module}.{hf_names.LEAVES[leaf]}"


def hf_resnet(prefix: str) -> Format:
    """`ResNetModel` and what stands on it, of Hugging Face transformers."""

    def names(path):
        if _part(path) != "encoder":
            return ()
        name = torchvision_name(path.split("/", 2)[2])
        for pattern, theirs in _HF_RESNET:
            name = re.sub(pattern, theirs, name)
        return (prefix + name,)

    extras = (_COUNTER, (r"classifier\..*", _WHOLE_IMAGES))
    return Format("Hugging Face ResNet", _RESNETS, names, _NO_DECODER, extras)


def efficientnet() -> Format:
    """The published EfficientNet-Lite files; also for `_efficientnet.Classifier`."""

    def names(path):
        if _part(path) not in ("encoder", *_CLASSIFIER):
            return ()
        return (efficientnet_name(path.split("/", 1)[1]),)

    extras = (_COUNTER, (r"_(conv_head|bn1|fc)\..*", _WHOLE_IMAGES))
    title = "EfficientNet-Lite"
    return Format(title, ("efficientnet_unet",), names, _NO_DECODER, extras)


def efficientnet_name(path: str) -> str:
    """The published file's name of one leaf of `_efficientnet.Classifier`.

    `path` is like "encoder/blocks_3/expand_conv/kernel" or "fc/bias".
    """
    module, leaf = path.removeprefix("encoder/").rsplit("/", 1)
    parts = [f"_{part}" for part in module.split("/")]
    if len(parts) == 2:  # "_blocks_3"
        parts[0] = parts[0].replace("_", ".").replace(".", "_", 1)
    return ".".join([*parts, hf_names.LEAVES[leaf]])


def recognise(names: Collection[str], *, model: str, source: str) -> Format:
    """The format of a file that holds `names`.

    Raises DataError for names of no known format, and ConfigError for a format that
    does not fit `model`.
    """
    layout = _recognise(set(names))
    if layout is None:
        some = ", ".join(sorted(names)[:3]) or "nothing"
        raise DataError(
            f"{source} holds {some} ...: these are the names of no known format (Swin "
            "or UPerNet of Hugging Face, Swin of timm, ResNet, EfficientNet-Lite, "
            "jaxseg)."
        )
    if layout.models and model not in layout.models:
        raise ConfigError(
            f"{source} holds weights of {layout.title}, which fit config.model.name="
            f"{' or '.join(layout.models)}, not {model}."
        )
    return layout


def _recognise(names):
    if any(name.startswith("params/") for name in names):
        return own()
    if "decode_head.classifier.weight" in names:
        return hf_upernet()
    for prefix in ("swin.", "backbone.", ""):
        if f"{prefix}encoder.layers.0.blocks.0.layernorm_before.weight" in names:
            norms = f"{prefix}hidden_states_norms.stage1.weight" in names
            return hf_swin(prefix, norms=norms)
    if "layers.0.blocks.0.attn.qkv.weight" in names:
        ends = "layers.0.downsample.reduction.weight" in names
        return timm_swin(merges_first=not ends)
    if {"conv1.weight", "layer1.0.conv1.weight"} <= names:
        return torchvision_resnet()
    for prefix in ("resnet.", "backbone.", ""):
        if f"{prefix}embedder.embedder.convolution.weight" in names:
            return hf_resnet(prefix)
    return efficientnet() if "_conv_stem.weight" in names else None


def published(model: str) -> Format:
    """The format in which others can read weights of `model`; else jaxseg's own."""
    formats = {
        "swin_upernet": hf_upernet,
        "resnet_unet": torchvision_resnet,
        "resnet_classifier": torchvision_resnet,
        "efficientnet_unet": efficientnet,
    }
    return formats.get(model, own)()


def _part(path):
    """ "encoder" of "params/encoder/conv1/kernel"."""
    return path.split("/", 2)[1]


def _is_stage_norm(path):
    return re.search(r"/stage\d_norm/", path) is not None
