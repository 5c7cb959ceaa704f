"""Takes one step of training for many members at once, by vmap.

Members differ in numbers only (seed, learning rate, weights of the loss, labels), and
share model, data, order of examples and every input image.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from jaxseg.data import resize
from jaxseg.devices import compiler
from jaxseg.errors import ConfigError
from jaxseg.experiment import build, from_config, training_labels
from jaxseg.run_directory import files
from jaxseg.sweep import vmap_convolution
from jaxseg.train_step import state, step

FREE = ("seed", "optim.learning_rate")
_LABELS = ("positive", "negative", "strategy", "seed", "annotators", "length", "paths")
_LABELS += ("masks",)
FREE += tuple(f"supervision.{name}" for name in _LABELS)


class Hyper(NamedTuple):
    """What differs between members, each an array [m]."""

    seed: np.ndarray  # u32
    learning_rate: np.ndarray  # f32
    weights: dict[str, np.ndarray]  # f32, of the terms of the loss


def key(config: ConfigDict) -> tuple:
    """What must be equal for configs to train together; () for one that cannot.

    Class weights that are counted on the labels of a member are built into its step,
    and windows of training (fit "crop") lie around its labels.
    """
    alone = config.eval.patience or from_config.has_plateau(config)
    if alone or config.num_seeds > 1:
        return ()
    counted = training_labels.names_class_weights(config)
    windows = config.data.fit not in resize.MODES
    if (counted or windows) and training_labels.is_partial(config):
        return ()
    free = {*FREE, *(f"loss.{n}.weight" for n, b in config.loss.items() if _plain(b))}
    free -= set() if config.sampler.seed >= 0 else {"seed"}  # other batches
    flat = files.flat(config.to_dict())
    return tuple(sorted((k, v) for k, v in flat.items() if k not in free))


def _plain(block) -> bool:
    return isinstance(block["weight"], (int, float)) and block["weight"] > 0


def hyper(configs: Sequence[ConfigDict]) -> Hyper:
    """The numbers of the members; ConfigError when they differ in anything else."""
    if len({key(config) or i for i, config in enumerate(configs)}) > 1:
        raise ConfigError(
            "these configs cannot train together: only "
            f"{', '.join(FREE)} and plain weights of the loss may differ, the order of "
            "images must be one (config.sampler.seed=0), config.eval.patience and the "
            'schedule "plateau" must be off, and class weights by name and '
            'data.fit="crop" need full masks.'
        )
    first = configs[0]
    names = [n for n, b in first.loss.items() if _plain(b)]
    return Hyper(
        seed=np.array([c.seed for c in configs], np.uint32),
        learning_rate=np.array([c.optim.learning_rate for c in configs], np.float32),
        weights={
            n: np.array([c.loss[n].weight for c in configs], np.float32) for n in names
        },
    )


def make_step(config: ConfigDict, experiment: build.Experiment) -> Callable:
    """jit-compiled (states, batch, masks u8 [m b h w], hyper) -> (states, numbers).

    States and numbers have a leading axis [m]; images, labels, weights and indices of
    the batch are shared. Class weights that are counted (by name) must be too.
    """
    plan, train = experiment.plan, experiment.splits["train"]
    settings = from_config.step_settings(
        config, train.pixels, experiment.parts, None, plan, train.image_classes
    )

    def one(state, batch, mask, hyper):
        losses = {
            name: (fn, hyper.weights[name] if name in hyper.weights else weight)
            for name, (fn, weight) in settings.losses.items()
        }
        tx, _ = from_config.optimizer(config, plan, traced=hyper.learning_rate)
        member = settings._replace(seed=hyper.seed, losses=losses, tx=tx)
        with nn.intercept_methods(vmap_convolution.in_training):
            return step.train_step(state, batch | {"mask": mask}, member)

    many = jax.vmap(one, in_axes=(0, None, 0, 0))
    return jax.jit(many, donate_argnums=0, compiler_options=compiler.options())


def create(seeds: np.ndarray, init: dict) -> Any:
    """New states [m], each as `state.create` would make it."""
    one = functools.partial(state.init, **init)
    make = jax.jit(one, compiler_options=state.COMPILE_FAST)  # as state.create does
    return stack([make(jax.random.key(int(seed))) for seed in seeds])


def stack(trees: Sequence[Any]) -> Any:
    """Trees of arrays as one with a leading axis."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


@jax.jit
def take(tree: Any, i: int) -> Any:
    """Member i of what `stack` made; compiled once for all of them."""
    index = jax.lax.dynamic_index_in_dim
    return jax.tree.map(lambda x: index(x, i, keepdims=False), tree)
