"""TIFF images of more pixels than memory shall hold, read and written by rows."""

import tracemalloc

import numpy as np
import pytest
import tifffile
from support import predicting, tiff_files

from jaxseg import errors
from jaxseg.data.files import images
from jaxseg.experiment import finished_run
from jaxseg.predict import huge_files, regions

GREY = np.random.default_rng(0).integers(0, 255, (61, 47), np.uint8)
RGB = np.random.default_rng(1).integers(0, 60000, (40, 33, 3), np.uint16)
KINDS = {
    "whole": (GREY, {}),
    "strips": (GREY, {"rowsperstrip": 7, "compression": "lzw", "predictor": 2}),
    "tiles": (GREY, {"tile": (16, 32), "compression": "zlib"}),
    "plain_tiles": (RGB, {"tile": (32, 16), "photometric": "rgb"}),
    "rgb": (RGB, {"rowsperstrip": 9, "compression": "zlib", "photometric": "rgb"}),
    "big_endian": (RGB, {"byteorder": ">", "photometric": "rgb"}),
}


@pytest.mark.parametrize("name", KINDS)
def test_any_rows_are_those_of_the_whole_image(name, tmp_path):
    array, options = KINDS[name]
    tifffile.imwrite(tmp_path / "a.tif", array, **options)
    want = images.read_image(tmp_path / "a.tif")
    with regions.Rows(tmp_path / "a.tif") as rows:
        assert (*rows.size, rows.channels) == want.shape and rows.dtype == want.dtype
        for top in range(0, len(want), 5):
            for height in (1, 6, 30):
                got = rows.read(top, min(top + height, len(want)))
                np.testing.assert_array_equal(got, want[top : top + height])


@pytest.mark.parametrize(
    "array, options, what",
    [
        (GREY, {"photometric": "miniswhite"}, "its colours are MINISWHITE"),
        (GREY, {"extratags": [(274, "H", 1, 6, True)]}, "turned by its orientation 6"),
        (GREY.astype(np.float32), {}, "it holds float32 numbers"),
        (RGB, {"photometric": "rgb", "planarconfig": "separate"}, None),
        (
            np.stack([GREY] * 3),
            {"photometric": "minisblack"},
            "its channels are pages",
        ),
    ],
)
def test_what_cannot_be_read_in_parts_is_said(array, options, what, tmp_path):
    if what is None:
        array, what = np.moveaxis(array, -1, 0), "with other samples or planes"
    tifffile.imwrite(tmp_path / "a.tif", array, **options)
    with pytest.raises(errors.DataError, match=what):
        regions.Rows(tmp_path / "a.tif")


def test_a_damaged_part_and_a_cut_file_are_said(tmp_path):
    path = tmp_path / "a.tif"
    tags = tiff_files.tags((8, 4), 8, t259=8, t278=4)
    tiff_files.write(path, [(tags, [b"no deflate", b"neither"])])
    with regions.Rows(path) as rows:
        with pytest.raises(errors.DataError, match="a.tif is damaged, or no TIFF file"):
            rows.read(5, 7)
    tifffile.imwrite(path, GREY)
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(errors.DataError):
        regions.Rows(path)


def test_one_strip_as_high_as_the_image_is_refused(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "a.tif", GREY, rowsperstrip=61, compression="zlib")
    monkeypatch.setattr(regions, "_PART", 1000)
    with pytest.raises(errors.DataError, match="its parts are 61 rows high"):
        regions.Rows(tmp_path / "a.tif")


def test_tiles_that_are_too_high_are_answered_with_those_that_are_not(
    tmp_path, monkeypatch
):
    tifffile.imwrite(tmp_path / "a.tif", GREY, tile=(64, 16))
    width = GREY.shape[1]
    monkeypatch.setattr(regions, "_PART", 32 * width)
    advice = "are 64 rows high: save it in tiles of at most 32 rows, or raise"
    with pytest.raises(errors.DataError, match=advice):
        regions.Rows(tmp_path / "a.tif")
    tifffile.imwrite(tmp_path / "a.tif", GREY, tile=(32, 16))
    with regions.Rows(tmp_path / "a.tif") as rows:
        assert (rows.read(0, 9) == GREY[:9, :, None]).all()


def test_a_size_that_no_setting_allows_is_not_answered_with_one(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "a.tif", GREY)
    monkeypatch.setattr(regions, "_SIDE", 10)
    with pytest.raises(errors.DataError, match="10 x 10 are the most: it is") as told:
        regions.Rows(tmp_path / "a.tif")
    assert "max_pixels" not in str(told.value)


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(huge_files.os, "pwrite", full)
    with pytest.raises(errors.NotWritten, match="a.tif could not be written .No space"):
        with huge_files.Mask(tmp_path / "a.tif", (4, 4)) as mask:
            mask.add(np.zeros((2, 4), np.uint8))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("augmentation", ["", "flips"])
def test_by_rows_of_tiles_every_bit_is_that_of_the_image_in_memory(
    augmentation, tmp_path, tmp_path_factory
):
    run = predicting.shared(tmp_path_factory) / "run"
    source = tmp_path / "in"
    source.mkdir()
    large, low = (
        predicting.example(k, size=size)[0]
        for k, size in enumerate([(150, 83), (9, 70)])
    )
    tifffile.imwrite(source / "whole.tif", large)
    tiles = {"tile": (48, 32), "compression": "zlib"}
    tifffile.imwrite(source / "tiled.tif", large, **tiles)
    micrometres = {"imagej": True, "resolution": (2, 2), "metadata": {"unit": "um"}}
    tifffile.imwrite(source / "low.tif", low, **micrometres)
    ask = {"formats": ("tif",), "overlays": False, "probabilities": True}
    ask["augmentation"] = augmentation
    predicting.predict(run, source, tmp_path / "a", **ask)
    predicting.predict(run, source, tmp_path / "b", max_pixels=100, **ask)
    for kind in ("masks", "probabilities"):
        for name in ("whole", "tiled", "low"):
            one, other = (
                tifffile.imread(tmp_path / f"{out}/{kind}/{name}.tif") for out in "ab"
            )
            np.testing.assert_array_equal(one, other)
            assert len(np.unique(one)) > 1
    one, other = (predicting.table(tmp_path / f"{o}/predictions.csv") for o in "ab")
    for row, same in zip(one, other, strict=True):
        sure = float(row.pop("confidence"))
        assert float(same.pop("confidence")) == pytest.approx(sure, rel=1e-9)
        assert row == same and (row["pixel_size_um"] == "0.5") == (row["id"] == "low")
    with tifffile.TiffFile(tmp_path / "b/masks/whole.tif") as file:
        assert file.pages.first.is_tiled


def test_an_empty_image_by_the_rule_is_empty_by_rows_too(
    tmp_path, tmp_path_factory, monkeypatch
):
    """Its pixels are above the threshold, but too few of them, or none above a gate."""
    run = finished_run.load(predicting.shared(tmp_path_factory) / "run")
    large, _ = predicting.example(1, size=(70, 60))
    tifffile.imwrite(tmp_path / "a.tif", large)
    for k, changes in enumerate([{}, {"min_area": 0.9}, {"gate": 0.9999999}]):
        point = {**run.operating_point["operating_point"], **changes}
        changed = run._replace(
            operating_point={**run.operating_point, "operating_point": point}
        )
        monkeypatch.setattr(finished_run, "load", lambda _, changed=changed: changed)
        found = []
        for most in (10**6, 100):
            out = tmp_path / f"{k}-{most}"
            predicting.predict(
                run.workdir, tmp_path / "a.tif", out, formats=("tif",), max_pixels=most
            )
            (row,) = predicting.table(out / "predictions.csv")
            found.append((tifffile.imread(out / "masks/a.tif"), row["area_px/class_1"]))
        np.testing.assert_array_equal(found[0][0], found[1][0])
        assert found[0][1] == found[1][1] and found[0][0].any() == (k == 0)


def test_memory_does_not_grow_with_the_height(tmp_path, tmp_path_factory):
    """An image in memory would add 2.4 MB of probabilities alone."""
    run, peaks = predicting.shared(tmp_path_factory) / "run", []
    for height in (200, 200, 1200):  # the first time a program is compiled
        large, _ = predicting.example(0, size=(height, 300))
        path = tmp_path / f"{height}.tif"
        tifffile.imwrite(path, large, tile=(64, 64), compression="zlib")
        tracemalloc.start()
        predicting.predict(
            run, path, tmp_path / f"{len(peaks)}", max_pixels=100, tile=(64, 64)
        )
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < peaks[1] + 500_000
