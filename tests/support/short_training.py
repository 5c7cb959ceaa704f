"""A training of 50 steps that PyTorch and jaxseg go through alike.

Networks, first weights, batches, loss and optimizer are all told here, from a numpy
seed. `make_golden_training.py` trains by PyTorch and keeps the losses,
`tests/train_step/test_training_parity.py` trains by jaxseg.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxseg import lookup
from jaxseg.losses import cross_entropy, dice
from jaxseg.train_step import optimizer, step
from jaxseg.types import IGNORE

STEPS, WARMUP, BATCH, SIZE, CLASSES = 50, 5, 4, 64, 3
PEAK_RATE, WEIGHT_DECAY, CLIP_NORM, AUX_WEIGHT = 1e-3, 1.0, 1.0, 0.4
MEAN, STD = 0.4, 0.25  # of the image in [0, 1]
MODELS = {  # no dropout: its random numbers are of each framework's own
    "unet": dict(widths=(4, 6, 8)),
    "resnet_unet": dict(depth=18, width=4, decoder_widths=(8, 8, 6, 4, 4)),
    "swin_upernet": dict(
        embed_dim=4,
        depths=(1, 2, 1, 2),
        num_heads=(1, 2, 2, 4),
        window=4,
        width=6,
        aux_channels=5,
    ),
}


def model(name: str):
    """The Linen module `name` with the fields of this training."""
    return lookup.find("models", name).Model(num_classes=CLASSES, **MODELS[name])


def first_variables(name: str, seed: int = 0) -> dict:
    """Every parameter and statistic of `model(name)` before the first step, float32.

    Kernels are normal of sqrt(1 / fan-in), norms near 1 and 0 but not at them.
    """
    init = functools.partial(model(name).init, train=False)
    shapes = jax.eval_shape(init, jax.random.key(0), jnp.zeros((1, SIZE, SIZE, 1)))
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        if path[0].key == "batch_stats":
            return np.full(leaf.shape, float(path[-1].key == "var"), np.float32)
        noise = rng.standard_normal(leaf.shape)
        if leaf.ndim > 1:
            value = noise * (1 / np.prod(leaf.shape[:-1])) ** 0.5
        else:
            value = float(path[-1].key == "scale") + 0.1 * noise
        return value.astype(np.float32)

    return jax.tree_util.tree_map_with_path(draw, shapes)


def batch(number: int) -> dict[str, np.ndarray]:
    """Bright rectangles of two classes on noise, an unlabelled corner; u8."""
    rng = np.random.default_rng((1, number))
    image = rng.integers(0, 120, (BATCH, SIZE, SIZE, 1))
    mask = np.zeros((BATCH, SIZE, SIZE), np.uint8)
    for i in range(BATCH):
        for kind in (1, 2):
            y, x, h, w = rng.integers((0, 0, 10, 10), (40, 40, 30, 30))
            mask[i, y : y + h, x : x + w] = kind
    image += np.array([0, 60, 120])[mask][..., None]
    mask[:, :9, :13] = IGNORE
    return {
        "image": image.astype(np.uint8),
        "mask": mask,
        "label": np.zeros(BATCH, np.int32),
        "weight": np.ones(BATCH, np.float32),
        "index": np.arange(BATCH, dtype=np.int32),
    }


def normalise(image):
    """The image in [0, 1] as the model gets it."""
    return (image - MEAN) / STD


def settings(name: str) -> step.Settings:
    """The settings of jaxseg's step."""
    rate = optimizer.learning_rate_schedule(
        learning_rate=PEAK_RATE,
        warmup_steps=WARMUP,
        total_steps=STEPS,
        final_scale=0.0,
    )
    return step.Settings(
        seed=0,
        model=model(name),
        losses={"cross_entropy": (cross_entropy.loss, 1.0), "dice": (dice.loss, 1.0)},
        aux_weight=AUX_WEIGHT,
        tx=optimizer.make(rate, weight_decay=WEIGHT_DECAY, clip_norm=CLIP_NORM),
        augment=lambda image, mask, key: (image, mask),
        augment_options={},
        normalise=normalise,
        total_steps=STEPS,
        accumulate=1,
        ema=0.0,
    )
