"""Zarr arrays as input: whole or by rows, the same numbers as of a TIFF."""

import importlib.util
import os
import tracemalloc

import numpy as np
import pytest
import tifffile
import zarr
from support import predicting

from jaxseg import errors
from jaxseg.data import intensity
from jaxseg.predict import inputs, zarr_rows

GREY = np.random.default_rng(0).integers(0, 255, (61, 47), np.uint8)
RGB = np.random.default_rng(1).integers(0, 60000, (40, 33, 3), np.uint16)


def _ome(path, array, *, axes="tczyx", scale=None, unit="micrometer", new=True):
    """An image of OME-Zarr with two levels, of which the second is no image."""
    group = zarr.open_group(path, mode="w", zarr_format=3 if new else 2)
    group.create_array("full", data=array, chunks=(16,) * array.ndim)
    group.create_array("half", data=np.zeros((2,) * array.ndim, array.dtype))
    image = {"axes": [{"name": axis} for axis in axes]}
    image["datasets"] = [{"path": "full"}, {"path": "half"}]
    if scale:
        for axis in image["axes"][-2:]:
            axis["unit"] = unit
        transform = {"type": "scale", "scale": scale}
        image["datasets"][0]["coordinateTransformations"] = [transform]
    block = {"multiscales": [image]}
    group.attrs.update({"ome": block} if new else block)
    return path


def _array(path, array, **options):
    zarr.create_array(path, data=array, **{"chunks": (16, *array.shape[1:])} | options)
    return path


def _channels_first(path):
    names = ("c", "y", "x")
    options = {"chunks": (1, 16, 16), "dimension_names": names}
    return _array(path, np.moveaxis(RGB, -1, 0), **options)


KINDS = {
    "grey": (lambda path: _array(path, GREY), GREY),
    "colours": (lambda path: _array(path, RGB, chunks=(7, 9, 2)), RGB),
    "older": (lambda path: _array(path, RGB, zarr_format=2), RGB),
    "big_endian": (lambda path: _array(path, RGB.astype(">u2"), zarr_format=2), RGB),
    "shards": (lambda path: _array(path, GREY, chunks=(4, 8), shards=(16, 32)), GREY),
    "named": (_channels_first, RGB),
    "ome": (lambda path: _ome(path, np.moveaxis(RGB, -1, 0)[None, :, None]), RGB),
    "older_ome": (lambda path: _ome(path, GREY, axes="yx", new=False), GREY),
}


@pytest.mark.parametrize("name", KINDS)
def test_any_rows_are_those_of_the_array(name, tmp_path):
    write, want = KINDS[name]
    path = write(tmp_path / "a.zarr")
    want = want if want.ndim == 3 else want[..., None]
    picture = zarr_rows.picture(path, max_pixels=want[..., 0].size)
    np.testing.assert_array_equal(picture.pixels, want)
    assert picture.pixels.dtype == want.dtype and picture.numbers == str(want.dtype)
    with zarr_rows.Rows(path) as rows:
        assert (*rows.size, rows.channels) == want.shape and rows.dtype == want.dtype
        for top in range(0, len(want), 5):
            for height in (1, 6, 30):
                got = rows.read(top, min(top + height, len(want)))
                np.testing.assert_array_equal(got, want[top : top + height])
    with pytest.raises(errors.DataError, match="a.zarr: it is .* pixels, more than"):
        zarr_rows.picture(path, max_pixels=want[..., 0].size - 1)


def test_never_more_than_the_chunks_of_a_band_are_decoded(tmp_path):
    """Of 4 MB no more than the rows of chunks that ten rows touch, and two before."""
    large = np.random.default_rng(2).integers(0, 255, (4000, 1000), np.uint8)
    path = _array(tmp_path / "a.zarr", large, chunks=(50, 250))
    with zarr_rows.Rows(path) as rows:
        asked = []

        class Watched:
            def __getattr__(self, name):
                return getattr(array, name)

            def __getitem__(self, index):
                asked.append((index[0].start, index[0].stop))
                return array[index]

        array = rows._image.array
        rows._image = rows._image._replace(array=Watched())
        rows.read(0, 10)  # what zarr itself keeps is there from now on
        asked.clear()
        tracemalloc.start()
        for top in range(0, 3990, 10):
            got = rows.read(top + 5, top + 15)
            np.testing.assert_array_equal(got[..., 0], large[top + 5 : top + 15])
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert asked == [(top, top + 50) for top in range(50, 4000, 50)]  # each once
    assert peak < 800_000


@pytest.mark.parametrize("sixteen", [False, True])
def test_masks_are_those_of_the_same_image_in_a_tiff(
    sixteen, tmp_path, tmp_path_factory
):
    home = predicting.shared(tmp_path_factory, three_classes=sixteen)
    source, large = tmp_path / "in", predicting.example(0, size=(150, 83))[0]
    if sixteen:
        large = large.astype(np.uint16) * 40 + 300
    (source / "below").mkdir(parents=True)
    tifffile.imwrite(source / "a.tif", large)
    _array(source / "below/b.zarr", large)
    five = large[None, None, None]
    _ome(source / "c.ome.zarr", five, scale=[1, 1, 1, 500, 500], unit="nanometer")
    ask = {"formats": ("tif",), "overlays": False, "probabilities": True}
    rules = {"usual": {}} | ({} if sixteen else {"rows": {"max_pixels": 100}})
    for name, more in rules.items():
        outcome = predicting.predict(
            home / "run", source, tmp_path / name, **ask | more
        )
        assert not outcome.problems and [*outcome.rows] == ["a", "below/b", "c.ome"]
        assert outcome.rows["c.ome"]["pixel_size_um"] == 0.5
        assert outcome.rows["below/b"]["pixel_size_um"] is None
        for kind in ("masks", "probabilities"):
            each = [
                tifffile.imread(tmp_path / name / kind / f"{image}.tif")
                for image in outcome.rows
            ]
            np.testing.assert_array_equal(each[0], each[1])
            np.testing.assert_array_equal(each[0], each[2])
            assert len(np.unique(each[0])) > 1
    rows = predicting.table(tmp_path / "usual/predictions.csv")
    assert [row["file"] for row in rows] == ["a.tif", "below/b.zarr", "c.ome.zarr"]


def test_one_array_alone_and_a_chunk_that_changed(tmp_path, tmp_path_factory):
    run = predicting.shared(tmp_path_factory) / "run"
    path = _array(tmp_path / "in/b.zarr", predicting.example(0, size=(40, 40))[0])
    ask = {"formats": ("tif",), "overlays": False}
    first = predicting.predict(run, path, tmp_path / "out", **ask)
    assert [*first.rows] == ["b"] and not first.problems
    (row,) = predicting.table(tmp_path / "out/predictions.csv")
    assert row["file"] == "b.zarr"
    assert predicting.predict(run, path, tmp_path / "out", **ask).skipped == 1
    zarr.open(path, mode="r+")[:8] = 0
    assert predicting.predict(run, path, tmp_path / "out", **ask).skipped == 0


def _cut(path):
    _array(path, GREY, compressors=None)
    chunk = path / "c/1/0"
    chunk.write_bytes(chunk.read_bytes()[:5])


def _group(path):
    zarr.open_group(path, mode="w").create_array("0", data=GREY)


REFUSED = {
    "cut": (_cut, "is damaged, or no Zarr array"),
    "empty": (lambda path: path.mkdir(), "is damaged, or no Zarr array"),
    "file": (lambda path: path.write_bytes(b"x"), "it is no folder"),
    "group": (_group, "it is a group without an image of OME-Zarr"),
    "numbers": (lambda path: _array(path, GREY.astype(np.int64)), "it holds int64"),
    "line": (lambda path: _array(path, GREY[0]), r"its shape is \(47,\).*; save it so"),
    "nothing": (
        lambda path: _array(path, GREY[:0], chunks=(1, 1)),
        r"its shape is \(0, 47\), and a side has 1 to 16,777,216 pixels; cut it",
    ),
    "stack": (
        lambda path: _ome(path, np.stack([GREY] * 3), axes="zyx"),
        "it has 3 images along its axis z; save one",
    ),
    "axes": (lambda path: _ome(path, GREY, axes="yy"), r"its shape is \(61, 47\)"),
    "floats": (
        lambda path: _array(path, GREY / np.float32(255)),
        "it holds float32 numbers: save it with uint8 or uint16",
    ),
    "chunks": (lambda path: _array(path, GREY, chunks=(61, 47)), "are 61 rows high"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_image_is_said(name, tmp_path, monkeypatch):
    write, words = REFUSED[name]
    write(tmp_path / "a.zarr")
    monkeypatch.setattr(zarr_rows, "_PART", 1000)
    with pytest.raises(errors.DataError, match=f"a.zarr.* ?{words}"):
        with zarr_rows.Rows(tmp_path / "a.zarr") as rows:
            rows.read(0, 20)
    with pytest.raises(errors.DataError, match="page 0 alone, no 2"):
        zarr_rows.Rows(tmp_path / "a.zarr", 2)


def test_channels_that_come_first_without_a_name_are_told_how_they_are_read(tmp_path):
    path = _array(tmp_path / "a.zarr", np.stack([GREY] * 5))
    picture = zarr_rows.picture(path, max_pixels=10**6)
    words = r"47 channel\(s\) \(without names of its axes it is read as \[h, w, c\]\)"
    with pytest.raises(errors.DataError, match=words):
        inputs.fitting(picture, inputs.Wanted(1, "uint8", False), path)


def _ome_in(path, name):
    _ome(path, GREY, axes="yx", new=not name.startswith("."))
    return path / "full"


@pytest.mark.parametrize("name", ["zarr.json", ".zarray", ".zattrs", ".zgroup"])
@pytest.mark.parametrize("make", [_array, _ome_in])
@pytest.mark.parametrize("kind", ["pipe", "device", "long"])
def test_metadata_that_never_ends_is_not_waited_for(
    tmp_path, monkeypatch, name, make, kind
):
    path = tmp_path / "a.zarr"
    at = make(path, GREY if make is _array else name) or path
    (at / name).unlink(missing_ok=True)
    words = f"{name} is no regular file"
    if kind == "pipe":
        os.mkfifo(at / name)
    elif kind == "device":
        (at / name).symlink_to("/dev/zero")
    else:
        monkeypatch.setattr(zarr_rows, "_LONGEST", 10_000)
        (at / name).write_bytes(b" " * 10_001)
        words = f"its {name} has 10,001 bytes, and metadata 10,000 at most"
    with pytest.raises(errors.DataError, match=f"a.zarr.*{words}"):
        zarr_rows.size(path)
    assert zarr_rows.side_of_pixel(path) is None


def test_a_chunk_that_never_ends_is_not_waited_for(tmp_path):
    path = _array(tmp_path / "a.zarr", GREY)
    (path / "c/1/0").unlink()
    os.mkfifo(path / "c/1/0")
    with pytest.raises(errors.DataError, match="a.zarr.*c/1/0 is no regular file"):
        with zarr_rows.Rows(path) as rows:
            rows.read(0, 20)


def test_floats_become_sixteen_bits_as_those_of_a_file_do(tmp_path):
    floats = GREY / np.float32(7)
    path = _array(tmp_path / "a.zarr", floats)
    picture = zarr_rows.picture(path, max_pixels=10**6)
    assert picture.numbers == "float32"
    want = intensity.from_float(floats[..., None])
    np.testing.assert_array_equal(picture.pixels, want)


@pytest.mark.parametrize(
    "scale, unit, side",
    [
        ([0.25, 0.25], "micrometer", 0.25),
        ([2, 2], "millimeter", 2000),
        ([0.25, 0.5], "micrometer", None),  # not square
        ([1, 1], "pixel", None),
        (None, None, None),
    ],
)
def test_the_size_of_a_pixel_is_what_ome_says(scale, unit, side, tmp_path):
    path = _ome(tmp_path / "a.zarr", GREY, axes="yx", scale=scale, unit=unit)
    assert zarr_rows.side_of_pixel(path) == side
    wanted = inputs.Wanted(1, "uint8", False, pixel_size=3.0)
    assert inputs.side_of_pixel(path, wanted) == (side or 3.0)


def test_a_missing_package_is_a_sentence_with_its_extra(tmp_path, monkeypatch):
    _array(tmp_path / "in/a.zarr", GREY)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for source in (tmp_path / "in", tmp_path / "in/a.zarr"):
        with pytest.raises(errors.ConfigError, match=r"pip install .jaxseg\[zarr\]"):
            inputs.find(source)
