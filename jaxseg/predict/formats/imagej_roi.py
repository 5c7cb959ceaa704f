"""Writes the outlines of all objects or areas as a zip of ImageJ regions of interest.

One polygon an area, named by its class and number, in corners of pixels of the upright
image; the outline of a hole is a polygon of its own, named so, as ImageJ's polygons
have none. The file opens in ImageJ's ROI Manager.
"""

import importlib.util
import io
import zipfile

from jaxseg.errors import ConfigError
from jaxseg.predict import outlines
from jaxseg.predict.masks import Labelled

FOLDER, SUFFIX = "rois", ".zip"
_TIME = (1980, 1, 1, 0, 0, 0)  # of every entry: the same mask gives the same bytes


def check() -> None:
    """Raises ConfigError, with the command that installs it, without `roifile`."""
    if importlib.util.find_spec("roifile") is None:
        raise ConfigError(
            '--format=imagej_roi needs the package roifile: pip install "jaxseg[roi]"'
        )


def encode(image: Labelled) -> bytes:
    """The bytes of the zip; an image without foreground gives an empty one."""
    import roifile

    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for area in outlines.areas(image):
            rings = [("", area.outline.outer)]
            rings += [(f"-hole{h}", r) for h, r in enumerate(area.outline.holes, 1)]
            for suffix, ring in rings:
                name = f"{area.name}{suffix}".replace("/", "_")
                roi = roifile.ImagejRoi.frompoints(ring, name=name)
                roi.roitype = roifile.ROI_TYPE.POLYGON
                entry = zipfile.ZipInfo(f"{name}.roi", _TIME)
                file.writestr(entry, roi.tobytes())
    return out.getvalue()
