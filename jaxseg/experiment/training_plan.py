"""Plans the training: the batch, the order of examples, and the number of steps."""

import functools
from typing import NamedTuple

import jax
from ml_collections import ConfigDict

from jaxseg.data import pipeline, prepared
from jaxseg.errors import ConfigError
from jaxseg.experiment import chosen, length


class Plan(NamedTuple):
    """How long training is, in every unit."""

    batch_size: int
    epoch_size: int  # examples, a multiple of the batch size
    steps_per_epoch: int
    total_steps: int
    order: pipeline.Order  # (epoch=) -> indices
    shares: tuple[float, ...]  # target share of positives of each epoch
    epochs: int  # the last of them may be shorter

    def ends_epoch(self, done: int) -> bool:
        """Whether an epoch ends with the step that makes it `done` steps."""
        return done % self.steps_per_epoch == 0 or done == self.total_steps


def make(config: ConfigDict, split: prepared.Split, batch_size: int) -> Plan:
    """The order of examples and the number of steps."""
    sampler, options = chosen.sampler(config, split)
    present = split.present
    wanted = sampler.epoch_size(present, **options)
    steps, total, epochs = length.of(config, epoch_size=wanted, batch_size=batch_size)
    sampler_args = {"epochs": epochs, **options}
    return Plan(
        batch_size=batch_size,
        epoch_size=steps * batch_size,
        steps_per_epoch=steps,
        total_steps=total,
        order=functools.partial(
            sampler.order,
            present,
            seed=sampler_seed(config),
            size=steps * batch_size,
            **sampler_args,
        ),
        shares=tuple(
            sampler.share(present, epoch=e, **sampler_args) for e in range(epochs)
        ),
        epochs=epochs,
    )


def sampler_seed(config: ConfigDict) -> int:
    return config.sampler.seed if config.sampler.seed >= 0 else config.seed


def batch_size(config: ConfigDict, fixed: int = 0) -> int:
    """Examples a step over all devices; ConfigError when it cannot be shared out.

    `fixed` is that of a run that goes on: it stays, whatever the devices now.
    """
    devices = jax.device_count()
    size = fixed or config.batch_size or config.per_device_batch * devices
    unit = devices * config.optim.accumulate
    if size % unit:
        raise ConfigError(
            f"the batch has {size} images, which {devices} device(s) x "
            f"{config.optim.accumulate} micro-batch(es) cannot share equally; "
            f"set config.batch_size to a multiple of {unit}."
        )
    return size
