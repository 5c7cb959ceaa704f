"""Files of outlines, regions and segmentations hold exactly the mask."""

import io
import json
import pathlib
import zipfile

import cv2
import numpy as np
import pydicom
import pytest
import roifile
from support import dicom_files

from jaxseg import errors, lookup
from jaxseg.predict import outlines
from jaxseg.predict.formats import dicom_seg, geojson, imagej_roi
from jaxseg.predict.masks import Labelled

NAMES = ["background", "bead", "dirt"]


def labelled(classes, source="a.png", **changes):
    shape = classes.shape
    fields = dict(
        classes=classes,
        confidence=np.ones(shape, np.float32),
        pixels=np.zeros((*shape, 1), np.uint8),
        names=NAMES,
        source=pathlib.Path(source),
        orientation=1,
        pixel_size=0.5,
        origin="digests",
    )
    return Labelled(**fields | changes)


def classes(seed, size=(14, 17)):
    rng = np.random.default_rng(seed)
    return rng.choice(3, size, p=(0.5, 0.4, 0.1)).astype(np.uint8)


def filled(shape, rings):
    """bool [h, w]: the pixels whose centres lie inside an odd number of rings."""
    crossings = np.zeros(shape, int)
    for ring in rings:
        ring = np.asarray(ring)
        for (x, y), (x2, y2) in zip(ring, np.roll(ring, -1, 0), strict=True):
            if x == x2:
                crossings[min(y, y2) : max(y, y2), x:] += 1
            else:
                assert y == y2  # along the edges of pixels
    return crossings % 2 == 1


@pytest.mark.parametrize("seed", range(8))
def test_outlines_cover_their_pixels_and_never_cross(seed):
    mask = classes(seed) == 1
    traced = outlines.trace(mask)
    rings = [ring for each in traced for ring in (each.outer, *each.holes)]
    np.testing.assert_array_equal(filled(mask.shape, rings), mask)
    count = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)[0] - 1
    assert len(traced) == count and [t.at for t in traced] == sorted(
        t.at for t in traced
    )
    for each in traced:
        inside = filled(mask.shape, [each.outer, *each.holes])
        assert inside.sum() == each.area and inside[each.at]
        for ring in (each.outer, *each.holes):
            assert len({*map(tuple, ring.tolist())}) == len(ring)  # each corner once


def test_outlines_of_a_ring_whose_ends_touch_by_a_corner():
    mask = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 0]], bool)
    (ring,) = outlines.trace(mask)
    assert ring.outer.tolist() == [[0, 0], [3, 0], [3, 2], [2, 2], [2, 3], [0, 3]]
    assert sorted(ring.holes[0].tolist()) == [[1, 1], [1, 2], [2, 1], [2, 2]]
    assert outlines.trace(np.zeros((3, 3), bool)) == []


def test_geojson_holds_every_area_with_its_class_and_size():
    image = labelled(classes(3))
    content = json.loads(geojson.encode(image))
    assert content["type"] == "FeatureCollection"
    for c, name in enumerate(NAMES[1:], 1):
        mine = [
            f
            for f in content["features"]
            if f["properties"]["classification"]["name"] == name
        ]
        rings = [r for f in mine for r in f["geometry"]["coordinates"]]
        assert all(ring[0] == ring[-1] for ring in rings)
        rings = [ring[:-1] for ring in rings]
        np.testing.assert_array_equal(
            filled(image.classes.shape, rings), image.classes == c
        )
        areas = [f["properties"]["measurements"] for f in mine]
        assert sum(a["area_px"] for a in areas) == (image.classes == c).sum()
        assert all(a["area_um2"] == a["area_px"] / 4 for a in areas)


def test_imagej_regions_hold_every_area(tmp_path):
    image = labelled(classes(4))
    content = imagej_roi.encode(image)
    assert content == imagej_roi.encode(image)
    (tmp_path / "a.zip").write_bytes(content)
    rois = roifile.roiread(tmp_path / "a.zip")
    for c, name in enumerate(NAMES[1:], 1):
        rings = [
            r.integer_coordinates + (r.left, r.top) for r in rois if name in r.name
        ]
        np.testing.assert_array_equal(
            filled(image.classes.shape, rings), image.classes == c
        )
    empty = imagej_roi.encode(labelled(np.zeros((4, 4), np.uint8)))
    assert zipfile.ZipFile(io.BytesIO(empty)).namelist() == []


def test_a_dicom_segmentation_belongs_to_its_image(tmp_path):
    stored = np.random.default_rng(0).integers(0, 255, (14, 17)).astype(np.uint8)
    tags = {"SeriesInstanceUID": "1.2.9", "StudyDate": "20200131", "Modality": "DX"}
    source = dicom_files.write(tmp_path / "a.dcm", stored, **tags)
    image = labelled(classes(5), source)
    content = dicom_seg.encode(image)
    assert content == dicom_seg.encode(image)
    read = pydicom.dcmread(io.BytesIO(content))
    assert read.Modality == "SEG" and read.PatientID == "someone"
    assert read.StudyInstanceUID == "1.2.4" and read.ContentDate == "20200131"
    assert [s.SegmentLabel for s in read.SegmentSequence] == NAMES[1:]
    for c, frame in enumerate(read.pixel_array, 1):
        np.testing.assert_array_equal(frame, image.classes == c)
    other = pydicom.dcmread(
        io.BytesIO(dicom_seg.encode(image._replace(origin="another run")))
    )
    assert other.SOPInstanceUID != read.SOPInstanceUID
    nothing = labelled(np.zeros((14, 17), np.uint8), source)
    read = pydicom.dcmread(io.BytesIO(dicom_seg.encode(nothing)))
    assert not read.pixel_array.any()
    with pytest.raises(errors.DataError, match="a.png is not DICOM"):
        dicom_seg.encode(labelled(classes(5)))
    source = dicom_files.write(tmp_path / "b.dcm", stored)
    with pytest.raises(
        errors.DataError, match="its header lacks SeriesInstanceUID, Modality"
    ):
        dicom_seg.encode(labelled(classes(5), source))


@pytest.mark.parametrize("name, extra", [("dicom_seg", "dicom"), ("imagej_roi", "roi")])
def test_a_missing_package_is_named_with_its_command(name, extra, monkeypatch):
    module = lookup.find("predict/formats", name)
    module.check()
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda package: None)
    with pytest.raises(errors.ConfigError, match=rf'pip install "jaxseg\[{extra}\]"'):
        module.check()


def test_every_format_has_a_place_and_can_be_written():
    assert lookup.names("predict/formats") == [
        *("dicom_seg", "geojson", "imagej_roi", "png", "tif")
    ]
    for name in lookup.names("predict/formats"):
        module = lookup.find("predict/formats", name)
        assert module.FOLDER and module.SUFFIX.startswith(".")
        module.check()
