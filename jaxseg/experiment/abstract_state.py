"""Traces a model for the shapes of its state, and says why one cannot be built."""

from typing import Any

from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxseg import lookup
from jaxseg.errors import ConfigError
from jaxseg.train_step import state
from jaxseg.types import TrainState


def of(config: ConfigDict, mesh: Mesh, init: dict[str, Any]) -> TrainState:
    """The state that `init` (arguments of `state.init`) begins with, as shapes.

    Raises ConfigError, in words, for whatever the model raises while it is traced: a
    word where it takes a number, or a model of the user's own that lacks `train`.
    """
    try:
        return state.abstract(mesh, **init)
    except Exception as error:  # of code that may not be ours
        if hasattr(error, "exit_code"):
            raise
        name = config.model.name
        own = "." in name
        block = f"config.model.{'fields' if own else name}"
        why = " ".join(str(error).split())[:300]
        must = f" As one of models, {name} must define {lookup.CONTRACTS['models'][1]}."
        raise ConfigError(
            f"the model {name} cannot be built with {block} = "
            f"{config.model['fields' if own else name].to_dict()}: "
            f"{type(error).__name__}: {why}.{must * own}"
        ) from error
