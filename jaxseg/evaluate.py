"""Scores a finished run again: python -m jaxseg.evaluate --run=runs/ptx --split=test.

Any number of devices will do: the counts are the same. The operating point is the one
that was frozen when the run finished; nothing is chosen here.
"""

import pathlib

from absl import flags, logging

from jaxseg import cli

RUN = flags.DEFINE_string("run", "", "Run directory.")
SPLIT = flags.DEFINE_string("split", "test", "Split to score.")
DATA_DIR = flags.DEFINE_string("data_dir", "", "Where the data lies now, if it moved.")


def main(argv) -> int:
    logging.set_verbosity(logging.INFO)
    if not RUN.value:
        cli.fail("name the run, for example --run=runs/ptx", cli.BAD_CONFIG)
    from jaxseg import rescore, runtime, summary

    runtime.start()
    found, same = rescore.score_again(
        pathlib.Path(RUN.value), SPLIT.value, data_dir=DATA_DIR.value
    )
    if runtime.is_main():
        from jaxseg.report import build

        build.build(RUN.value)
        print(summary.score_lines(found))
        print(f"equal to the scores that were there: {same}")
    return 0


if __name__ == "__main__":
    cli.run(main)
