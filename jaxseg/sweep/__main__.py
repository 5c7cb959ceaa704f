"""Trains the members of a sweep: python -m jaxseg.sweep --config=configs/clicks.py.

The recipe's `get_sweep()` names the members and what each changes; without one,
`--seeds=3` repeats the config. Members that differ in numbers alone (seed, learning
rate, weights of the loss, labels) train together in one program. The same command
again goes on where it stopped; a member that fails is reported and the others go on.
Each is a run directory of its own, and a report compares them.
"""

import copy
import pathlib
import sys

from absl import flags, logging

from jaxseg.config import (
    check,
    check_folds,
    command_line,
    console,
    limits,
    recipe_file,
    stored,
)
from jaxseg.errors import ConfigError
from jaxseg.run_directory import older_configs
from jaxseg.sweep import members

CONFIG = command_line.define_config()
WORKDIR = flags.DEFINE_string("workdir", "", "Holds the runs; default runs/<name>.")
SEEDS = flags.DEFINE_integer("seeds", 0, "Seeds; default those of get_sweep(), or 3.")
TOGETHER = flags.DEFINE_integer(
    "together", 9, "Members in one program; 1 = alone.", lower_bound=1
)
PARALLEL = flags.DEFINE_integer(
    "parallel", 1, "Above 1: members at a time, each in a process alone.", lower_bound=1
)
COMMANDS = flags.DEFINE_bool("commands", False, "Only print the command of each.")


def main(argv) -> int:
    stored.check_named(CONFIG.value, WORKDIR.value)
    config = CONFIG.value and older_configs.complete(CONFIG.value)
    check.check(config)
    config = older_configs.add_missing(copy.deepcopy(CONFIG.value))
    if config.num_seeds > 1:
        raise ConfigError(
            f"config.num_seeds is {config.num_seeds}, which python -m jaxseg.main "
            f"trains; a sweep takes --seeds={config.num_seeds}."
        )
    apart = COMMANDS.value or PARALLEL.value > 1  # each member in a process of its own
    if check_folds.are_all(config):
        raise ConfigError(
            f"config.folds is {config.folds}, which python -m jaxseg.main trains: "
            "start that, or name one fold for all members by config.fold."
        )
    workdir = pathlib.Path(WORKDIR.value or f"runs/{config.name}-sweep")
    if config.auto.on and not apart:
        from jaxseg.experiment import processes, self_configuration

        processes.start()
        config = self_configuration.resolve(config, workdir)
    path = recipe_file.find(command_line.config_value(sys.argv))
    changed = members.changes(config, path, seeds=SEEDS.value)
    configs = members.members(config, changed)
    for member in configs.values():
        check.check(member)
    commands = {}
    if apart:
        commands = members.commands(sys.argv, CONFIG.value, changed, workdir)
    if COMMANDS.value:
        print("\n".join(map(members.text, commands.values())))
        return 0
    console.verbosity(logging.INFO)
    stored.note(sys.argv, command_line.config_value(sys.argv), workdir)
    logging.info("%d members in %s", len(configs), workdir)
    typed = command_line.overrides(sys.argv)
    unused = [set(limits.without_effect(c, typed)) for c in configs.values()]
    for line in sorted(set.intersection(*unused)):
        logging.warning("%s", line)
    # JAX is imported only now: a typing error is answered without it
    from jaxseg.experiment import processes
    from jaxseg.sweep import run_members

    if PARALLEL.value > 1:  # this process leaves the devices to them
        failed = run_members.in_processes(commands, workdir, at_a_time=PARALLEL.value)
    else:
        processes.start()
        failed = run_members.here(configs, workdir, at_most=TOGETHER.value)
    code, lines = run_members.conclude(list(configs), workdir, failed)
    print("\n".join(lines))
    return code


if __name__ == "__main__":
    command_line.run(main)
