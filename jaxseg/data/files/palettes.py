"""Reads masks that are stored with a palette: by index, or by colour.

A palette gives every stored index a colour. For classes the index is the label, as in
PASCAL VOC (Everingham et al., 2010, https://doi.org/10.1007/s11263-009-0275-4), and
the colour is decoration. Black and white masks are saved with either colour first, so
there the colour is the label. One rule holds for all masks of a data set.
"""

import pathlib
from collections.abc import Sequence

import numpy as np

from jaxseg.errors import DataError
from jaxseg.labels import IGNORE

Colours = dict[int, tuple[int, int, int, int]]  # index in use -> red green blue alpha
_DARK, _BRIGHT = 64, 192  # greys up to, and from, which count as black and as white


def opaque(indices: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """The palette u8 [256, 4] of colours u8 [n, 3]; DataError where an index has none.

    Decoders fill it with black, or with white: that would be a guess at a label.
    """
    if indices.max() >= len(colours):
        raise DataError(
            f"it holds the palette index {indices.max()}, but its palette has "
            f"{len(colours)} colours; save it with a whole palette, or as greyscale."
        )
    palette = np.full((256, 4), 255, np.uint8)
    palette[: len(colours), :3] = colours
    return palette


def in_use(indices: np.ndarray, palette: np.ndarray) -> Colours:
    """The colours of those indices that a mask holds, of a palette u8 [n, 4]."""
    used = np.flatnonzero(np.bincount(indices.ravel()))
    return {int(index): tuple(palette[index].tolist()) for index in used}


def by_colour(indices: np.ndarray, colours: Colours, white: int) -> np.ndarray:
    """The mask u8 that holds 0 where the palette is black, and `white` elsewhere."""
    table = np.zeros(max(colours) + 1, np.uint8)
    for index, colour in colours.items():
        table[index] = white if colour[0] >= _BRIGHT else 0
    return table[indices]


def decide(
    paths: Sequence[pathlib.Path],
    palettes: Sequence[Colours],
    *,
    classes: int | None = None,
    objects: bool = False,
) -> tuple[bool, list[str]]:
    """(whether masks are read by colour, what is wrong) for all palettes of a set.

    Black and white are read by colour unless the user named more than two `classes`,
    everything else by index. What could be meant either way is a problem: masks whose
    palettes contradict each other, a background that is not the darkest of two colours
    or of greys, and black and white of which one is transparent. Where labels number
    `objects`, a colour means nothing, and each mask may have a palette of its own.
    """
    pairs = list(zip(paths, palettes, strict=True))
    if _black_and_white(palettes) and (classes or 2) == 2:
        clear = [
            path
            for path, colours in pairs
            if not _ordered(colours) and any(c[3] < 255 for c in colours.values())
        ]
        return True, [
            f"{path} has a palette with a transparent colour, so black and white could "
            "be meant either way; save it as greyscale of 0 and 255."
            for path in clear
        ]
    if objects:
        return False, [problem for pair in pairs for problem in _without_order([pair])]
    return False, _contradictions(pairs) or _without_order(pairs)


def _black_and_white(palettes: Sequence[Colours]) -> bool:
    """Whether all masks of a set hold one black, one white, or both, and no more."""
    greys = {colour[:3] for colours in palettes for colour in colours.values()}
    if any(len(set(grey)) > 1 for grey in greys):
        return False
    dark = [grey for grey in greys if grey[0] <= _DARK]
    bright = [grey for grey in greys if grey[0] >= _BRIGHT]
    return len(dark) <= 1 and len(bright) <= 1 and len(dark) + len(bright) == len(greys)


def _ordered(colours: Colours) -> bool:
    """Whether greys become brighter, or stay, as their indices count up."""
    shades = [colours[index][0] for index in sorted(colours)]
    return shades == sorted(shades)


def _contradictions(pairs: list[tuple[pathlib.Path, Colours]]) -> list[str]:
    """One line for each mask whose palette is not that of the masks before it."""
    colour_of: dict[int, tuple[tuple[int, ...], pathlib.Path]] = {}
    index_of: dict[tuple[int, ...], tuple[int, pathlib.Path]] = {}
    problems = []
    for path, colours in pairs:
        for index, colour in colours.items():
            rgb = colour[:3]
            other, first = colour_of.setdefault(index, (rgb, path))
            number, where = index_of.setdefault(rgb, (index, path))
            if other != rgb:
                said = f"index {index} is the colour {rgb}, but {other} in {first}"
            elif number != index and where != path:
                said = f"the colour {rgb} is index {index}, but {number} in {where}"
            else:
                continue
            problems.append(
                f"{path} has another palette than other masks: {said}; save all masks "
                "with one palette or as greyscale class ids, or set mask_format to "
                "'instances' if they number objects."
            )
            break
    return problems


def _without_order(pairs: list[tuple[pathlib.Path, Colours]]) -> list[str]:
    """The problem of a palette whose order contradicts a dark background."""
    used: Colours = {}
    for _, colours in pairs:
        used |= {k: colour for k, colour in colours.items() if k != IGNORE}
    only_greys = all(len(set(colour[:3])) == 1 for colour in used.values())
    black_last = len(used) == 2 and used[max(used)][:3] == (0, 0, 0)
    if not black_last and not (only_greys and not _ordered(used)):
        return []
    order = ", ".join(f"{k} is {used[k][:3]}" for k in sorted(used)[:5])
    return [
        f"{pairs[0][0]} has a palette in which a brighter colour "
        f"comes before black or a darker grey ({order}), so its labels could be meant "
        "by index or by colour; save class ids as greyscale, 0 for the background."
    ]
