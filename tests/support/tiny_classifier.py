"""A network for classes of whole images that compiles in a second."""

import flax.linen as nn
import jax.numpy as jnp


class Model(nn.Module):
    """Two convolutions, whose maps a head of whole images reads.

    Logits are 0 or, with `pixels`, a third convolution of the image.
    """

    num_classes: int = 2
    pixels: bool = False

    @nn.compact
    def __call__(self, image, *, train: bool):
        x = nn.relu(nn.Conv(8, (7, 7), strides=(2, 2))(image))
        x = nn.relu(nn.Conv(16, (5, 5), strides=(2, 2))(x))
        logits = jnp.zeros((*image.shape[:3], self.num_classes))
        if self.pixels:
            logits = nn.Conv(self.num_classes, (3, 3), name="head")(image)
        return {"logits": logits, "features": x}
