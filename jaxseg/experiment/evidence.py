"""Reads off the config what is asked about the answers on whole images of a run."""

from collections.abc import Sequence
from typing import Any

from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxseg import lookup
from jaxseg.errors import ConfigError
from jaxseg.evaluation.evidence.score import Asked
from jaxseg.experiment import from_config
from jaxseg.inference import attention_map


def asked(
    config: ConfigDict,
    card: dict[str, Any],
    parts: from_config.Parts,
    mesh: Mesh,
    *,
    outputs: int,
) -> Asked | None:
    """What is asked of a head that says `outputs` numbers; None where nothing can be.

    Raises ConfigError for a question without a head, for classes that are none, and
    for maps of a head that is not of config.decision.
    """
    block, classes = config.eval.localise, card["classes"]
    if not outputs:
        if config.eval.shortcut or block.mask_class:
            raise ConfigError(
                "config.eval.shortcut and config.eval.localise are of answers on whole "
                "images, and the model gives none: set config.decision.name, or leave "
                "them as they are by default."
            )
        return None
    # a head of several outputs has one for each class of images: image_classes.check
    names = ["foreground"] if outputs == 1 else card["image_classes"]["names"]
    erased = ()
    if config.eval.shortcut:
        erased = tuple(
            _place(name, classes, "eval.shortcut_classes", "pixel class", first=1)
            for name in config.eval.shortcut_classes
        ) or tuple(range(1, len(classes)))
    if not block.mask_class:
        return Asked(outputs, erased)
    output = 0
    if outputs > 1 or block.image_class:
        key = "eval.localise.image_class"
        output = _place(block.image_class, names, key, "output of the head")
    key = "eval.localise.mask_class"
    return Asked(
        outputs,
        erased,
        attention=attention_map.make_predict(
            mesh, model=parts.model, normalise=parts.normalise
        ),
        output=output,
        mask_class=_place(block.mask_class, classes, key, "pixel class", first=1),
        tolerance=config.eval.tolerance,
    )


def _place(
    name: str, names: Sequence[str], key: str, what: str, *, first: int = 0
) -> int:
    """The place of a name; ConfigError for one that is none of names[first:]."""
    allowed = list(names)[first:]
    if name not in allowed:
        raise ConfigError(
            f"config.{key} is {name!r}, which is no {what}: "
            f"{lookup.hint(name, allowed)}"
        )
    return list(names).index(name)
