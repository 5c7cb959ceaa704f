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
from jaxseg.inference import image
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


_Canvases = dict[int, tuple[Any, list[Any]]]  # of images that are not whole


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
        for step in _steps(_blocks(images, groups, waiting), mesh.size):
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


def _steps(blocks: Iterable[_Block], devices: int) -> Iterator[list[_Block]]:
    """Blocks of one group and shape, one a device; the last steps have empty ones."""
    collected: dict[tuple, list[_Block]] = {}
    for block in blocks:
        kind = block.group, block.tiles[0].shape
        step = collected.setdefault(kind, [])
        step.append(block)
        if len(step) == devices:
            yield collected.pop(kind)
    for step in collected.values():
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
        canvases = [_canvas(shown, g, group)[1] for g, group in enumerate(groups)]
        waiting[shown.number] = shown.item, canvases
        for pack in packs:
            pack.append(shown)
    for g, group in enumerate(groups):
        yield from _of_pack(packs[g], g, group)


def _canvas(shown: Shown, g: int, group: Group) -> tuple[np.ndarray, Any]:
    return image.canvas_of(shown.seen[g], group.view, group.exact)


def _of_pack(pack: Sequence[Shown], g: int, group: Group) -> Iterator[_Block]:
    block = _Block(g, [], [])
    for shown in pack:
        pixels, canvas = _canvas(shown, g, group)
        plan = canvas.plan
        if block.tiles and block.tiles[0].shape[:2] != plan.tile:
            yield _full(block, group.block)  # joined exactly, small images have others
            block = _Block(g, [], [])
        for k in range(plan.count):
            block.rows.append((shown.number, k))
            block.tiles.append(crops.cut(pixels, plan.start(k), plan.tile, fill=0))
            if len(block.rows) == group.block:
                yield block
                block = _Block(g, [], [])
    if block.rows:
        yield _full(block, group.block)


def _full(block: _Block, size: int) -> _Block:
    """The block with padding up to this many tiles."""
    more = size - len(block.rows)
    rows = block.rows + [(_PADDING, 0)] * more
    padding = [np.zeros_like(block.tiles[0])] * more
    return _Block(block.group, rows, block.tiles + padding)
