"""The size of a pixel: from instruments, not from wishes about paper."""

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image
from support import dicom_files

from jaxseg.data.files import pixel_size

IMAGE = np.arange(72, dtype=np.uint8).reshape(8, 9)


def imagej(path, side, unit="um", other=None):
    tifffile.imwrite(
        path,
        IMAGE,
        imagej=True,
        resolution=(1 / side, 1 / (other or side)),
        metadata={"unit": unit},
    )
    return path


def ome(path, side, unit="µm", other=None):
    sizes = {"PhysicalSizeX": side, "PhysicalSizeY": other or side}
    units = {"PhysicalSizeXUnit": unit, "PhysicalSizeYUnit": unit}
    metadata = {"axes": "YX", **sizes, **units}
    tifffile.imwrite(path, IMAGE, ome=True, metadata=metadata)
    return path


@pytest.mark.parametrize("write", [imagej, ome])
def test_microscopes_say_it_in_any_unit(write, tmp_path):
    for unit, factor in (
        ("µm" if write is ome else "um", 1),
        ("mm", 1e3),
        ("nm", 1e-3),
    ):
        path = write(tmp_path / f"{unit}.ome.tif", 0.65, unit)
        assert pixel_size.read(path) == pytest.approx(0.65 * factor, rel=1e-4)
    assert pixel_size.read(write(tmp_path / "a.tif", 0.65, "furlong")) is None


@pytest.mark.parametrize("write", [imagej, ome])
def test_pixels_that_are_not_square_have_no_size(write, tmp_path):
    assert pixel_size.read(write(tmp_path / "a.tif", 0.5, other=0.6)) is None
    near = pixel_size.read(write(tmp_path / "b.tif", 0.5, other=0.502))
    assert near == pytest.approx(0.501, abs=1e-4)


def test_radiographs_say_it_at_the_object_before_at_the_detector(tmp_path):
    spacing = {"ImagerPixelSpacing": [0.2, 0.2]}
    path = dicom_files.write(tmp_path / "a.dcm", IMAGE, **spacing)
    assert pixel_size.read(path) == pytest.approx(200)
    spacing["PixelSpacing"] = [0.143, 0.143]
    path = dicom_files.write(tmp_path / "b.dcm", IMAGE, **spacing)
    assert pixel_size.read(path) == pytest.approx(143)
    assert pixel_size.read(dicom_files.write(tmp_path / "c.dcm", IMAGE)) is None


def test_dots_per_inch_are_not_believed_and_damage_is_left_to_the_reader(tmp_path):
    for name in ("a.png", "a.jpg", "a.tif"):
        Image.fromarray(IMAGE).save(tmp_path / name, dpi=(300, 300))
        assert pixel_size.read(tmp_path / name) is None
    cv2.imwrite(str(tmp_path / "b.tif"), IMAGE)
    assert pixel_size.read(tmp_path / "b.tif") is None
    for name in ("c.tif", "c.dcm"):
        (tmp_path / name).write_bytes(b"no such image")
        assert pixel_size.read(tmp_path / name) is None
