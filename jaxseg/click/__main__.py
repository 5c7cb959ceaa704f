"""Adds clicks where a finished run is wrong: python -m jaxseg.click --run=runs/a \\
    --positive=5 --negative=5 --output=clicks.npz

In each training image the full mask is asked for up to so many clicks on what the best
weights missed, and on what they invented, besides the labels the run had. Where nothing
is wrong no click is spent. The next round trains with

    python -m jaxseg.main --config=... --config.supervision.name=stored \\
        --config.supervision.paths=clicks.npz
"""

import pathlib

from absl import flags, logging

from jaxseg.config import command_line
from jaxseg.errors import ConfigError

RUN = flags.DEFINE_string("run", "", "Run directory of a finished run.")
POSITIVE = flags.DEFINE_integer(
    "positive", 5, "Clicks an image on missed foreground, for each class."
)
NEGATIVE = flags.DEFINE_integer(
    "negative", 5, "Clicks an image on background taken for foreground."
)
OUTPUT = flags.DEFINE_string("output", "clicks.npz", "File for all labels.")
DATA_DIR = flags.DEFINE_string("data_dir", "", "Where the data lies now, if it moved.")


def main(argv) -> int:
    logging.set_verbosity(logging.WARNING)
    if not RUN.value:
        command_line.fail(
            "name the run, for example --run=runs/clicks-10+10", command_line.BAD_CONFIG
        )
    import jax

    from jaxseg.click import rounds
    from jaxseg.data import sparse_labels
    from jaxseg.experiment import processes
    from jaxseg.weights import save

    path = pathlib.Path(OUTPUT.value)
    save.check_free(path)
    processes.start()
    if jax.process_count() > 1:
        raise ConfigError("click looks at every image itself: start it in one process.")
    clicked = rounds.click(
        pathlib.Path(RUN.value),
        positive=POSITIVE.value,
        negative=NEGATIVE.value,
        data_dir=DATA_DIR.value,
    )
    sparse_labels.store(path, clicked.labels)
    print(rounds.describe(clicked))
    print(
        f"{path}: train on it with --config.supervision.name=stored "
        f"--config.supervision.paths={path}"
    )
    return 0


if __name__ == "__main__":
    command_line.run(main)
