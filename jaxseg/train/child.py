"""Begins a run with what its parent learned: parameters, averages, optimizer state.

What has the same place and shape is taken over; the rest begins as in any new run, and
is said in one list. The child counts its own steps: its schedule begins at 0, while
moments of Adam go on with the count that they were made by.
"""

import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from absl import logging
from ml_collections import ConfigDict

from jaxseg.errors import ConfigError
from jaxseg.experiment import finished_run
from jaxseg.run_directory import checkpoint, files, older_configs, schemas, seal
from jaxseg.train_step import optimizer
from jaxseg.types import TrainState

# fields of the state, and what they are to a user
_PARTS = {
    "params": "parameters",
    "model_state": "statistics of batch norms",
    "opt_state": "state of the optimizer",
    "ema_params": "average of the parameters",
}
_SHOWN = 6  # names of a list


class Begun(NamedTuple):
    """The state of a child before its first step, and where it came from."""

    state: TrainState
    step: int  # of the parent
    left: list[str]  # what was not taken over, in words


def begin(new: TrainState, config: ConfigDict, *, step: int | None = None) -> Begun:
    """The state `new` with all that fits of the checkpoint of config.parent.

    That is its best or its last step (config.parent_step), or exactly `step` for a
    child that was begun before. Raises ConfigError where nothing of it fits, and
    DataError for a parent without a good checkpoint.
    """
    place = pathlib.Path(config.parent)
    old, step = _restore(place, config.parent_step, step)
    taken, left = {}, []
    for field, words in _PARTS.items():
        source = getattr(old, field)
        if field == "ema_params" and source is None:
            source = old.params  # without an average the parameters are what is best
        here = getattr(new, field)
        taken[field], missing = _fill(here, source)
        total = len(jax.tree.leaves(here))
        if missing:
            names = ", ".join(missing[:_SHOWN])
            more = f" and {len(missing) - _SHOWN} more" * (len(missing) > _SHOWN)
            left.append(f"{len(missing)} of {total} arrays of {words} ({names}{more})")
        if field == "params" and len(missing) == total:
            raise ConfigError(
                f"config.parent is {place}, of whose parameters none has the name and "
                "shape of one of this model: name another parent, or begin with "
                "--config.parent_step=none, which only names it."
            )
    taken["opt_state"] = _at_start(new.opt_state, taken["opt_state"])
    logging.info("begun with step %d of %s", step, place)
    if left:
        logging.warning("not taken over, and so new: %s", "; ".join(left))
    return Begun(new.replace(**taken), step, left)


def _restore(
    place: pathlib.Path, which: str, step: int | None
) -> tuple[TrainState, int]:
    """(state, step) of the parent's checkpoint."""
    stored = files.read(place / files.CONFIG, schemas.ConfigBlocks)
    config = older_configs.complete(ConfigDict(stored))
    _, abstract = finished_run.expected(config, seal.read(place))
    manager = checkpoint.open_manager(
        place / "checkpoints",
        metric=f"validation/{config.eval.metric}",
        read_only=True,
    )
    if step is None and which == "best":
        step = checkpoint.best_step(manager)
    try:
        state, _, step = checkpoint.restore(manager, abstract, step=step)
    finally:
        checkpoint.close(manager)
    return state, step


def _fill(here: Any, source: Any) -> tuple[Any, list[str]]:
    """(the tree `here` with the leaves of `source` that fit, places of the others)."""
    leaves = jax.tree_util.tree_flatten_with_path(source)[0]
    old = {jax.tree_util.keystr(path): leaf for path, leaf in leaves}
    missing = []

    def one(path, leaf):
        name = jax.tree_util.keystr(path)
        value = old.get(name)
        if value is None or (value.shape, value.dtype) != (leaf.shape, leaf.dtype):
            missing.append("/".join(str(getattr(k, "key", k)) for k in path))
            return leaf
        host = np.asarray(value)
        return jax.make_array_from_callback(
            host.shape, leaf.sharding, lambda index: host[index]
        )

    return jax.tree_util.tree_map_with_path(one, here), missing


def _at_start(new: Any, taken: Any) -> Any:
    """`taken` with the counts of steps of `new`: those that schedules go by."""
    wrapped = (optax.ConditionallyTransformState, optax.ConditionallyMaskState)

    def counts(node) -> bool:
        of_rate = (optax.ScaleByScheduleState, optimizer.Factor)
        return isinstance(node, (*of_rate, *wrapped))

    def one(fresh, node):
        if isinstance(fresh, wrapped):
            inner = _at_start(fresh.inner_state, node.inner_state)
            return fresh._replace(inner_state=inner)
        return fresh if counts(fresh) else node

    return jax.tree.map(one, new, taken, is_leaf=counts)


def link(begun: Begun, parent: Mapping[str, Any]) -> dict[str, Any]:
    """What run.json says of the parent, with the step and what was not taken over."""
    return {**parent, "step": begun.step, "left": begun.left}
