"""Predicts images with finished runs: python -m jaxseg.predict --run=runs/x \\
    --input=images/ --output=predictions/

`--input` is a file or a folder of PNG, JPEG, BMP, TIFF and DICOM files and of Zarr
arrays, whose names, sizes and orientations come back. In the output folder are masks of
class ids (`masks/`, by `--format` other files), pictures with the classes upon the
images (`overlays/`), `predictions.csv` with areas and confidence (of a run with a
decision head also `image_score` and `image_decision`, of one with classes of whole
images their probabilities and what is decided), and `errors.csv` with the images that
could not be used: then the exit code is 3. The decision rule is the one that the run
froze. A run that learned classes of whole images and no pixels writes no masks.

The same command goes on where it was stopped: finished images are skipped, one that
changed is predicted again. What was predicted by another run or with other options is
replaced with `--overwrite` alone.

`--ensemble=runs/a,runs/b` gives the mean of their probabilities, decided by the frozen
rule of the first. `--tta=flips` or `--tta=rot90` gives that over mirror images or
quarter turns, and `--mc_dropout=N` over N passes with the dropout of the network left
on; the three can be combined. With `--exact` the tiles of a convolutional network,
which must be large enough (`--tile`), are joined to what the whole image in one piece
would give, where otherwise they are blended. With `--blacken` the mask of an image is
emptied where a run with a decision head says, at its frozen threshold, that there is
nothing. TIFF images and Zarr arrays of more than
`--max_pixels` are read and written by rows of tiles, in memory that does not grow with
their height.
"""

import pathlib
import re

from absl import flags, logging

from jaxseg.config import command_line

RUN = flags.DEFINE_string("run", "", "Run directory of a finished run.")
ENSEMBLE = flags.DEFINE_list("ensemble", [], "Run directories, in place of --run.")
INPUT = flags.DEFINE_string("input", "", "An image, or a folder of images.")
OUTPUT = flags.DEFINE_string("output", "", "Folder for what is written.")
FORMAT = flags.DEFINE_list(
    "format", ["png"], "png, tif, geojson, imagej_roi, dicom_seg, or several of them."
)
OVERLAYS = flags.DEFINE_bool("overlays", True, "Whether pictures are drawn.")
PROBABILITIES = flags.DEFINE_bool(
    "probabilities", False, "Whether probabilities are written, as TIFF of f32."
)
TTA = flags.DEFINE_enum(
    "tta", "", ["", "flips", "rot90"], "Means over mirror images or quarter turns."
)
MC_DROPOUT = flags.DEFINE_integer(
    "mc_dropout", 0, "Means over so many passes with dropout; 0: none.", lower_bound=0
)
TILE = flags.DEFINE_string(
    "tile", "auto", "HEIGHTxWIDTH of the tiles of a run at native scale."
)
EXACT = flags.DEFINE_bool(
    "exact", False, "Tiles of a convolutional network joined as in one piece."
)
BLACKEN = flags.DEFINE_bool(
    "blacken", False, "Empties masks where the decision on the whole image says no."
)
PAGE = flags.DEFINE_integer("page", None, "Page of TIFF files, counted from 0.")
PIXEL_SIZE = flags.DEFINE_float(
    "pixel_size", None, "Micrometres, where a file does not say them.", lower_bound=1e-9
)
MAX_PIXELS = flags.DEFINE_integer(
    "max_pixels",
    64_000_000,
    "The most of an image in memory; about 50 bytes each.",
    lower_bound=1,
)
OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace what is there.")


def main(argv) -> int:
    logging.set_verbosity(logging.INFO)
    runs = [RUN.value] if RUN.value else []
    runs += ENSEMBLE.value
    if not runs or (RUN.value and ENSEMBLE.value):
        command_line.fail(
            "name the run, for example --run=runs/ptx, or several with "
            "--ensemble=runs/a,runs/b",
            command_line.BAD_CONFIG,
        )
    for name, value in (("input", INPUT.value), ("output", OUTPUT.value)):
        if not value:
            command_line.fail(f"name the {name}: --{name}=...", command_line.BAD_CONFIG)
    tile = _tile(TILE.value)
    from jaxseg.errors import DataError
    from jaxseg.experiment import processes
    from jaxseg.predict import folder, outputs, seam, tables

    processes.start()
    outcome = folder.predict(
        folder.Request(
            runs=tuple(map(pathlib.Path, runs)),
            source=pathlib.Path(INPUT.value),
            output=pathlib.Path(OUTPUT.value),
            augmentation=TTA.value,
            tile=tile,
            exact=EXACT.value,
            mc_dropout=MC_DROPOUT.value,
            blacken=BLACKEN.value,
            formats=tuple(FORMAT.value),
            overlays=OVERLAYS.value,
            probabilities=PROBABILITIES.value,
            page=PAGE.value,
            pixel_size=PIXEL_SIZE.value,
            max_pixels=MAX_PIXELS.value,
            overwrite=OVERWRITE.value,
        )
    )
    if len(runs) > 1:
        print(f"decided by the frozen rule of the first run, {runs[0]}")
    rows, before = outcome.rows, outcome.skipped
    print(f"{len(rows)} images predicted, {before} of them by an earlier start")
    if outcome.at_seams:
        print(seam.line(outcome.at_seams))
    if outcome.rows:
        print(tables.look_at_first(outcome.rows))
    if outcome.problems:
        where = pathlib.Path(OUTPUT.value) / outputs.ERRORS
        print(f"{len(outcome.problems)} images could not be used: {where}")
        return DataError.exit_code
    return 0


def _tile(text: str) -> str | tuple[int, int]:
    if text == "auto":
        return text
    match = re.fullmatch(r"([1-9]\d{0,5})x([1-9]\d{0,5})", text)
    if not match:
        command_line.fail(
            f"--tile={text}: give auto, or HEIGHTxWIDTH such as 512x512.",
            command_line.BAD_CONFIG,
        )
    return int(match[1]), int(match[2])


if __name__ == "__main__":
    command_line.run(main)
