"""A model with a decision head, its loss, and a folder of positives and negatives."""

import csv

import cv2
import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import optax

from support import predicting, runs

SPLITS = ("train", "train", "validation", "test")
COUNT = 48


class Model(nn.Module):
    """One convolution, and the maximum and mean of its maps for the whole image."""

    num_classes: int = 2
    says: int = 1  # numbers of the whole image

    @nn.compact
    def __call__(self, image, *, train: bool):
        x = nn.relu(nn.Conv(8, (3, 3))(image))
        whole = jnp.concatenate([x.max((1, 2)), x.mean((1, 2))], -1)
        return {
            "logits": nn.Conv(self.num_classes, (1, 1), name="head")(x),
            "image_logits": nn.Dense(self.says, name="decision")(whole),
        }


def loss(image_logits, label):
    """Binary cross-entropy of the first number; 0 where the label is unknown."""
    each = optax.sigmoid_binary_cross_entropy(image_logits[:, 0], label > 0)
    return each * (label >= 0)


def config(data_dir, **changes):
    """The config of a short training on the folder `data_dir`."""
    changes = predicting.QUICK | {"data.dir": str(data_dir)} | changes
    out = runs.config("folder", **changes)
    out.model.name = "support.tiny_decided"
    out.loss.image = {"module": "support.tiny_decided", "weight": 0.5}
    return out


def data(root):
    """A folder of COUNT images, two in five without foreground and four of noise."""
    (root / "masks").mkdir(parents=True)
    rows = []
    for k in range(COUNT):
        image, mask = predicting.example(k)
        if k % 5 > 2:
            image[mask == 1] -= 90
            mask[:] = 0
        if k % 11 == 0:  # one kind looks like the other
            image[:] = np.random.default_rng(k).integers(60, 240, image.shape)
        name = f"{k:02d}"
        predicting.write(root / f"images/{name}.png", image)
        cv2.imwrite(str(root / f"masks/{name}.png"), mask)
        rows.append((name, SPLITS[k % 4]))
    with open(root / "splits.csv", "w", newline="") as file:
        csv.writer(file).writerows([("stem", "split"), *rows])
    return root
