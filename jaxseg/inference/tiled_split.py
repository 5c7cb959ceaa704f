"""Predicts the images of a split at native size, by tiles batched over the devices.

Consecutive images make a pack, whose tiles are cut into blocks of one size, one for a
device; only the last block of a pack has padding. Packs and blocks depend on the split
alone, so a tile always meets the same ones in its block, whatever the number of devices
and processes: results are equal bit for bit. A process gets whole packs, so no image
is shared between processes, and its tiles come in order.
"""

import collections
import concurrent.futures
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from jaxseg.data import crops, pipeline, prepared
from jaxseg.devices import prefetch, sharding
from jaxseg.inference import forward, tiles

_BLOCKS = 4  # of a pack, at least: less than a block of padding for as many
_AHEAD = 2  # images that are read before they are needed
Tile = tuple[int, int]  # image, number of the tile
_PADDING = (-1, 0)


class Layout(NamedTuple):
    """Which tiles each process predicts, step by step."""

    rows: list[list[Tile]]  # of each process: steps x its devices x block
    step: int  # rows a process has in a step

    def wanted(self, only: set[int] | None) -> list[bool]:
        """For each step, whether some process predicts an image of `only` in it."""
        starts = range(0, len(self.rows[0]), self.step)
        return [
            only is None
            or any(i in only for own in self.rows for i, _ in own[s : s + self.step])
            for s in starts
        ]


def layout(
    counts: Sequence[int], *, block: int, devices: int, processes: int
) -> Layout:
    """The layout for images with so many tiles each; a pure function of its arguments.

    A pack goes to the process with the least to do, the first of these in a tie.
    """
    rows: list[list[Tile]] = [[] for _ in range(processes)]
    pack: list[Tile] = []
    for image, count in enumerate(counts):
        pack += [(image, k) for k in range(count)]
        if len(pack) >= _BLOCKS * block or image == len(counts) - 1:
            least = min(range(processes), key=lambda p: len(rows[p]))
            rows[least] += pack + [_PADDING] * (-len(pack) % block)
            pack = []
    step = devices // processes * block
    length = -(-max(map(len, rows)) // step) * step
    return Layout([own + [_PADDING] * (length - len(own)) for own in rows], step)


def grids(split: prepared.Split, view: pipeline.View) -> list[tiles.Grid]:
    """The tiles of every image of the split."""
    sizes = view.sizes(split).tolist()
    return [tiles.grid(tuple(size), view.size, view.overlap) for size in sizes]


def batches(
    split: prepared.Split,
    view: pipeline.View,
    rows: Sequence[Tile],
    *,
    batch_size: int,
    labels: bool = False,
    instances: bool = False,
) -> Iterator[dict[str, np.ndarray]]:
    """{image u8 or u16 [b, h, w, c], index i32 [b], tile i32 [b]} of the rows in order.

    Images are read once, in threads, a few ahead; index is -1 for padding. With
    `labels` a tile is a whole record, as a window of training is; with `instances` it
    has object ids too.
    """
    if labels:
        of = pipeline.Evaluated(split, view, instances)
        yield from _labelled(of, rows, batch_size=batch_size)
        return
    cuts = grids(split, view)
    order = list(dict.fromkeys(image for image, _ in rows if image >= 0))
    images = _ahead(lambda index: (index, view(split, index)["image"]), order)
    current, image = -1, np.zeros((0, 0, 0), np.uint8)
    shape = (*view.size, split.card["channels"])
    nothing = np.zeros(shape, f"uint{view.bits}")
    for first in range(0, len(rows), batch_size):
        part, shown = rows[first : first + batch_size], []
        for index, tile in part:
            if index >= 0 and index != current:
                current, image = next(images)
            shown.append(
                crops.cut(image, cuts[index].start(tile), view.size, fill=0)
                if index >= 0
                else nothing
            )
        index, tile = np.array(part, np.int32).T
        yield {"image": np.stack(shown), "index": index.copy(), "tile": tile.copy()}


def _labelled(
    of: pipeline.Evaluated, rows: Sequence[Tile], *, batch_size: int
) -> Iterator[dict[str, np.ndarray]]:
    """`batches` of whole records."""
    cuts = grids(of.split, of.view)
    order = list(dict.fromkeys(image for image, _ in rows if image >= 0))
    images = _ahead(lambda index: (index, of.whole(index)), order)
    current, record = -1, {}
    for first in range(0, len(rows), batch_size):
        shown = []
        for index, tile in rows[first : first + batch_size]:
            if index >= 0 and index != current:
                current, record = next(images)
            one = of.padding()
            if index >= 0:
                start = cuts[index].start(tile)
                one = of.relabelled(pipeline.window(record, start, of.view.size))
            shown.append(one | {"tile": np.int32(tile)})
        yield {name: np.stack([one[name] for one in shown]) for name in shown[0]}


def _ahead(function: Callable, items: Sequence[int]) -> Iterator:
    """function(item) in order; a few are computed while the one before is used."""
    waiting: collections.deque = collections.deque()
    with concurrent.futures.ThreadPoolExecutor(_AHEAD) as pool:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def predictions(
    predict: Callable[[dict[str, jax.Array]], jax.Array],
    split: prepared.Split,
    view: pipeline.View,
    *,
    mesh: Mesh,
    block: int,
    timeout: float,
    only: set[int] | None = None,
    maps: int | None = None,
    exclusive: bool = False,
    labels: bool = False,
    instances: bool = False,
) -> Iterator[tuple[int, np.ndarray]]:
    """(index, probability f32 [h, w, k] at native size) of this process's images.

    `predict` maps a batch on the mesh to probabilities [b, height, width, k]; every
    device gets `block` tiles at a time. `only` names the indices wanted; steps without
    one of them are not computed. Channels from `maps` on are of the whole image: each
    becomes one value, by `forward.image_score`, before it is brought to the native
    size. `labels` and `instances` are those of `batches`.
    """
    cuts = grids(split, view)
    processes = jax.process_count()
    plan = layout(
        [cut.count for cut in cuts],
        block=block,
        devices=jax.device_count(),
        processes=processes,
    )
    wanted = plan.wanted(only)
    rows = [
        row
        for k, row in enumerate(plan.rows[jax.process_index()])
        if wanted[k // plan.step]
    ]
    stream = prefetch.ahead(
        batches(
            split,
            view,
            rows,
            batch_size=plan.step,
            labels=labels,
            instances=instances,
        ),
        mesh,
        timeout=timeout,
        name=lambda k: f"step {k} of the tiles of {split.name}",
    )
    canvas: tiles.Canvas | None = None
    for index, tile, probability in _rows(predict, stream):
        if index < 0 or (only is not None and index not in only):
            continue
        if tile == 0:
            canvas = tiles.Canvas(cuts[index])
        canvas.add(probability)
        if canvas.whole:
            joined, size = canvas.probability(), split.sizes[index]
            yield index, _at_native(joined, view, size, maps, exclusive=exclusive)


def _at_native(
    joined: np.ndarray,
    view: pipeline.View,
    size: Any,
    maps: int | None,
    *,
    exclusive: bool,
) -> np.ndarray:
    """The channels of an image f32 at its native size; see `predictions`."""
    if maps is None or joined.shape[-1] == maps:
        return view.to_native(joined, size)
    native = view.to_native(np.ascontiguousarray(joined[..., :maps]), size)
    whole = forward.image_score(joined[..., maps:], exclusive=exclusive)
    shape = (*native.shape[:2], len(whole))
    return np.concatenate([native, np.broadcast_to(whole, shape)], axis=-1)


def _rows(predict: Callable, stream: Iterator) -> Iterator[tuple[int, int, Any]]:
    """(index, tile, probability) of this process's rows, in order.

    The device works on a batch while the one before is read.
    """
    waiting = None
    for batch, _ in stream:
        started = batch["index"], batch["tile"], predict(batch)
        if waiting is not None:
            yield from _read(*waiting)
        waiting = started
    if waiting is not None:
        yield from _read(*waiting)


def _read(*arrays: jax.Array) -> Iterator[tuple[int, int, Any]]:
    for blocks in zip(*map(sharding.local_rows, arrays), strict=True):
        for index, tile, probability in zip(*blocks, strict=True):
            yield int(index), int(tile), probability
