"""Trains and scores a model: python -m jaxseg.main --config=configs/NAME.py[:recipe].

The same command again goes on where it stopped, or says that the run is finished and
where its report is.
"""

import pathlib

from absl import flags, logging

from jaxseg import cli, config_check, defaults, grid

CONFIG = cli.define_config()
WORKDIR = flags.DEFINE_string("workdir", "", "Run directory; default runs/<name>.")
DRY_RUN = flags.DEFINE_bool(
    "dry_run", False, "Show config, parameters, memory and one step; write nothing."
)
COORDINATOR = flags.DEFINE_string("coordinator", "", "host:port of process 0.")
PROCESSES = flags.DEFINE_integer("num_processes", 0, "Number of processes.")
PROCESS = flags.DEFINE_integer("process_id", -1, "Number of this process, from 0.")


def main(argv) -> int:
    config = CONFIG.value and defaults.complete(CONFIG.value)
    config_check.check(config)
    workdir = pathlib.Path(WORKDIR.value or f"runs/{config.name}-{config.recipe}")
    logging.set_verbosity(logging.INFO)
    logging.info("%s", config_check.first_line(config, workdir))
    # JAX is imported only now: a typing error is answered without it
    from jaxseg import runtime, summary, train

    runtime.start(
        coordinator=COORDINATOR.value,
        processes=PROCESSES.value,
        process=PROCESS.value,
    )
    if DRY_RUN.value:
        from jaxseg import dry_run

        text = dry_run.describe(config)
        if runtime.is_main():
            print(text)
        return 0
    if config.num_seeds > 1:
        from jaxseg import campaign

        members = grid.members(config, grid.repeats(config, config.num_seeds))
        failed = campaign.here(members, workdir, at_most=1)
        if not runtime.is_main():
            return int(bool(failed))
        code, lines = campaign.conclude(list(members), workdir, failed)
        print("\n".join(lines))
        return code
    known = train.train_and_evaluate(config, workdir)
    if runtime.is_main():
        from jaxseg.report import build

        paths = build.build(workdir)
        print(summary.of_run(known, workdir, paths))
    return 0


if __name__ == "__main__":
    cli.run(main)
