"""Trains and scores a model: python -m jaxseg.main --config=RECIPE[:variant].

RECIPE is the name of a file in configs/, or the path of one of your own. The same
command again goes on where it stopped, or says that the run is finished and where its
report is. --workdir=s3://my-bucket/runs/x (or gs://) trains in a folder of this machine
and keeps the bucket up with it: started anywhere, the run goes on from there.
"""

import copy
import os
import pathlib
import sys

from absl import flags, logging

from jaxseg.config import (
    check,
    check_folds,
    command_line,
    console,
    limits,
    profiled_steps,
    stored,
)
from jaxseg.devices import cluster
from jaxseg.errors import ConfigError
from jaxseg.run_directory import bucket, files, mirror, older_configs
from jaxseg.sweep import members

CONFIG = command_line.define_config()
WORKDIR = flags.DEFINE_string(
    "workdir", "", "Run directory; default runs/<name>. s3:// and gs:// too."
)
DRY_RUN = flags.DEFINE_bool(
    "dry_run", False, "Show config, parameters, memory and one step; write nothing."
)
PROFILE = flags.DEFINE_string(
    "profile", "", "START:STOP, steps whose time is recorded in profile/ of the run."
)
COORDINATOR = flags.DEFINE_string("coordinator", "", "host:port of process 0.")
PROCESSES = flags.DEFINE_integer("num_processes", 0, "Number of processes.")
PROCESS = flags.DEFINE_integer("process_id", -1, "Number of this process, from 0.")
TIMEOUT = flags.DEFINE_float(
    "coordinator_timeout_s", 0, "Until all processes must have come; default 120."
)


def main(argv) -> int:
    stored.check_named(CONFIG.value, WORKDIR.value)
    config = CONFIG.value and older_configs.complete(CONFIG.value)
    check.check(config)
    all_folds = check_folds.are_all(config)
    several = config.two_stage.on or config.num_seeds > 1 or all_folds
    profiled = profiled_steps.parse(
        PROFILE.value, dry_run=DRY_RUN.value, several=several
    )
    place = cluster.place(
        os.environ,
        coordinator=COORDINATOR.value,
        processes=PROCESSES.value,
        process=PROCESS.value,
    )
    timeout = cluster.timeout(os.environ, TIMEOUT.value)
    address = WORKDIR.value or f"runs/{config.name}-{config.recipe}"
    workdir = _folder(address, several=several)
    console.verbosity(logging.INFO)
    recipe = command_line.config_value(sys.argv)
    if recipe.endswith(files.CONFIG):
        logging.info("going on with the config that is stored in %s", recipe)
    logging.info("%s", check.first_line(config, workdir))
    logging.info("%s", cluster.line(place))
    for line in limits.without_effect(config, command_line.overrides(sys.argv)):
        logging.warning("%s", line)
    # JAX is imported only now: a typing error is answered without it
    from jaxseg.experiment import processes, self_configuration
    from jaxseg.train import mirrored

    processes.start(place, timeout=timeout)
    if bucket.is_url(address) and not DRY_RUN.value:
        with mirrored.opened(address) as sending:
            config = self_configuration.resolve(config, workdir)
            check.check(config)
            return _train(config, workdir, profiled, sending)
    config = self_configuration.resolve(config, workdir)
    check.check(config)
    if DRY_RUN.value:
        from jaxseg.train import dry_run

        text = dry_run.describe(config)
        if processes.is_main():
            print(text)
        return 0
    if several and processes.is_main():
        stored.note(sys.argv, recipe, workdir)
    if config.two_stage.on:
        from jaxseg.sweep import stages

        return stages.main(
            older_configs.add_missing(copy.deepcopy(CONFIG.value)), workdir
        )
    if config.num_seeds > 1:
        from jaxseg.sweep import run_members

        configs = members.members(config, members.repeats(config, config.num_seeds))
        failed = run_members.here(configs, workdir, at_most=1)
        if not processes.is_main():
            return int(bool(failed))
        code, lines = run_members.conclude(list(configs), workdir, failed)
        print("\n".join(lines))
        return code
    if all_folds:
        from jaxseg.sweep import folds

        return folds.main(config, workdir)
    return _train(config, workdir, profiled)


def _folder(address: str, *, several: bool) -> pathlib.Path:
    """The run directory of this machine for --workdir, a path or the URL of a bucket.

    Raises ConfigError for a URL that cannot be used.
    """
    if not bucket.is_url(address):
        return pathlib.Path(address)
    if several:
        raise ConfigError(
            f"--workdir={address}: a bucket holds one run, and this command trains "
            "several (num_seeds, folds, two stages): give each a command and a URL "
            "of its own, such as --config.num_seeds=1 --config.seed=1 "
            f"--workdir={address}-1."
        )
    return mirror.local_copy(address)


def _train(config, workdir, profiled, sending=None) -> int:
    """Trains one run, or goes on with it, and writes its report; the exit code."""
    from jaxseg.experiment import processes
    from jaxseg.report.run import build
    from jaxseg.run_directory import summary
    from jaxseg.train import loop

    record = loop.train_and_evaluate(config, workdir, profiled=profiled, mirror=sending)
    if processes.is_main():
        paths = build.build(workdir)
        print(summary.of_run(record, workdir, paths))
    return 0


if __name__ == "__main__":
    command_line.run(main)
