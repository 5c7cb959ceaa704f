"""Trains one side of the learning benchmark and judges it on native images.

Each side returns the same: a function that gives the classes of an image of a split at
its native size, and how many parameters it took. `judged` is the one judge of all.
"""

import contextlib
import dataclasses
import os
import pathlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple
from unittest import mock

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

ROOT = pathlib.Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from jaxseg.data import prepared
from jaxseg.experiment import build, finished_run, from_config, processes
from jaxseg.models import _blocks
from jaxseg.train import loop

# how weights start
STARTS = {
    "small": nn.initializers.normal(0.01),
    "lecun": nn.initializers.lecun_normal(),
    "torch": nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform"),
    "he": nn.initializers.he_normal(),
}


# (split, index) -> {decision: class ids u8 [h, w]}
Predict = Callable[[prepared.Split, int], dict[str, np.ndarray]]


class Trained(NamedTuple):
    """A side when it has learned."""

    predict: Predict
    parameters: int
    seconds: float  # of training, with compilation and data


@contextlib.contextmanager
def started(head: str = "", convolutions: str = "") -> Iterator[None]:
    """U-Nets built within start those parts as `STARTS` says; "" = as they do."""

    def classifier(x, num_classes, *, name="head", **_):
        init = STARTS[head]
        return nn.Dense(num_classes, dtype=jnp.float32, kernel_init=init, name=name)(x)

    with contextlib.ExitStack() as stack:
        if head:
            stack.enter_context(mock.patch.object(_blocks, "classifier", classifier))
        if convolutions:
            start = STARTS[convolutions]
            starts = dict.fromkeys(_blocks.CONVOLUTION_STARTS, start)
            stack.enter_context(mock.patch.dict(_blocks.CONVOLUTION_STARTS, starts))
        yield


def jaxseg(
    config: ConfigDict,
    workdir: pathlib.Path,
    *,
    head: str = "",
    convolutions: str = "",
) -> Trained:
    """A run of jaxseg as `python -m jaxseg.main` makes it, with its last weights."""
    processes.start()
    with started(head, convolutions):
        began = time.monotonic()
        record = loop.train_and_evaluate(config, workdir)
        seconds = time.monotonic() - began
        run = finished_run.load(workdir)
    if run.step != record["total_steps"]:
        raise RuntimeError(f"{workdir} was scored at step {run.step}, not at its end.")

    def predict(split, index):
        found = run.predict(split[index]["image"])
        argmax = found.probability.argmax(-1).astype(np.uint8)
        return {"argmax": argmax, "operating_point": found.classes}

    return Trained(predict, record["params"], seconds)


def monai(config: ConfigDict) -> Trained:
    """MONAI's BasicUNet, fed with the very windows that `jaxseg` would be fed with.

    Its own defaults (instance norm, leaky ReLU), `DiceCELoss` and PyTorch's AdamW with
    their defaults, and the learning rate of `config` at every step. Flips are drawn
    here, as they are drawn within the step of the other side.
    """
    import torch
    from monai.inferers import sliding_window_inference
    from monai.losses import DiceCELoss
    from monai.networks.nets import BasicUNet

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    torch.manual_seed(config.seed)
    began = time.monotonic()
    experiment = build.load(config, batch_size=config.batch_size)
    parts, steps = experiment.parts, experiment.plan.total_steps
    channels, classes = parts.image_shape[-1], len(experiment.card["classes"])
    widths = tuple(config.model.unet.widths)
    model = BasicUNet(
        spatial_dims=2,
        in_channels=channels,
        out_channels=classes,
        features=(*widths, widths[0]),
    )
    objective = DiceCELoss(to_onehot_y=True, softmax=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.optim.learning_rate)
    mean, std = (np.float32(x) for x in (parts.mean, parts.std))
    rng = np.random.default_rng((config.seed, 7))

    def scaled(image):  # [..., c] -> what a model gets
        return (image.astype(np.float32) / np.iinfo(image.dtype).max - mean) / std

    for step, batch in enumerate(build.train_batches(experiment, steps=steps)):
        image, mask = scaled(batch["image"]), batch["mask"]
        if mask.max() >= classes:
            raise ValueError("a window has unlabelled pixels, which DiceCELoss takes.")
        image, mask = flipped(rng, image, mask)
        image = torch.from_numpy(image).permute(0, 3, 1, 2)
        mask = torch.from_numpy(mask.astype(np.int64))[:, None]
        for group in optimizer.param_groups:
            group["lr"] = float(experiment.rate(step))
        optimizer.zero_grad()
        objective(model(image), mask).backward()
        optimizer.step()
    model.eval()
    whole = dataclasses.replace(parts.view, fit="crop")  # images at native size

    def predict(split, index):
        image = scaled(whole(split, index)["image"])
        image = torch.from_numpy(image).permute(2, 0, 1)[None]
        with torch.no_grad():
            logits = sliding_window_inference(
                image, config.data.image_size, 4, model, overlap=0.5, mode="gaussian"
            )
        return {"argmax": logits[0].argmax(0).numpy().astype(np.uint8)}

    parameters = sum(p.numel() for p in model.parameters())
    return Trained(predict, parameters, time.monotonic() - began)


def flipped(
    rng: np.random.Generator, image: np.ndarray, mask: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Each image and its mask mirrored along each axis with probability 1/2."""
    image, mask = image.copy(), mask.copy()
    for i, (rows, columns) in enumerate(rng.random((len(image), 2)) < 0.5):
        if rows:
            image[i], mask[i] = image[i, ::-1], mask[i, ::-1]
        if columns:
            image[i], mask[i] = image[i, :, ::-1], mask[i, :, ::-1]
    return image, mask


def split(config: ConfigDict, name: str) -> prepared.Split:
    """A split of the prepared set of `config`, with images at native size."""
    return prepared.open_split(from_config.dataset(config), name)


def judged(predict: Predict, split: prepared.Split) -> dict[str, dict[str, Any]]:
    """{decision: {"dice": {class: pooled over the split}, "never": [class]}}.

    "never" lists the classes that have pixels and are predicted nowhere. A class
    without pixels of either kind has no Dice (None).
    """
    classes, confusion = split.classes, {}
    k = len(classes)
    for index in range(len(split)):
        truth = split[index]["mask"]
        labelled = truth < k
        for decision, guess in predict(split, index).items():
            pairs = k * truth[labelled].astype(int) + guess[labelled]
            counts = np.bincount(pairs, minlength=k * k).reshape(k, k)
            confusion[decision] = confusion.get(decision, 0) + counts
    return {name: _figures(counts, classes) for name, counts in confusion.items()}


def _figures(counts: np.ndarray, classes: Sequence[str]) -> dict[str, Any]:
    dice, never = {}, []
    for c, name in enumerate(classes):
        total = int(counts[c].sum() + counts[:, c].sum())
        dice[name] = 2 * int(counts[c, c]) / total if total else None
        if counts[c].sum() and not counts[:, c].sum():
            never.append(name)
    return {"dice": dice, "never": never}
