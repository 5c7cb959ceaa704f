"""Draws phantom chest radiographs with and without pneumothorax, and their masks.

What is drawn is what makes a frontal film readable: an upright pneumothorax is a
crescent between the chest wall and a thin white line, the visceral pleura, that runs
parallel to the wall; beyond the line there are no lung markings and the film is a
little darker. Air collects at the apex first, then along the side, or in a deep
costophrenic sulcus. A skin fold is the known mimic: an edge, not a line, and vessels
go on behind it (O'Connor and Morgan, Radiological review of pneumothorax, BMJ, 2005,
https://doi.org/10.1136/bmj.330.7506.1493). Areas follow the public SIIM-ACR masks
(Kaggle, 2019), in which a positive film has 1.37 % of its pixels marked on average.

A film is a sum of attenuations, so ribs, vessels and lines show through each other.
The frame is the body's: x and y about -1 to 1, y downward, the spine at x = 0.
"""

from typing import NamedTuple

import cv2
import numpy as np

from jaxseg.data.phantoms import _chest_anatomy as anatomy
from jaxseg.data.phantoms import _chest_extras as extras
from jaxseg.data.phantoms import _chest_film as films
from jaxseg.errors import ConfigError

AREAS = (0.0012, 0.0385)  # target share of the image; drawing adds under a tenth
_MEDIAN_AREA, _AREA_SPREAD = 0.0120, 0.85
_SMALLEST = 64
_WALL_FREEDOM = np.array([1, 1, 1, 1, 1, 0.8, 0.5, 0])[:, None]  # apex to base


class Layers(NamedTuple):
    """What one film is summed from; every array is f32 [h, w]."""

    tissue: np.ndarray  # body without lungs, 0 is air
    air: np.ndarray  # 1 where aerated lung lies behind, its depth below 1
    ribs: np.ndarray  # bone and lines of the chest wall
    vessels: np.ndarray  # lung markings
    over: np.ndarray  # folds, tubes, leads, letters


def body(rng: np.random.Generator) -> films.Body:
    """Return the anatomy of one patient, which all films of the patient share."""
    return {
        "wall": rng.normal(0, 0.018, (2, 8, 2)) * _WALL_FREEDOM,
        "diaphragm": rng.normal(0, 0.02, (2, 5, 2)),
        "level": rng.normal([0.0, 0.05], 0.05),
        "width": rng.uniform(0.92, 1.06),
        "height": rng.uniform(0.93, 1.05),
        "heart": rng.uniform(0.82, 1.22),
        "heart_shape": rng.normal(0, 0.015, (7, 2)),
        "rib_gap": rng.uniform(0.150, 0.178),
        "rib_width": rng.uniform(0.060, 0.082),
        "rib_slope": rng.uniform(0.10, 0.30),
        "rib_bright": rng.uniform(0.10, 0.19),
        "clavicle": rng.normal(0, 0.03, (2, 4, 2)),
        "breast": rng.uniform(0.04, 0.13) if rng.random() < 0.5 else 0.0,
        "markings": rng.uniform(0.75, 1.3),
        "sex": "F" if rng.random() < 0.44 else "M",
        "age": int(np.clip(rng.normal(47, 17), 16, 90)),
    }


def radiograph(
    rng: np.random.Generator,
    *,
    size: int,
    positive: bool,
    patient: films.Body | None = None,
    bits: int = 8,
) -> tuple[np.ndarray, np.ndarray]:
    """Return (image [size, size], mask bool [size, size]): a film and its pneumothorax.

    The image is u8, or u16 with values to 4095 when `bits` is 12; bright is dense
    (MONOCHROME2). The mask is empty unless `positive`; then it covers 0.1 to 4 % of
    the image. `patient` is a `body`, drawn from `rng` where it is None. The
    result is a pure function of the state of `rng` and the arguments.
    Raises ConfigError for a size below 64 or bits other than 8 and 12.
    """
    if size < _SMALLEST or bits not in (8, 12):
        raise ConfigError(
            f"A phantom of size {size} with {bits} bits cannot be drawn: size must be "
            f"at least {_SMALLEST} and bits 8 or 12."
        )
    patient = body(rng) if patient is None else patient
    film = films.frame(rng, size)
    lungs = [anatomy.cavity(patient, side) for side in (0, 1)]
    layers = expanded(rng, film, patient, lungs)
    mask, line = np.zeros((size, size), bool), 0.0
    if positive:
        mask, line = _pneumothorax(rng, film, lungs, layers.air > 0.3)
    density = _compose(rng, film, layers, mask, line)
    return _expose(rng, film, density, bits=bits), mask


def expanded(
    rng: np.random.Generator,
    film: films.Film,
    patient: films.Body,
    lungs: list[anatomy.Lung],
) -> Layers:
    """Return the Layers of a film of this patient with both lungs expanded."""
    heart = film.fill(anatomy.heart(patient), blur=1.6)
    whole = np.maximum(*(film.fill(lung.outline, blur=0.7) for lung in lungs))
    air = whole * (1 - 0.86 * heart) * (1 - anatomy.mediastinum(film, patient))
    depth = sum(film.fill(lung.inner, blur=9.0) for lung in lungs)
    air = air * (0.62 + 0.38 * depth)
    tissue = anatomy.tissue(rng, film, patient)
    tissue += 0.10 * heart + 0.16 * anatomy.spine(film)
    hull = np.maximum(*(film.fill(lung.hull, blur=1.0) for lung in lungs))
    ribs = patient["rib_bright"] * anatomy.ribs(rng, film, patient) * hull
    ribs *= 0.3 + 0.7 * air
    ribs += 0.10 * anatomy.clavicles(film, patient)
    ribs += 0.07 * (hull - whole).clip(0) + anatomy.scapulae(rng, film)
    vessels = sum(anatomy.vessels(rng, film, lung) for lung in lungs)
    vessels = patient["markings"] * vessels * air
    over = extras.folds(rng, film, lungs) + extras.hardware(rng, film)
    over += extras.bubble(rng, film)
    return Layers(tissue, air, ribs, vessels, over)


def _pneumothorax(rng, film, lungs, aerated):
    """Return (mask bool [h, w], pleural line f32 [h, w]) of one pneumothorax.

    The share of the image is log-normal within AREAS; a place whose pixels miss the
    share (a part may lie outside the film, or behind the heart, where `aerated` is
    false) is drawn again.
    """
    area = 0.0
    while not AREAS[0] <= area <= AREAS[1]:
        area = np.exp(rng.normal(np.log(_MEDIAN_AREA), _AREA_SPREAD))
    insides = [film.fill(lung.outline, fine=4) for lung in lungs]
    mask = np.zeros((film.size, film.size), bool)
    while not (0.001 <= mask.mean() <= 0.04 and abs(mask.mean() / area - 1) < 0.4):
        side = rng.integers(2)
        parts = anatomy.crescents(
            rng, lungs[side], area=4 * area / film.magnification**2
        )
        inside = aerated & (insides[side] > 0.5)
        regions = [film.fill(part.region, fine=4) > 0.5 for part in parts]
        mask = np.logical_or.reduce(regions) & inside
    width, bright = rng.uniform(1.2, 1.9), rng.uniform(0.10, 0.20)
    line = sum(film.stroke([part.edge], width=width) for part in parts)
    reach = np.ones((5, 5), np.uint8)  # the line ends where its pocket does
    return mask, bright * line * cv2.dilate(mask.astype(np.uint8), reach)


def _compose(rng, film, layers, mask, line):
    """Return the density f32 [h, w], with lung taken out where `mask` is true."""
    lung_depth = rng.uniform(0.38, 0.50)
    free = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.4 * film.unit)
    # emphysema: darker, markings thinned, not gone
    lucent = extras.lucencies(rng, film)
    texture = film.grain(rng, 1.7) * 0.024 + film.grain(rng, 3.2) * 0.019
    markings = layers.vessels + texture * layers.air * rng.uniform(0.8, 1.4)
    density = layers.tissue - lung_depth * layers.air
    density += layers.ribs + layers.over + line
    density += markings * (1 - free) * (1 - 0.45 * lucent)
    density -= layers.air * (free * rng.uniform(0.11, 0.19) + 0.04 * lucent)
    clouds = film.grain(rng, 22.0) * rng.uniform(0.005, 0.03)  # veils, soft opacities
    return density + (clouds * (layers.air > 0.2) + extras.opacities(rng, film)) * (
        1 - free
    )


def _expose(rng, film, density, *, bits):
    """Return the integer image of a density: scatter, blur, noise, tone, window."""
    scatter = rng.uniform(0.05, 0.25)
    wide = film.wide_blur(density, 14.0)
    density = density + scatter * (wide - density) + extras.shading(rng, film)
    density = cv2.GaussianBlur(density, (0, 0), rng.uniform(0.35, 0.85) * film.unit)
    # Dense parts let few photons through, so they are the noisy ones.
    noise = rng.uniform(0.003, 0.009) * np.exp(1.1 * (density - 0.4))
    density = density + noise * film.grain(rng, 0.45)
    black, white = rng.uniform(0.0, 0.10), rng.uniform(0.88, 1.08)
    tone = ((density - black) / (white - black)).clip(0, 1) ** rng.uniform(0.8, 1.25)
    tone = extras.letters(rng, film, tone)
    top = (1 << bits) - 1
    return np.rint(tone * top).astype(np.uint8 if bits == 8 else np.uint16)
