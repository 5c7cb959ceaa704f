"""A model whose frozen parts are still in training: no gradients, no statistics."""

import functools
import types
from collections.abc import Iterable
from typing import Any

import flax.linen as nn
import jax

from jaxseg.train_step import parameter_groups


def norms(model_state: Any, patterns: Iterable[str]) -> tuple[set[str], set[str]]:
    """(batch norms that keep their statistics, those that do not): paths of modules.

    Raises ConfigError for a pattern that matches none.
    """
    leaves = parameter_groups.paths(model_state.get("batch_stats", {}))
    every = {path.rpartition("/")[0] for path in leaves}
    still = parameter_groups.matching(sorted(every), patterns, name="freeze_norm")
    return still, every - still


def hold(
    model: Any,
    *,
    freeze: Iterable[str] = (),
    frozen_until: int = 0,
    freeze_norm: Iterable[str] = (),
) -> Any:
    """`model` for training: something with the model's `apply`, or the model itself.

    Batch norms that match `freeze_norm` normalise by their running statistics, which
    stay as they are; scale and bias learn unless they are frozen too. Parameters that
    are frozen for ever (`frozen_until` 0) get no gradient, so that none is computed.
    """
    freeze = () if frozen_until else tuple(freeze)
    freeze_norm = tuple(freeze_norm)
    if not freeze and not freeze_norm:
        return model

    def apply(variables, *args, **kwargs):
        params = variables["params"]
        rest = {k: v for k, v in variables.items() if k != "params"}
        frozen = parameter_groups.matching(
            parameter_groups.paths(params), freeze, name="freeze"
        )
        stopped = [
            jax.lax.stop_gradient(leaf) if path in frozen else leaf
            for path, leaf in parameter_groups.paths(params).items()
        ]
        params = jax.tree.unflatten(jax.tree.structure(params), stopped)
        still, _ = norms(rest, freeze_norm)
        with nn.intercept_methods(functools.partial(_as_in_evaluation, still)):
            return model.apply({"params": params, **rest}, *args, **kwargs)

    return types.SimpleNamespace(apply=apply)


def _as_in_evaluation(still: set[str], call, args, kwargs, context):
    """Calls a module; a batch norm of `still` as if train were False."""
    module = context.module
    if context.method_name == "__call__" and "/".join(module.path) in still:
        if "train" in kwargs:
            kwargs = {**kwargs, "train": False}
        elif module.use_running_average is None:  # Flax's own takes it here
            args, kwargs = args[:1], {**kwargs, "use_running_average": True}
        else:  # or as a field, and then refuses the argument
            object.__setattr__(module, "use_running_average", True)
    return call(*args, **kwargs)
