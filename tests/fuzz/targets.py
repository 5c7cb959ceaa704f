"""What is fuzzed: how an input is drawn, and which readers of jaxseg get it.

A reader may accept an input, or refuse it by DataError or ConfigError. Any other
exception is a fault, as are too much memory, too much time, and the end of the process.
"""

import json
import os
import pathlib
import pickle
import random
import sys
from collections.abc import Callable
from typing import NamedTuple

from fuzz import dicoms, rasters, texts, tiffs, weights, zarrs

MIB = 2**20
PIXELS = 250_000  # max_pixels of pictures here: about 500 x 500
Read = Callable[[bytes, pathlib.Path], object]  # (input, an empty folder)


class Target(NamedTuple):
    """One kind of input."""

    draw: Callable[[random.Random], bytes]
    readers: Callable[[], tuple[Read, ...]]  # imports what it needs
    memory: int  # bytes that reading one input may take
    seconds: float  # of processor time
    count: int  # inputs of the full measurement
    text: bool = False


def _file(suffix: str, *reads: Callable[[pathlib.Path], object]) -> tuple[Read, ...]:
    """Readers that find the input in a file."""

    def reader(read: Callable[[pathlib.Path], object]) -> Read:
        def from_folder(data: bytes, folder: pathlib.Path) -> object:
            path = folder / f"input{suffix}"
            path.write_bytes(data)
            return read(path)

        return from_folder

    return tuple(map(reader, reads))


def _picture(suffix: str) -> Callable[[], tuple[Read, ...]]:
    def readers() -> tuple[Read, ...]:
        from jaxseg.data.files import colours, images, pixel_size

        table = colours.table(["black", "ignore"], [(0, 0, 0), (255, 255, 255)])
        return _file(
            suffix,
            lambda path: images.read_image(path, max_pixels=PIXELS),
            lambda path: images.read_mask(path, max_pixels=PIXELS),
            lambda path: images.read_painted(path, table, max_pixels=PIXELS),
            pixel_size.read,
        )

    return readers


def _tiff() -> tuple[Read, ...]:
    """The readers of pictures, and the one by rows, which must agree with them."""
    import numpy as np

    from jaxseg.data.files import images
    from jaxseg.errors import DataError
    from jaxseg.predict import regions

    def rows(path: pathlib.Path) -> object:
        with regions.Rows(path) as file:
            height, width = file.size
            if height * width > PIXELS:
                return None
            parts = [file.read(k, min(k + 7, height)) for k in range(0, height, 7)]
        try:
            whole = images.read_image(path, max_pixels=PIXELS)
        except DataError:
            return parts
        assert np.array_equal(np.concatenate(parts), whole)
        return parts

    return (*_picture(".tif")(), *_file(".tif", rows))


def _zarr() -> tuple[Read, ...]:
    """The reader of whole Zarr arrays, and the one by rows, which must agree."""
    import shutil

    import numpy as np

    from jaxseg.errors import DataError
    from jaxseg.predict import zarr_rows

    def read(data: bytes, folder: pathlib.Path) -> object:
        path = zarrs.unpack(data, folder)
        try:
            return _both(path)
        finally:
            shutil.rmtree(path)

    def _both(path: pathlib.Path) -> object:
        zarr_rows.side_of_pixel(path)
        whole, refused = None, None
        try:
            whole = zarr_rows.picture(path, max_pixels=PIXELS).pixels
        except DataError as error:
            refused = error
        try:
            with zarr_rows.Rows(path) as file:
                high = file.size[0]
                if refused is None or high * file.size[1] <= PIXELS:
                    tops = range(0, high, 7)
                    parts = [file.read(k, min(k + 7, high)) for k in tops]
                    assert refused is None and np.array_equal(
                        np.concatenate(parts), whole
                    ), refused
        except DataError:  # of numbers that are read as a whole alone
            if refused is not None:
                raise
        return whole

    return (read,)


def _weights(suffix: str) -> Callable[[], tuple[Read, ...]]:
    def readers() -> tuple[Read, ...]:
        from jaxseg.weights import weight_files

        return _file(suffix, lambda path: weight_files.read(str(path)))

    return readers


def _labelled_pixels() -> tuple[Read, ...]:
    import numpy as np

    from jaxseg.data import sparse_labels

    def read(path: pathlib.Path) -> object:
        labels = sparse_labels.read(path)
        for i in range(min(len(labels.ids), 3)):
            labels.mask(i, np.zeros(labels.shape(i), np.uint8))
        return sparse_labels.class_pixels(labels, 2)

    return _file(".npz", read)


def _run_lengths() -> tuple[Read, ...]:
    from jaxseg.data.files import rle

    def read(data: bytes, folder: pathlib.Path) -> object:
        mask = rle.decode(data.decode("utf-8", "replace"), (6, 5))
        assert mask.shape == (6, 5) and mask.dtype == bool
        assert (rle.decode(rle.encode(mask), (6, 5)) == mask).all()
        return mask

    return (read,)


def _tables() -> tuple[Read, ...]:
    from support import records

    from jaxseg.data import prepared
    from jaxseg.data.datasets import _siim_source
    from jaxseg.data.datasets._folder import pairing
    from jaxseg.run_directory import history

    def siim(name: str) -> Read:
        def read(data: bytes, folder: pathlib.Path) -> object:
            (folder / name).write_bytes(data)
            return _siim_source.find(folder)

        return read

    def splits(data: bytes, folder: pathlib.Path) -> object:
        for kind in ("images", "masks"):
            (folder / kind).mkdir(exist_ok=True)
            for i in range(3):
                (folder / kind / f"im{i}.png").touch()
        (folder / "splits.csv").write_bytes(data)
        (folder / "classes.txt").write_bytes(data)
        return pairing.find(folder, allow_unlabelled=True)

    def epochs(data: bytes, folder: pathlib.Path) -> object:
        (folder / "history.csv").write_bytes(data)
        history.History(folder).restore(1)
        return history.History(folder).rows() or None

    def index(data: bytes, folder: pathlib.Path) -> object:
        (folder / "card.json").write_text(json.dumps(records.card()))
        (folder / "index.csv").write_bytes(data)
        return prepared.open_split(folder, "train")

    png = "stage_1_train_images.csv"
    return siim("train-rle.csv"), siim(png), splits, epochs, index


def _run_json() -> tuple[Read, ...]:
    from jaxseg.data import prepared
    from jaxseg.run_directory import files, schemas, seal

    def shape(schema: object) -> Callable[[pathlib.Path], object]:
        return lambda path: files.read(path, schema)

    def card(path: pathlib.Path) -> object:
        path.rename(path.with_name("card.json"))
        return prepared.read_card(path.parent)

    def record(path: pathlib.Path) -> object:
        path.rename(path.with_name("run.json"))
        seal.check(path.parent, seal.read(path.parent))
        return True

    every = (schemas.OperatingPoint, schemas.Result, schemas.Config)
    return _file(".json", *map(shape, every), record, card)


def _command_line() -> tuple[Read, ...]:
    from absl import flags

    from jaxseg.config import check, command_line, recipe_file
    from jaxseg.run_directory import older_configs

    # absl keeps in them what each flag that is defined anew belongs to
    tables = ("__flags", "__flags_by_module", "__flags_by_module_id")
    tables += ("__key_flags_by_module",)
    recipe = "clicks:smoke"
    load, loaded = recipe_file.load, pickle.dumps(recipe_file.load(recipe))
    # the recipe itself is the same for all inputs, and loading it takes half the time
    recipe_file.load = lambda text: (
        pickle.loads(loaded) if text == recipe else load(text)
    )

    def read(data: bytes, folder: pathlib.Path) -> object:
        # no command line of an operating system holds a zero byte
        words = data.decode("utf-8", "replace").replace("\0", " ").split("\n")
        sys.argv = ["door", f"--config={recipe}", *words]
        for table in tables:
            flags.FLAGS.__dict__[table] = {}
        os.environ.pop("JAXSEG_DATA", None)
        holder = command_line.define_config()
        try:
            command_line._parse(sys.argv)
        except SystemExit as end:
            if end.code != command_line.BAD_CONFIG:
                raise
            return None
        check.check(older_configs.complete(holder.value))
        return holder.value

    return (read,)


def _misbehaviour() -> tuple[Read, ...]:
    """A reader that does what its input says: the harness must notice all of it."""
    from jaxseg.errors import DataError

    def read(data: bytes, folder: pathlib.Path) -> object:
        match data:
            case b"refuse":
                raise DataError("refused in words.")
            case b"raise":
                raise KeyError("an exception without words")
            case b"memory":
                return len(bytearray(2**30))
            case b"hidden memory":
                try:
                    return len(bytearray(2**30))
                except MemoryError as error:
                    raise DataError("damaged.") from error
            case b"slow":
                while True:
                    pass
            case b"abort":
                os.abort()
        return data

    return (read,)


def _misbehave(rng: random.Random) -> bytes:
    return b"accept"


TARGETS = {
    "rle": Target(texts.run_lengths, _run_lengths, 64 * MIB, 2, 10**6, text=True),
    "csv": Target(texts.table, _tables, 64 * MIB, 2, 10**6, text=True),
    "overrides": Target(texts.overrides, _command_line, 64 * MIB, 5, 10**6, text=True),
    "png": Target(rasters.png, _picture(".png"), 256 * MIB, 5, 10**5),
    "tiff": Target(tiffs.tiff, _tiff, 256 * MIB, 5, 10**5),
    "jpeg": Target(rasters.jpeg, _picture(".jpg"), 256 * MIB, 5, 10**5),
    "bmp": Target(rasters.bmp, _picture(".bmp"), 256 * MIB, 5, 10**5),
    "dicom": Target(dicoms.dicom, _picture(".dcm"), 1024 * MIB, 10, 10**5),
    "zarr": Target(zarrs.zarr, _zarr, 256 * MIB, 5, 10**5),
    "torch": Target(weights.torch, _weights(".pt"), 256 * MIB, 5, 10**5),
    "safetensors": Target(
        weights.safetensors, _weights(".safetensors"), 256 * MIB, 5, 10**5
    ),
    "npz": Target(weights.npz, _labelled_pixels, 256 * MIB, 5, 10**5),
    "json": Target(texts.run_json, _run_json, 128 * MIB, 5, 10**5),
}
# with a target for the tests of the harness itself
EVERY = TARGETS | {"none": Target(_misbehave, _misbehaviour, 64 * MIB, 0.5, 7)}
