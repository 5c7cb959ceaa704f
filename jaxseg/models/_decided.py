"""Gives any model an output for the whole image, trained together with it."""

from typing import Any

import flax.linen as nn
from jaxtyping import Array, Float

from jaxseg.errors import ConfigError
from jaxseg.types import Outputs

MODULE = "decision"  # the name of the head among the parameters


class Decided(nn.Module):
    """The outputs of `model`, and `image_logits` f32 [b, n] of `decision`, a head.

    The head reads "features" and "coarse_logits", or "logits" where there are none of
    those. The parameters of the model keep their paths, so that patterns, pretrained
    weights and learning rates by layer mean what they meant without the head; those of
    the head stand beside them, under "decision". Raises ConfigError, when called, for a
    model without features, for one that has an output for whole images already, and
    for a head that does not return a row for each image.
    """

    model: nn.Module
    decision: nn.Module

    def setup(self):
        nn.share_scope(self, self.model)

    def __call__(self, image: Float[Array, "b h w c"], *, train: bool) -> Outputs:
        outputs = self.model(image, train=train)
        check(outputs)
        logits = outputs.get("coarse_logits", outputs["logits"])
        whole: Any = self.decision(outputs["features"], logits, train=train)
        if getattr(whole, "ndim", 0) != 2 or whole.shape[0] != image.shape[0]:
            raise ConfigError(
                f"the head of config.decision returned {getattr(whole, 'shape', whole)}"
                f"; it must return [b, n], here b = {image.shape[0]}."
            )
        return outputs | {"image_logits": whole}


def check(outputs: Outputs) -> None:
    """Raises ConfigError for outputs that no head can read, or that have one."""
    if "features" not in outputs:
        raise ConfigError(
            f"the model returns only {sorted(outputs)}, but a head of config.decision "
            "reads its 'features': return its deepest map [b, y, x, c] under that "
            "name, or set config.decision.name=''."
        )
    if "image_logits" in outputs:
        raise ConfigError(
            "the model returns image_logits of its own, which the head of "
            "config.decision would replace: set config.decision.name=''."
        )
