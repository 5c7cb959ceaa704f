"""Reads host batches from a prepared split: decodes, brings to one size, batches.

The stream is a pure function of (order, step): examples are numbered, batched, and
only then cut per process, so any number of processes and workers gets the same global
batches, and a start in the middle costs nothing. What was decoded once comes out of a
cache afterwards (`fitted_cache`), with the same bits.

With `instances` a batch has object ids too, i32 [b, h, w], 0 where no object is,
numbered 1..n within the image or window. Where the data set has masks alone, connected
components of them stand in. Where it has classes of whole images, a batch has them
as `image_classes` i8 [b, m], -1 in padding.
"""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator

import grain
import numpy as np
from absl import logging

from jaxseg.data import (
    crops,
    fitted_cache,
    intensity,
    objects,
    resize,
    sparse_labels,
    worker_processes,
)
from jaxseg.data.prepared import Split
from jaxseg.errors import ConfigError, DataError
from jaxseg.types import IGNORE, Batch

Order = Callable[..., np.ndarray]
_EVERY = 32  # batches after which workers look whether their work is done


@dataclasses.dataclass(frozen=True)
class View:
    """How examples become arrays [height, width, channels], u8 or u16.

    With fit "crop" the image is whole, at native scale or that of `pixel_size`, and
    `size` is that of the windows of training and of the tiles of evaluation; else all
    are of this size.
    """

    size: tuple[int, int]  # height, width
    fit: str  # "crop", or see resize.fit
    intensity: str  # see intensity.to_levels
    low: float
    high: float
    overlap: float = 0.5  # of neighbouring tiles, as a share of `size`
    pixel_size: float = 0.0  # of all images, micrometres; 0 = as stored
    bits: int = 8  # of the image: u8 or u16
    # where examples are kept once they are decoded; the same bits without
    cache: fitted_cache.Cache | None = dataclasses.field(default=None, compare=False)

    def __call__(
        self, split: Split, index: int, *, instances: bool = False
    ) -> dict[str, np.ndarray]:
        """The example; with `instances` also its object ids, of whatever type.

        Arrays may be read-only.
        """
        kept = fitted_cache.of(self, split, instances)
        fitted = None if kept is None else kept.read(int(index))
        if fitted is None:
            fitted = self._fitted(split, index, instances)
            if kept is not None:
                kept.write(int(index), fitted)
        label = np.int32(fitted.label)
        record = _record(fitted.image, fitted.mask, label, np.float32(1), index)
        if instances:
            record["instances"] = fitted.ids
        return record

    def _fitted(self, split: Split, index: int, instances: bool) -> fitted_cache.Fitted:
        """The example, decoded from its record."""
        example = split[index]
        image = intensity.to_levels(
            example["image"],
            mode=self.intensity,
            low=self.low,
            high=self.high,
            bits=self.bits,
        )
        mask = example["mask"]
        size, fit = self.size, self.fit
        if fit == "crop":
            own = self.pixel_size and split.pixel_sizes[index]
            size, fit = self.scaled(mask.shape, own), "stretch"
        image, mask = resize.fit(image, mask, size, fit)
        ids = None
        if instances:
            ids = resize.fit_ids(objects.of_example(example), size, fit)
        return fitted_cache.Fitted(image, mask, int(example["label"]), ids)

    def sizes(self, split: Split) -> np.ndarray:
        """Height and width of each image of the split as seen, i64 [n, 2]."""
        if self.pixel_size:
            sizes = zip(split.sizes.tolist(), split.pixel_sizes, strict=True)
            return np.array([self.scaled(*each) for each in sizes])
        if self.fit == "crop":
            return split.sizes
        return np.tile(np.array(self.size, np.int64), (len(split), 1))

    def to_native(self, probability: np.ndarray, native: tuple[int, int]) -> np.ndarray:
        """Probability f32 [h, w, k] at the `native` size of its image.

        Nothing is changed where it has that size already.
        """
        native = int(native[0]), int(native[1])
        fit = "stretch" if self.fit == "crop" else self.fit
        return resize.unfit(probability, native, fit)

    def scaled(
        self, native: tuple[int, int], pixel_size: float | None
    ) -> tuple[int, int]:
        """The size of an image whose pixels were brought to `self.pixel_size`.

        Raises DataError where it is not known how large they are.
        """
        if not self.pixel_size:
            return native[0], native[1]
        if pixel_size is None or not pixel_size > 0:
            raise DataError(
                f"images are brought to pixels of {self.pixel_size:g} micrometres, but "
                f"the pixel size of this one came as {pixel_size}; give it in "
                "micrometres."
            )
        factor = pixel_size / self.pixel_size
        height, width = (max(1, round(n * factor)) for n in native)
        return height, width


def _record(image, mask, label, weight, index) -> dict[str, np.ndarray]:
    return {
        "image": np.ascontiguousarray(image),
        "mask": np.ascontiguousarray(mask),
        "label": label,
        "weight": weight,
        "index": np.int32(index),
    }


@dataclasses.dataclass(frozen=True, eq=False)
class _Train:
    """Number of an example in the stream -> the example; picklable for workers."""

    split: Split
    view: View
    order: Order  # (epoch=) -> indices of one epoch
    epoch_size: int
    labels: sparse_labels.Labels | None
    windows: crops.Windows | None
    instances: bool

    def __call__(self, number: int) -> dict[str, np.ndarray]:
        epoch, position = divmod(int(number), self.epoch_size)
        index = int(_order(self.order, epoch)[position])
        record = _viewed(self, index)
        if self.labels is not None:
            record["mask"] = self.labels.mask(index, record["mask"])
            if self.labels.image_labels is not None:
                record["label"] = np.int32(self.labels.image_labels[index])
        if self.windows is not None:
            at = self.windows(number, index, record["mask"])
            record = window(record, (at.top, at.left), self.view.size)
        return _relabelled(record)


def _viewed(of: "_Train | Evaluated", index: int) -> dict[str, np.ndarray]:
    """The example as the view shows it, and the classes of its image.

    A view need not know of objects, nor of these.
    """
    extra = {"instances": True} if of.instances else {}
    record = of.view(of.split, index, **extra)
    if of.split.image_classes is not None:
        record["image_classes"] = of.split.image_classes[index]
    return record


def window(
    whole: dict[str, np.ndarray], start: tuple[int, int], size: tuple[int, int]
) -> dict[str, np.ndarray]:
    """The part of an example that a window of `size` at `start` shows."""
    image = crops.cut(whole["image"], start, size, fill=0)
    mask = crops.cut(whole["mask"], start, size, fill=IGNORE)
    label = np.int32(crops.image_label(int(whole["label"]), mask))
    record = _record(image, mask, label, whole["weight"], whole["index"])
    if "image_classes" in whole:  # of the whole image, also where a window is of a part
        record["image_classes"] = whole["image_classes"]
    if "instances" in whole:
        record["instances"] = crops.cut(whole["instances"], start, size, fill=0)
    return record


def _relabelled(record: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    if "instances" in record:
        record["instances"] = objects.relabelled(record["instances"])
    return record


@functools.lru_cache(maxsize=4)
def _order(order: Order, epoch: int) -> np.ndarray:
    return order(epoch=epoch)


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluated:
    """Number of an example -> the example, padding behind the last one."""

    split: Split
    view: View
    instances: bool

    def __call__(self, number: int) -> dict[str, np.ndarray]:
        if number < len(self.split):
            return self.relabelled(self.whole(number))
        return self.padding()

    def whole(self, number: int) -> dict[str, np.ndarray]:
        """The example, whose object ids are still those of its file."""
        return _viewed(self, int(number))

    def relabelled(self, record: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The same with object ids 1..n, where it has any."""
        return _relabelled(record)

    def padding(self) -> dict[str, np.ndarray]:
        """An example of weight 0 and index -1."""
        shape = (*self.view.size, self.split.card["channels"])
        image = np.zeros(shape, f"uint{self.view.bits}")
        mask = np.full(self.view.size, IGNORE, np.uint8)
        record = _record(image, mask, np.int32(-1), np.float32(0), -1)
        if self.split.image_classes is not None:
            record["image_classes"] = np.full_like(self.split.image_classes[0], -1)
        if self.instances:
            record["instances"] = np.zeros(self.view.size, np.int32)
        return record


def train_batches(
    split: Split,
    view: View,
    order: Order,
    *,
    epoch_size: int,
    batch_size: int,
    steps: int,
    start: int = 0,
    process: int = 0,
    processes: int = 1,
    workers: int = 0,
    labels: sparse_labels.Labels | None = None,
    windows: crops.Windows | None = None,
    instances: bool = False,
) -> Iterator[Batch]:
    """This process's part of the global batches start, start + 1, ..., steps - 1.

    Together the processes hold examples step * batch_size to (step + 1) * batch_size of
    the stream, whatever their number and the number of workers. With `labels` the masks
    hold these labelled pixels only, and images the labels that stand there. With
    `windows` an example is a window of its image. With `instances` it has object ids.
    Raises ConfigError for these with `labels`: ids would tell what the labelled pixels
    leave open.
    """
    if instances and labels is not None:
        raise ConfigError(
            "objects are learned from full masks, but the supervision leaves some "
            "pixels of training unlabelled; set config.supervision.name to 'full'."
        )
    view = _with_usable_cache(view, split, instances)
    of_example = _Train(split, view, order, epoch_size, labels, windows, instances)
    source = grain.MapDataset.range(steps * batch_size).map(of_example)
    _say_what_stands_in(split, instances)
    local = source.batch(batch_size // processes, drop_remainder=True)
    mine = local[process::processes][start:]
    return _iterate(mine, workers, _left_alone(view, split, instances))


def eval_batches(
    split: Split,
    view: View,
    *,
    batch_size: int,
    process: int = 0,
    processes: int = 1,
    workers: int = 0,
    instances: bool = False,
) -> Iterator[Batch]:
    """Every example once, in order; padding has weight 0 and index -1."""
    padded = -(-len(split) // batch_size) * batch_size
    view = _with_usable_cache(view, split, instances)
    source = grain.MapDataset.range(padded).map(Evaluated(split, view, instances))
    _say_what_stands_in(split, instances)
    local = source.batch(batch_size // processes, drop_remainder=True)
    mine = local[process::processes]
    return _iterate(mine, workers, _left_alone(view, split, instances))


def _with_usable_cache(view: View, split: Split, instances: bool) -> View:
    """The view, without its cache where that cannot be opened.

    Asked here, in one process, before its workers would all say why.
    """
    if getattr(view, "cache", None) is None or fitted_cache.of(view, split, instances):
        return view
    return dataclasses.replace(view, cache=None)


def _left_alone(
    view: View, split: Split, instances: bool
) -> fitted_cache.Kept | fitted_cache.KeptOfParts | None:
    """The cache that needs no workers once it is full, as nothing is computed then.

    Windows are placed in whole masks, and objects are numbered anew: not there.
    """
    if getattr(view, "cache", None) is None or view.fit == "crop" or instances:
        return None
    return fitted_cache.of(view, split, instances)


def _iterate(
    batches: grain.MapDataset,
    workers: int,
    cache: fitted_cache.Kept | fitted_cache.KeptOfParts | None,
) -> Iterator[Batch]:
    """The batches; worker processes end, or never begin, where `cache` is full.

    To read one from the cache takes a fifth of the time that it takes to bring it here
    from another process.
    """
    done, threads = 0, grain.ReadOptions(num_threads=4, prefetch_buffer_size=4)
    if workers and not (cache and cache.full()):
        data = batches.to_iter_dataset(threads)
        with contextlib.closing(worker_processes.batches(data, workers)) as stream:
            for batch in stream:
                yield batch
                done += 1
                if cache and done % _EVERY == 0 and cache.full():
                    break
    if done < len(batches):
        rest = batches[done:].to_iter_dataset(threads)
        yield from worker_processes.batches(rest, 0)


def _say_what_stands_in(split: Split, instances: bool) -> None:
    if instances and not split.has_instances:
        _say_once(split.directory)


@functools.cache
def _say_once(directory: str) -> None:
    logging.warning(
        "%s has masks without object ids; objects are the %s.",
        directory,
        objects.STAND_IN,
    )
