"""Rebuilds the report of a run: `python -m jaxseg.report runs/ptx`."""

import sys

from absl import app

from jaxseg.errors import ConfigError, DataError
from jaxseg.report import build


def main(argv: list[str]) -> int:
    """The exit code: 0 built, 2 wrong call, 3 a file of the run cannot be used."""
    try:
        if len(argv) != 2:
            raise ConfigError(
                f"got {len(argv) - 1} arguments, wants exactly one run directory: "
                "python -m jaxseg.report runs/ptx"
            )
        written = build.build(argv[1])
    except (ConfigError, DataError) as error:
        print(f"jaxseg.report: {error}", file=sys.stderr)
        return error.exit_code
    for path in written.values():
        print(path)
    return 0


if __name__ == "__main__":
    app.run(main)
