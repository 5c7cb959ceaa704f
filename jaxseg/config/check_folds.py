"""What can be wrong with the folds of a config and be said before JAX starts."""

from ml_collections import ConfigDict

from jaxseg.errors import ConfigError

LEAST = 3  # of folds: one tests, one validates, and one is left to train on


def are_all(config: ConfigDict) -> bool:
    """Whether the config asks for one run of each fold, not for a single one."""
    return config.folds > 0 and config.fold < 0


def check(config: ConfigDict) -> None:
    """Raises ConfigError for folds that are none, or that do not go with the rest."""
    folds, fold = config.folds, config.fold
    if 0 < folds < LEAST:
        raise ConfigError(
            f"config.folds is {folds}; give at least {LEAST} (one fold tests, one "
            "validates, the rest trains), or 0 for the splits of the data."
        )
    if fold >= folds > 0 or (fold >= 0 and not folds):
        allowed = f"from 0 to {folds - 1}, or -1 for all of them" if folds else "-1"
        raise ConfigError(
            f"config.fold is {fold}, but config.folds is {folds}: give {allowed}."
        )
    if folds and config.num_seeds > 1:
        raise ConfigError(
            f"config.folds is {folds} and config.num_seeds {config.num_seeds}: each "
            "makes several runs, and a run is a repeat in one way. Leave num_seeds at "
            "1, and give every repeat of the folds another config.seed and --workdir."
        )
    if folds and config.two_stage.on:
        raise ConfigError(
            f"config.folds is {folds} and config.two_stage.on True: two stages are "
            "not trained in folds. Set config.folds=0, or train the stages apart."
        )
    if are_all(config) and config.parent and config.parent_step != "none":
        raise ConfigError(
            f"config.folds is {folds} and config.parent {config.parent}: what one run "
            "learned may come from images that a member tests, so their scores would "
            "say nothing. Give --config.parent_step=none, which only names the parent."
        )
