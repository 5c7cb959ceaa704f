"""Reads from config.transfer what of a model learns, and how fast.

The patterns and factors are explained in jaxseg/train_step/parameter_groups.py.
"""

from collections.abc import Callable
from typing import Any

from ml_collections import ConfigDict

from jaxseg.errors import ConfigError
from jaxseg.experiment import decision
from jaxseg.train_step import optimizer, parameter_groups, step


def groups(config: ConfigDict) -> Callable[[Any], parameter_groups.Groups] | None:
    """parameters -> `parameter_groups.Groups`; None when all learn alike."""
    options = config.transfer.to_dict()
    until = options.pop("frozen_until")
    del options["freeze_norm"]
    if until < 0 or (until and not options["freeze"]):
        raise ConfigError(
            f"config.transfer.frozen_until is {until}; it must be 0 (for ever), or a "
            "number of steps beside patterns in config.transfer.freeze."
        )
    if parameter_groups.idle(**options):
        return None
    return lambda params: parameter_groups.groups(params, **options)


def held(config: ConfigDict, model: Any) -> Any:
    """The model as training sees it: `parameter_groups.freeze_model`."""
    c = config.transfer
    return parameter_groups.freeze_model(
        model,
        freeze=c.freeze,
        frozen_until=c.frozen_until,
        freeze_norm=c.freeze_norm,
    )


def overview(config: ConfigDict, state: Any) -> str:
    """Which parameters learn how fast, and which batch norms stay; for the log."""
    c = config.transfer
    still, moving = parameter_groups.frozen_norms(state.model_state, c.freeze_norm)
    chosen = (groups(config) or parameter_groups.groups)(state.params)
    frozen = [p for p, yes in parameter_groups.paths(chosen.frozen).items() if yes]
    loose = {p.rpartition("/")[0] for p in frozen} & moving
    lines = [parameter_groups.table(state.params, chosen, frozen_until=c.frozen_until)]
    if still:
        lines += [f"{len(still)} of {len(still | moving)} batch norms keep statistics"]
    if loose:
        lines += [
            f"{len(loose)} frozen batch norms still follow the statistics of their "
            "batches; name them in config.transfer.freeze_norm to stop that"
        ]
    return "\n".join(lines)


def check_gradients(config: ConfigDict, state: Any, settings: step.Settings) -> None:
    """Raises ConfigError for parameters without any gradient until now.

    To be asked after `parameter_groups.WATCH` steps of a run.
    """
    chosen = (groups(config) or parameter_groups.groups)(state.params)
    parameter_groups.check_silent(
        optimizer.gradient_means(state.opt_state),
        decision.resting(chosen.frozen, settings),
    )
