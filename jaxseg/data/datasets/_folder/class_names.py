"""Reads classes.txt: the names of the classes, and the colours that masks show them in.

    background                background 0,0,0
    cell                      cell 255,0,0
    nucleus                   nucleus 0,0,255
                              ignore 255,255,255

Left, line k names the label k - 1. Right, masks are read by colour: red, green and blue
from 0 to 255 behind every name, and `ignore` names the colour of pixels that are not
labelled (it is no class).
"""

import os
import pathlib
import re
from typing import NamedTuple

from jaxseg.data.files import colours, text
from jaxseg.errors import DataError

FILE = "classes.txt"
_BACKGROUND = ("background", "bg", "_background_", "__background__")
_LEVEL = r"([0-9]{1,6})"  # above 255 it is a problem, and far above no number at all
_COLOURED = re.compile(rf"(.*\S)\s+{_LEVEL}\s*,\s*{_LEVEL}\s*,\s*{_LEVEL}")


class Names(NamedTuple):
    """What classes.txt says; `classes` is None where there is no such file."""

    classes: list[str] | None = None
    listed: colours.Table | None = None  # None: masks hold class ids


def read(source: pathlib.Path, problems: list[str]) -> Names:
    """The Names of the classes of a folder; adds what is wrong with its file."""
    path = source / FILE
    if not os.path.lexists(path):
        return Names()
    try:
        lines = text.read(path).rstrip().splitlines()
    except DataError as error:
        problems.append(str(error))
        return Names()
    lines = [line.strip() for line in lines]
    matches = [_COLOURED.fullmatch(line) for line in lines]
    if not any(matches):
        _check_names(path, lines, problems)
        return Names(lines)
    if not all(matches):
        bare = next(k for k, match in enumerate(matches) if not match)
        problems.append(
            f"{path} line {bare + 1} has no colour ({lines[bare][:40]!r}), but others "
            "have; give every line a name and a colour such as cell 255,0,0, or none."
        )
        return Names(lines)
    names = [match[1] for match in matches]
    shades = [tuple(int(match[k]) for k in (2, 3, 4)) for match in matches]
    for k, shade in enumerate(shades):
        if max(shade) > 255:
            problems.append(
                f"{path} line {k + 1}: {names[k]} has the colour "
                f"{colours.text(shade)}; red, green and blue go from 0 to 255."
            )
        elif shade in shades[:k]:
            problems.append(
                f"{path} line {k + 1}: {names[k]} has the colour of "
                f"{names[shades.index(shade)]}, {colours.text(shade)}; give each class "
                "a colour of its own."
            )
    listed = colours.table(names, [(r % 256, g % 256, b % 256) for r, g, b in shades])
    classes = [line.name for line in listed if line.name.lower() != colours.IGNORED]
    _check_names(path, classes, problems, lines=names)
    return Names(classes, listed)


def _check_names(
    path: pathlib.Path,
    classes: list[str],
    problems: list[str],
    lines: list[str] | None = None,
) -> None:
    """Adds a problem unless there are 2 to 255 classes, and no line is there twice."""
    lines = classes if lines is None else lines
    twice = len(set(lines)) < len(lines)
    if not 2 <= len(classes) <= 255 or "" in classes or twice:
        problems.append(
            f"{path} must hold 2 to 255 different names, one a line, line k for label "
            f"k - 1 (the first is the background); it holds {lines[:10]}."
        )
    behind = [name for name in classes[1:] if name.lower() in _BACKGROUND]
    if behind:
        painted = lines is not classes
        problems.append(
            f"{path} names {behind[0]!r} as the class {classes.index(behind[0])}, but "
            f"the first name is the background, and that is {classes[0]!r}: scores "
            "leave the first out and count all others as foreground. Put the "
            f"background first{'' if painted else ', with the label 0 in the masks'}."
        )
