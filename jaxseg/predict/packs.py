"""Predicts many images of any size: their tiles in blocks over the devices.

So many consecutive images as a block has tiles make a pack, and the tiles of a pack are
cut into blocks; only the last block of a pack has padding. So which tiles lie side by
side follows from the list of inputs alone, and not from what was finished before. A
block has the size of the run's evaluation: a program for another one rounds otherwise.
"""

import collections
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float

from jaxseg.data import crops
from jaxseg.devices import prefetch, sharding
from jaxseg.inference import tiles
from jaxseg.predict.ensemble import Group

_PADDING = -1


class Shown(NamedTuple):
    """One image as each group sees it, or nothing where it could not be read."""

    number: int  # of the input
    item: Any  # comes back with the probabilities
    seen: Sequence[np.ndarray]  # of each group: u8 or u16 [height, width, c]


class _Block(NamedTuple):
    """Tiles that one device gets at a time."""

    group: int
    rows: list[tuple[int, int]]  # image, tile; (-1, 0) for padding
    tiles: list[np.ndarray]


_Canvases = dict[int, tuple[Any, list[tiles.Canvas]]]  # of images that are not whole


def needed(unfinished: Iterable[int], blocks: Iterable[int], count: int) -> list[int]:
    """The inputs, of `count`, whose tiles may lie in a block with unfinished ones."""
    out = {
        other
        for block in set(blocks)
        for pack in {number // block for number in unfinished}
        for other in range(pack * block, min((pack + 1) * block, count))
    }
    return sorted(out)


def probabilities(
    images: Iterable[Shown], groups: Sequence[Group], mesh: Mesh, *, timeout: float
) -> Iterator[tuple[Any, list[Float[np.ndarray, "height width k"]]]]:
    """(item, probability by each group at the size it sees) of the images, in order.

    Images that show nothing to a group are left out. The next tiles are cut, and images
    read, while the devices work.
    """
    waiting: _Canvases = {}
    queue: collections.deque[list[_Block]] = collections.deque()

    def batches() -> Iterator[dict[str, np.ndarray]]:
        for step in _steps(_blocks(images, groups, waiting), mesh.size, len(groups)):
            queue.append(step)
            yield {"image": np.stack([tile for block in step for tile in block.tiles])}

    stream = prefetch.ahead(
        batches(), mesh, timeout=timeout, name=lambda k: f"step {k} of the tiles"
    )
    before = None
    for batch, _ in stream:
        step = queue.popleft()
        started = step, groups[step[0].group].predict(batch)
        if before is not None:
            yield from _read(*before, waiting)
        before = started
    if before is not None:
        yield from _read(*before, waiting)


def _read(
    step: Sequence[_Block], answer: jax.Array, waiting: _Canvases
) -> Iterator[tuple[Any, list[np.ndarray]]]:
    """Adds the answers of a step, and yields the images that are whole now."""
    answers = (row for rows in sharding.local_rows(answer) for row in rows)
    places = [(block.group, number) for block in step for number, _ in block.rows]
    for (group, number), row in zip(places, answers, strict=True):
        if number == _PADDING:
            continue
        item, canvases = waiting[number]
        canvases[group].add(row)
        if all(canvas.whole for canvas in canvases):
            del waiting[number]
            yield item, [canvas.probability() for canvas in canvases]


def _steps(
    blocks: Iterable[_Block], devices: int, groups: int
) -> Iterator[list[_Block]]:
    """Blocks of one group, one for a device; the last steps have empty ones."""
    collected: list[list[_Block]] = [[] for _ in range(groups)]
    for block in blocks:
        step = collected[block.group]
        step.append(block)
        if len(step) == devices:
            yield step
            collected[block.group] = []
    for step in filter(None, collected):
        group, rows, shown = step[0]
        empty = _Block(
            group, [(_PADDING, 0)] * len(rows), [np.zeros_like(t) for t in shown]
        )
        yield step + [empty] * (devices - len(step))


def _blocks(
    images: Iterable[Shown], groups: Sequence[Group], waiting: _Canvases
) -> Iterator[_Block]:
    """The tiles of all images; canvases are in `waiting` before they are needed."""
    packs: list[list[Shown]] = [[] for _ in groups]
    for shown in images:
        for g, group in enumerate(groups):
            if packs[g] and packs[g][0].number // group.block != (
                shown.number // group.block
            ):
                yield from _of_pack(packs[g], g, group)
                packs[g] = []
        if not shown.seen:
            continue
        canvases = [
            tiles.Canvas(_grid(shown, g, group)) for g, group in enumerate(groups)
        ]
        waiting[shown.number] = shown.item, canvases
        for pack in packs:
            pack.append(shown)
    for g, group in enumerate(groups):
        yield from _of_pack(packs[g], g, group)


def _grid(shown: Shown, g: int, group: Group) -> tiles.Grid:
    view, size = group.view, shown.seen[g].shape[:2]
    return tiles.grid(size, view.size, view.overlap)


def _of_pack(pack: Sequence[Shown], g: int, group: Group) -> Iterator[_Block]:
    block = _Block(g, [], [])
    for shown in pack:
        grid = _grid(shown, g, group)
        for k in range(grid.count):
            block.rows.append((shown.number, k))
            block.tiles.append(
                crops.cut(shown.seen[g], grid.start(k), grid.tile, fill=0)
            )
            if len(block.rows) == group.block:
                yield block
                block = _Block(g, [], [])
    if block.rows:
        more = group.block - len(block.rows)
        block.rows.extend([(_PADDING, 0)] * more)
        block.tiles.extend([np.zeros_like(block.tiles[0])] * more)
        yield block
