"""Writes the outlines of all areas as GeoJSON, as QuPath reads them.

A FeatureCollection of polygons in pixels of the upright image, x to the right and y
down, with their holes (RFC 7946, Butler et al., 2016,
https://www.rfc-editor.org/rfc/rfc7946; the properties are those of QuPath,
https://qupath.readthedocs.io/en/stable/docs/advanced/exporting_annotations.html).
"""

import json

import numpy as np

from jaxseg import pictures
from jaxseg.predict import outlines
from jaxseg.predict.masks import Labelled

FOLDER, SUFFIX = "outlines", ".geojson"


def check() -> None:
    """Nothing is missing: every installation can write it."""


def encode(image: Labelled) -> bytes:
    """The bytes of the file; `measurements` are the area and the mean confidence."""
    features = []
    colours = pictures.class_colours(len(image.names) - 1)
    for c in range(1, len(image.names)):
        for outline in outlines.trace(image.classes == c):
            features.append(_feature(image, outline, image.names[c], colours[c - 1]))
    content = {"type": "FeatureCollection", "features": features}
    return (json.dumps(content) + "\n").encode()


def _feature(
    image: Labelled, outline: outlines.Outline, name: str, colour: pictures.Colour
) -> dict:
    rings = [outline.outer, *outline.holes]
    closed = [np.concatenate([ring, ring[:1]]).tolist() for ring in rings]
    measured = {"area_px": outline.area}
    if image.pixel_size is not None:
        measured["area_um2"] = outline.area * image.pixel_size**2
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": closed},
        "properties": {
            "objectType": "annotation",
            "classification": {"name": name, "color": [*colour]},
            "measurements": measured,
        },
    }
