"""A model and a loss small enough to compile in a second."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxseg.train_step import step
from jaxseg.types import IGNORE


class Model(nn.Module):
    """One convolution with batch norm and an auxiliary head."""

    num_classes: int = 2
    norm: bool = True

    @nn.compact
    def __call__(self, image, *, train: bool):
        x = nn.Conv(8, (3, 3))(image)
        if self.norm:
            x = nn.BatchNorm(use_running_average=not train, momentum=0.9)(x)
        x = nn.relu(x)
        head = nn.Conv(self.num_classes, (1, 1), name="head")
        aux = nn.Conv(self.num_classes, (1, 1), name="aux")
        return {"logits": head(x), "aux": aux(x)}


def loss(logits, mask):
    labelled = mask != IGNORE
    each = optax.softmax_cross_entropy_with_integer_labels(
        logits, jnp.where(labelled, mask, 0).astype(jnp.int32)
    )
    return jnp.sum(each * labelled, (1, 2)) / jnp.maximum(jnp.sum(labelled, (1, 2)), 1)


def no_augment(image, mask, key):
    return image, mask


def batch(seed: int = 0, size: int = 8) -> dict[str, np.ndarray]:
    """Bright squares on noise; every other image is empty."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 90, (size, 16, 16, 1)).astype(np.uint8)
    mask = np.zeros((size, 16, 16), np.uint8)
    for i in range(0, size, 2):
        y, x = rng.integers(0, 8, 2)
        mask[i, y : y + 7, x : x + 7] = 1
    image[mask == 1] += 120
    return {
        "image": image,
        "mask": mask,
        "label": (np.arange(size) % 2 == 0).astype(np.int32),
        "weight": np.ones(size, np.float32),
        "index": np.arange(size, dtype=np.int32),
    }


def normalise(image):
    return (image - 0.5) / 0.25


def settings(**changes) -> step.Settings:
    """Settings of a step that is compiled in a second."""
    fields = {
        "seed": 0,
        "model": Model(),
        "losses": {"cross_entropy": (loss, 1.0)},
        "aux_weight": 0.4,
        "tx": optax.adam(1e-2),
        "augment": no_augment,
        "augment_options": {},
        "normalise": normalise,
        "total_steps": 100,
        "accumulate": 1,
        "ema": 0.0,
    }
    return step.Settings(**fields | changes)


def leaves_equal(a, b) -> bool:
    same = jax.tree.map(lambda x, y: np.array_equal(x, y), a, b)
    return jax.tree.structure(a) == jax.tree.structure(b) and all(jax.tree.leaves(same))
