"""Computes how long training is, in steps and in epochs, from whichever is given.

`config.epochs` epochs, or `config.steps` optimizer steps where that is above 0: then
steps decide, and the number of epochs follows. The last epoch may be shorter; it ends
with its row of history.csv and its validation as every epoch does.

An epoch is what the sampler calls one, in whole steps, or `config.steps_per_epoch`
steps where that is above 0 (nnU-Net's are 250). A small set has epochs of a step or
two, and a validation after each would cost more than the training: where steps decide
and no length is given, an epoch is as many passes of the sampler as make VALIDATIONS
epochs or fewer of the whole.
"""

from typing import NamedTuple

from ml_collections import ConfigDict

VALIDATIONS = 100  # at most, of a training whose steps are given


class Length(NamedTuple):
    """The length of a training."""

    steps_per_epoch: int
    total_steps: int
    epochs: int  # the last of them may be shorter


def of(config: ConfigDict, *, epoch_size: int, batch_size: int) -> Length:
    """The length for a sampler whose epoch has `epoch_size` examples."""
    steps = max(1, round(epoch_size / batch_size))
    if config.steps_per_epoch:
        steps = config.steps_per_epoch
    elif config.steps:
        steps *= -(-config.steps // (VALIDATIONS * steps))
    total = config.steps or steps * config.epochs
    return Length(steps, total, -(-total // steps))


def warmup_steps(config: ConfigDict, steps_per_epoch: int) -> int:
    """Steps in which the learning rate rises, given in steps or else in epochs."""
    if config.optim.warmup_steps >= 0:
        return config.optim.warmup_steps
    return round(config.optim.warmup_epochs * steps_per_epoch)
