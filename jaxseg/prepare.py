"""Prepares a data set once, for every later training.

    python -m jaxseg.prepare --dataset=siim_acr --source=/raw/siim --data_dir=/data

Shows progress, goes on where a killed preparation stopped, and ends with the data card.
The options of the data set are flags too: --dataset=siim_acr --help lists them.
Exit codes: 0 done, 2 wrong flag, 3 data that cannot be used, 74 no room to write.
"""

import inspect
import os
import re
import shlex
import sys
from collections.abc import Sequence

from absl import flags, logging

from jaxseg import lookup
from jaxseg.config import command_line, recipe_file
from jaxseg.errors import ConfigError

_EXAMPLE = __doc__.splitlines()[2].strip()
_KIND = "data/datasets"
_DATASET = flags.DEFINE_string("dataset", None, "Which data set, for example siim_acr.")
_SOURCE = flags.DEFINE_string("source", None, "Folder of the raw files.")
_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Folder that holds prepared data sets; default $JAXSEG_DATA."
)
_SHOWN = 20  # refused files listed here; all are in the card


def main(argv: Sequence[str]) -> None:
    """Prepares what the flags name, and prints the data card."""
    del argv
    data_dir = _DATA_DIR.value or os.environ.get("JAXSEG_DATA")
    asked = {"dataset": _DATASET.value, "source": _SOURCE.value, "data_dir": data_dir}
    for name, value in asked.items():
        if not value:
            raise ConfigError(f"--{name} is missing; for example: {_EXAMPLE}")
    dataset = lookup.find(_KIND, _DATASET.value)
    logging.set_verbosity(logging.WARNING)  # TFDS tells every file it reads
    options = {name: flags.FLAGS[name].value for name in _options(dataset)}
    directory = dataset.prepare(_SOURCE.value, data_dir, progress=True, **options)
    from jaxseg.data import prepared  # late: a wrong flag is answered at once

    print("\n".join(describe(prepared.read_card(directory))))
    print(f"in {directory}")
    print(f"train on it: {next_command(_DATASET.value, data_dir)}")


def next_command(dataset: str, data_dir: str) -> str:
    """The command that trains on what was prepared, by the recipe of that data set."""
    before, os.environ["JAXSEG_DATA"] = os.environ.get("JAXSEG_DATA"), str(data_dir)
    try:  # recipes ask there whether they have real data
        recipe = _recipe(dataset)
    finally:
        del os.environ["JAXSEG_DATA"]
        if before is not None:
            os.environ["JAXSEG_DATA"] = before
    where = shlex.quote(str(data_dir))
    return f"python -m jaxseg.main --config={recipe} --config.data.dir={where}"


def _recipe(dataset: str) -> str:
    """The recipe that trains on real data of this set, with its variant."""
    for name in recipe_file.names():
        for variant in ("", f":{dataset}", ":full", ":unet", ":segment_full"):
            try:
                data = recipe_file.load(f"{name}{variant}").data
            except ConfigError:  # it has no such variant
                continue
            if data.name == dataset and not data.demo.images:
                return f"{name}{variant}"
    return f"folder --config.data.name={dataset}"


def describe(card: dict) -> list[str]:
    """The lines of a data card for people to read."""
    foreground = ", ".join(card["classes"][1:])
    lines = [f"{card['name']} {card['version']}, from {card['source']}"]
    for name, split in card["splits"].items():
        total = sum(split["pixels"])
        lines.append(
            f"  {name:10} {split['images']:6} images of {split['groups']} groups, "
            f"{split['positives']} with {foreground} "
            f"({_percent(split['positives'], split['images'])}), "
            f"{_percent(total - split['pixels'][0], total)} of the pixels"
        )
        if bare := split.get("label_only_images", 0):
            lines[-1] += f"; {bare} have a label and no mask"
    lines += _image_classes(card)
    if absent := card.get("absent"):
        lines.append(f"  declared absent: {', '.join(absent)}")
    if shades := card["extra"].get("colours"):
        each = [f"{name} {','.join(map(str, rgb))}" for name, rgb in shades.items()]
        lines.append(f"  colours of the masks: {', '.join(each)}")
    weights = zip(card["classes"], card["class_weights"], strict=True)
    lines.append(
        "  class weights N / (classes x n_c), training: "
        + ", ".join(f"{name} {weight:.4g}" for name, weight in weights)
    )
    low, high = (" x ".join(map(str, card["sizes"][k])) for k in ("min", "max"))
    size = low if low == high else f"{low} to {high}"
    lines.append(f"  {size} pixels, {card['channels']} x {card['dtype']}")
    lines.append(f"  split: {card['split_rule']}")
    for key, value in card["extra"].items():
        if isinstance(value, int | float) and value:
            number = f"{value:.6g}" if isinstance(value, float) else value
            lines.append(f"  {key.replace('_', ' ')}: {number}")
    if note := card["extra"].get("note"):
        lines.append(f"  note: {note}")
    refused = card["refused"]
    lines.append(f"  refused: {len(refused)}")
    lines += [f"    {one['file']}: {one['reason']}" for one in refused[:_SHOWN]]
    if len(refused) > _SHOWN:
        lines.append(f"    and {len(refused) - _SHOWN} more, all in card.json")
    return lines


def _image_classes(card: dict) -> list[str]:
    """A line for each split with the images that show each class of images."""
    whole = card.get("image_classes")
    if not whole:
        return []
    lines = []
    for split, counts in whole["images"].items():
        each = [
            f"{name} {shows}" + (f" ({unknown} unknown)" if unknown else "")
            for name, (shows, _, unknown) in zip(whole["names"], counts, strict=True)
        ]
        lines.append(f"  {split:10} shows the image classes {', '.join(each)}")
    return lines


def _percent(part: int, whole: int) -> str:
    return f"{part / whole:.2%}" if whole else "none"


def _options(dataset) -> dict[str, object]:
    """Name and default of every keyword of the data set's `prepare`."""
    parameters = inspect.signature(dataset.prepare).parameters.values()
    return {
        p.name: p.default
        for p in parameters
        if p.kind is p.KEYWORD_ONLY and p.name != "progress"
    }


def _define_options(argv: Sequence[str]) -> None:
    """Makes flags of the options of the data set that the command line names."""
    named = re.search(r"--?dataset[= ](\S+)", " ".join(argv))
    if not named:
        return
    try:
        dataset = lookup.find(_KIND, named[1])
    except ConfigError as error:
        command_line.fail(str(error), error.exit_code)
    kinds = {bool: flags.DEFINE_bool, int: flags.DEFINE_integer}
    kinds |= {float: flags.DEFINE_float, tuple: flags.DEFINE_list}
    for name, default in _options(dataset).items():
        define = kinds.get(type(default), flags.DEFINE_string)
        define(name, default, f"Option of {named[1]}: see its prepare().")


if __name__ == "__main__":
    _define_options(sys.argv)
    command_line.run(main)
