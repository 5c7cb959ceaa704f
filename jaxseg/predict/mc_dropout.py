"""Predicts with dropout left on: the mean over several thinned networks.

Monte Carlo dropout (Gal and Ghahramani, 2016, https://arxiv.org/abs/1506.02142): each
pass is a draw from an approximate posterior, and the mean over them is less sure where
they differ. The draw follows from the number of the pass alone and is the same for
every tile, so neither neighbours in a block, nor devices, nor a stop and another start
change a bit.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxseg.errors import ConfigError
from jaxseg.experiment import finished_run
from jaxseg.models import _dropout
from jaxseg.types import Batch

LEAST = 2


def check(run: finished_run.FinishedRun, passes: int, *, exact: bool) -> None:
    """Raises ConfigError where so many passes (0 = off) of a run mean nothing.

    That is fewer than LEAST, a network without dropout, and tiles that shall be joined
    to what one piece gives: each tile leaves out units by their place in the tile.
    """
    if not passes:
        return
    if passes < LEAST:
        raise ConfigError(
            f"--mc_dropout={passes}: give the number of passes, {LEAST} or more, or 0 "
            "to predict without dropout."
        )
    if exact:
        raise ConfigError(
            "--mc_dropout and --exact exclude each other: dropout leaves out units by "
            "their place in a tile, so no tiles give what one piece would; omit one."
        )
    shape = (1, *run.parts.view.size, run.record["dataset"]["channels"])
    image = jax.ShapeDtypeStruct(shape, np.float32)
    if not _dropout.rates(run.parts.model, run.variables, image):
        raise ConfigError(
            f"--mc_dropout={passes}: the network of {run.workdir}, "
            f"{run.config.model.name}, has no dropout (its rate is 0, or it has no "
            "such layer; stochastic depth is none): all passes would be equal. Train "
            "with dropout above 0, or omit it."
        )


def mean_of_passes(
    variables: Any, batch: Batch, *, predict: Callable, model: Any, passes: int
) -> Float[Array, "b h w k"]:
    """The mean of `predict(variables, batch, model=...)` over thinned networks.

    They follow one another in one program, so memory does not grow with their number.
    """

    def one(number):
        key = jax.random.fold_in(jax.random.key(0), number)
        return predict(variables, batch, model=_dropout.Thinned(model, key))

    shape = jax.eval_shape(one, 0)
    total, _ = jax.lax.scan(
        lambda total, number: (total + one(number), None),
        jnp.zeros(shape.shape, shape.dtype),
        jnp.arange(passes),
    )
    return total / passes
