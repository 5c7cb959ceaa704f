"""Rebuilds the report of a run or of folds, or compares several runs.

python -m jaxseg.report runs/ptx
python -m jaxseg.report runs/a runs/b runs/sweep --output=report/
"""

import argparse
import sys

from jaxseg import atomic
from jaxseg.errors import ConfigError, DataError, NotWritten
from jaxseg.report.comparison import build, folds
from jaxseg.report.run import build as run_build


def main(argv: list[str]) -> int:
    """The exit code: 0 built, 2 wrong call, or a place that cannot be written, 3 a file
    of a run cannot be used, 74 no room for the report.
    """
    arguments = _parser().parse_args(argv[1:])
    runs, output, metric = arguments.runs, arguments.output, arguments.metric
    try:
        if output:
            written = build.build(runs, output, metric=metric)
        elif len(runs) == 1 and not metric and folds.is_root(runs[0]):
            written = folds.build(runs[0])
        elif len(runs) == 1 and not metric:
            written = run_build.build(runs[0])
        else:
            raise ConfigError(
                f"got {len(runs)} run directories and no --output; wants one run "
                "directory (python -m jaxseg.report runs/ptx), or several and a place "
                "for their comparison (runs/a runs/b --output=report/)."
            )
    except (ConfigError, DataError, NotWritten) as error:
        return _end(error)
    except OSError as error:
        told = atomic.told(error)
        if told is None:
            raise
        return _end(told)
    for path in written.values():
        print(path)
    return 0


def _end(error: ConfigError | DataError | NotWritten) -> int:
    print(f"jaxseg.report: {error}", file=sys.stderr)
    return error.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m jaxseg.report", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("runs", nargs="*", help="run directories, or folders of them")
    parser.add_argument(
        "--output", help="directory of a comparison; new, or an old one"
    )
    parser.add_argument("--metric", help="what orders the runs, such as dice_pooled")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv))
