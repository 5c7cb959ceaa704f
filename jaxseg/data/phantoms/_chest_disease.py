"""Draws pneumonia on a phantom chest: ground-glass patches, and lobes filled up.

COVID-19 typically shows hazy patches in both lungs, peripheral and rather low, through
which vessels can still be seen (Wong et al., Frequency and Distribution of Chest
Radiographic Findings in Patients Positive for COVID-19, 2020,
https://doi.org/10.1148/radiol.2020201160). Lobar pneumonia fills one lobe up to its
fissure, denser and on one side, with open airways as dark branches in it (Franquet,
Imaging of Community-acquired Pneumonia, 2018,
https://doi.org/10.1097/RTI.0000000000000347).
"""

from typing import NamedTuple

import cv2
import numpy as np

from jaxseg.data.phantoms._chest_anatomy import Lung
from jaxseg.data.phantoms._chest_film import Film

AREAS = (0.01, 0.14)  # share of the image under ground glass
RARE_AREAS = (0.0035, 0.0065)  # the same of a small patch, 0.5 % on average
_MEDIAN_AREA, _AREA_SPREAD = 0.045, 0.6


class Disease(NamedTuple):
    """What a lung disease does to a film; every array is [h, w]."""

    mask: np.ndarray  # bool, where it is
    density: np.ndarray  # f32, added to that of the film
    veil: np.ndarray  # f32 in 0..1, how much of the markings it hides


def none(film: Film) -> Disease:
    """Return the Disease of a healthy chest."""
    empty = np.zeros((film.size, film.size), np.float32)
    return Disease(empty > 0, empty, empty)


def ground_glass(
    rng: np.random.Generator,
    film: Film,
    lungs: list[Lung],
    masks: list[np.ndarray],
    *,
    small: bool = False,
) -> Disease:
    """Return hazy patches near the walls of both lungs, `masks` bool [h, w] of each.

    They cover 1 to 14 % of the image, log-normal; one `small` patch covers 0.35 to
    0.65 %.
    """
    inside = masks[0] | masks[1]
    share = rng.uniform(*RARE_AREAS)
    if not small:
        share = np.exp(rng.normal(np.log(_MEDIAN_AREA), _AREA_SPREAD))
        share = np.clip(share, AREAS[0], AREAS[1])
    pixels = int(min(round(share * inside.size), 0.6 * inside.sum()))
    score = np.full(inside.shape, -np.inf, np.float32)
    sides = [int(rng.integers(2))] if small else [0, 1, *rng.integers(2, size=3)]
    for side in sides[: 1 if small else int(rng.integers(2, 6))]:
        x, y = _near_the_wall(rng, lungs[side])
        rx, ry = rng.uniform(0.10, 0.30, 2) * [0.8, 1.2] * (0.5 if small else 1.0)
        away = ((film.x - x) / rx) ** 2 + ((film.y - y) / ry) ** 2
        score = np.maximum(score, np.where(masks[side], -np.sqrt(away), -np.inf))
    score += (0.1 if small else 0.3) * film.grain(rng, 6.0)
    mask = _largest(score, pixels)
    # a small patch would drown in the lung markings, were it as faint and as blurred
    strength = rng.uniform(0.22, 0.34) if small else rng.uniform(0.11, 0.24)
    density = strength * _haze(rng, film, mask, blur=1.2 if small else 2.2)
    return Disease(mask, density, 0.35 * (density > 0.02))


def lobar(
    rng: np.random.Generator, film: Film, lungs: list[Lung], masks: list[np.ndarray]
) -> Disease:
    """Return a consolidation of one lobe of one lung, `masks` bool [h, w] of each."""
    side = int(rng.integers(2))
    rows = np.flatnonzero(masks[side].any(1))
    top, bottom = film.y[rows[0], 0], film.y[rows[-1], 0]
    slope, cut = rng.uniform(-0.25, 0.25), rng.uniform(0.38, 0.62)
    level = top + cut * (bottom - top) + slope * (np.abs(film.x) - 0.45)
    lobe = masks[side] & ((film.y > level) == (rng.random() < 0.6))
    # a part of it alone: what lies nearest to a place in the lobe
    reach = np.hypot(film.x - lungs[side].side * rng.uniform(0.25, 0.6), film.y - level)
    score = np.where(lobe, -reach + 0.06 * film.grain(rng, 7.0), -np.inf)
    mask = _largest(score, int(rng.uniform(0.45, 1.0) * lobe.sum()))
    haze = _haze(rng, film, mask, blur=0.9)
    angles = rng.uniform(0, np.pi, 5)
    start = np.stack([lungs[side].hilum] * 5)
    ends = start + 0.5 * np.stack(
        [lungs[side].side * np.sin(angles), -np.cos(angles)], 1
    )
    airways = film.stroke(np.stack([start, ends], 1), width=1.3, blur=0.6)
    density = rng.uniform(0.18, 0.36) * haze * (1 - 0.55 * airways)
    return Disease(mask, density.astype(np.float32), 0.8 * haze)


def _near_the_wall(rng: np.random.Generator, lung: Lung) -> np.ndarray:
    """Return a place f64 [2] in the outer third of a lung, in the low half mostly."""
    wall = lung.rim[: len(lung.rim) * 2 // 3]  # without the diaphragm
    low = rng.beta(2.5, 1.5)
    point = wall[min(int(low * len(wall)), len(wall) - 1)]
    return lung.hilum + rng.uniform(0.62, 0.92) * (point - lung.hilum)


def _largest(score: np.ndarray, pixels: int) -> np.ndarray:
    """Return bool [h, w]: the `pixels` of highest finite score."""
    allowed = int(np.isfinite(score).sum())
    pixels = max(1, min(pixels, allowed))
    level = np.partition(score.ravel(), -pixels)[-pixels]
    return (score >= level) & np.isfinite(score)


def _haze(
    rng: np.random.Generator, film: Film, mask: np.ndarray, *, blur: float
) -> np.ndarray:
    """Return f32 [h, w]: about 1 in the mask, mottled, and fading at its edge."""
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), blur * film.unit)
    return soft * (1 + 0.22 * film.grain(rng, 3.0)).clip(0.3, 1.7)
