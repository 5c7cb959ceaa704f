"""Writes the outlines of all objects or areas as GeoJSON, as QuPath reads them.

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
    """The bytes of the file; `measurements` are those of the area."""
    features = []
    colours = pictures.class_colours(len(image.names) - 1)
    for area in outlines.areas(image):
        features.append(_feature(image, area, colours[area.class_id - 1]))
    content = {"type": "FeatureCollection", "features": features}
    return (json.dumps(content) + "\n").encode()


def _feature(image: Labelled, area: outlines.Area, colour: pictures.Colour) -> dict:
    outline = area.outline
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
            "name": area.name,
            "classification": {
                "name": image.names[area.class_id],
                "color": [*colour],
            },
            "measurements": measured,
        },
    }
