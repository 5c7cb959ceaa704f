"""Draws phantom chest radiographs: normal, COVID-19, and another pneumonia.

The anatomy is that of `chest`; `_chest_disease` draws the two pneumonias. The films
come from four scanners, which differ in field of view, contrast, tone curve, sharpness,
noise and in the black border that the collimator leaves. Which scanner took a film says
nothing about the disease, unless somebody makes it so.
"""

from typing import NamedTuple

import cv2
import numpy as np

from jaxseg.data.phantoms import _chest_anatomy as anatomy
from jaxseg.data.phantoms import _chest_disease as diseases
from jaxseg.data.phantoms import _chest_extras as extras
from jaxseg.data.phantoms import _chest_film as films
from jaxseg.data.phantoms import chest
from jaxseg.errors import ConfigError

KINDS = ("normal", "covid19", "non_covid")
_SMALLEST = 64


class Scanner(NamedTuple):
    """How one machine turns density into grey values."""

    zoom: float  # of the body on the film
    gain: float  # contrast
    gamma: float  # of the tone curve
    blur: float  # pixels of a film of 256
    noise: float
    border: float  # black on each side, a share of the film


SCANNERS = (
    Scanner(zoom=0.97, gain=1.00, gamma=1.00, blur=0.5, noise=0.004, border=0.0),
    Scanner(zoom=1.03, gain=0.85, gamma=0.82, blur=0.8, noise=0.009, border=0.02),
    Scanner(zoom=0.92, gain=1.12, gamma=1.22, blur=0.4, noise=0.006, border=0.035),
    Scanner(zoom=1.00, gain=0.95, gamma=0.92, blur=1.0, noise=0.003, border=0.01),
)


class Radiograph(NamedTuple):
    """One film and what is true of it; every array is [size, size]."""

    image: np.ndarray  # u8, bright is dense
    lung: np.ndarray  # bool: both lungs, with what fills them
    infection: np.ndarray  # bool: ground glass of COVID-19
    consolidation: np.ndarray  # bool: of another pneumonia; nobody annotates it


def draw(
    index: int,
    *,
    kind: str,
    size: int,
    seed: int,
    scanner: int = 0,
    infected: bool = True,
    small: bool = False,
    letter: str = "",
) -> Radiograph:
    """Return the Radiograph number `index`, a pure function of the arguments.

    `kind` is one of KINDS, `scanner` a number of SCANNERS. A film of COVID-19 shows
    ground glass where it is `infected`, one `small` patch of 0.5 % of the pixels if
    asked for. A `letter` is burned into the upper left corner. Raises ConfigError for a
    size below 64 and for another kind or scanner.
    """
    if size < _SMALLEST or kind not in KINDS or not 0 <= scanner < len(SCANNERS):
        raise ConfigError(
            f"A phantom {kind!r} of size {size} from scanner {scanner} cannot be "
            f"drawn: size must be at least {_SMALLEST}, the kind one of "
            f"{', '.join(KINDS)} and the scanner 0 to {len(SCANNERS) - 1}."
        )
    rng = np.random.default_rng((seed, index))
    machine = SCANNERS[scanner]
    patient = chest.body(rng)
    film = films.frame(rng, size, zoom=machine.zoom)
    lungs = [anatomy.cavity(patient, side) for side in (0, 1)]
    layers = chest.expanded(rng, film, patient, lungs)
    masks = _lungs(film, patient, lungs)
    disease = diseases.none(film)
    if kind == "covid19" and infected:
        disease = diseases.ground_glass(rng, film, lungs, masks, small=small)
    elif kind == "non_covid":
        disease = diseases.lobar(rng, film, lungs, masks)
    density = _compose(rng, film, layers, disease)
    image = _expose(rng, film, density, machine, letter)
    empty = np.zeros_like(disease.mask)
    return Radiograph(
        image=image,
        lung=masks[0] | masks[1],
        infection=disease.mask if kind == "covid19" else empty,
        consolidation=disease.mask if kind == "non_covid" else empty,
    )


def _lungs(film, patient, lungs) -> list[np.ndarray]:
    """Return bool [h, w] of each lung: its cavity without heart and mediastinum."""
    covered = film.fill(anatomy.heart(patient)) > 0.5
    covered |= anatomy.mediastinum(film, patient) > 0.5
    return [(film.fill(lung.outline) > 0.5) & ~covered for lung in lungs]


def _compose(rng, film, layers, disease) -> np.ndarray:
    """Return the density f32 [h, w] of a chest with its disease."""
    depth = rng.uniform(0.38, 0.50)
    texture = film.grain(rng, 1.7) * 0.024 + film.grain(rng, 3.2) * 0.019
    markings = layers.vessels + texture * layers.air * rng.uniform(0.8, 1.4)
    density = layers.tissue - depth * layers.air + layers.ribs + layers.over
    density += markings * (1 - disease.veil)
    veils = film.grain(rng, 22.0) * rng.uniform(0.01, 0.04)  # of healthy lungs as well
    return density + disease.density + veils * (layers.air > 0.2)


def _expose(rng, film, density, machine, letter) -> np.ndarray:
    """Return the image u8 [h, w] of a density, as a Scanner takes it."""
    scatter = rng.uniform(0.05, 0.20)
    wide = film.wide_blur(density, 14.0)
    density = density + scatter * (wide - density) + extras.shading(rng, film)
    density = cv2.GaussianBlur(density, (0, 0), machine.blur * film.unit)
    noise = machine.noise * np.exp(1.1 * (density - 0.4))
    density = density + noise * film.grain(rng, 0.45)
    gain, black = machine.gain * rng.uniform(0.95, 1.05), rng.uniform(0.0, 0.08)
    tone = (gain * (density - black)).clip(0, 1) ** machine.gamma
    tone = extras.letters(rng, film, tone)
    if edge := int(round(machine.border * film.size)):
        inside = np.zeros_like(tone)
        inside[edge:-edge, edge:-edge] = tone[edge:-edge, edge:-edge]
        tone = inside
    if letter:
        _burn(tone, letter)
    return np.rint(tone * 255).astype(np.uint8)


def _burn(tone: np.ndarray, letter: str) -> None:
    """Writes a letter into the upper left corner, white, a tenth of the film high."""
    canvas = np.zeros(tone.shape, np.uint8)
    size = len(tone)
    at = (int(0.04 * size), int(0.14 * size))
    font, scale = cv2.FONT_HERSHEY_SIMPLEX, 0.0046 * size
    thick = max(1, round(size / 64))
    cv2.putText(canvas, letter, at, font, scale, 255, thick, cv2.LINE_AA)
    np.maximum(tone, canvas.astype(np.float32) / 255, out=tone)
