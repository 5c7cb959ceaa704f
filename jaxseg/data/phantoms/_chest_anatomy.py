"""Draws the anatomy of a phantom chest: lungs, heart, bones, vessels, air pockets."""

from typing import NamedTuple

import numpy as np

from jaxseg.data.phantoms._chest_film import Body, Film, curve

# Control points of the lung on the right of the image; the other is its mirror.
_WALL = np.array(
    [(0.12, -0.70), (0.20, -0.87), (0.36, -0.92), (0.55, -0.80)]
    + [(0.70, -0.50), (0.79, -0.10), (0.83, 0.30), (0.86, 0.68)]
)
_DIAPHRAGM = np.array(
    [(0.86, 0.68), (0.66, 0.49), (0.45, 0.40), (0.27, 0.42), (0.06, 0.50)]
)
_HALF = 128  # reference pixels to one unit of the body
_HILUM = np.array([0.27, -0.02])
_HEART = np.array(
    [(0.02, -0.42), (0.13, -0.30), (0.22, -0.05), (0.46, 0.22)]
    + [(0.56, 0.46), (0.20, 0.62), (-0.20, 0.45)]
)
_CLAVICLE = np.array([(0.08, -0.58), (0.30, -0.66), (0.55, -0.78), (0.86, -0.80)])


class Lung(NamedTuple):
    """One hemithorax; every outline is f64 [n, 2]."""

    outline: np.ndarray  # pleural cavity
    inner: np.ndarray  # the same, shrunk: where the lung is deep
    hull: np.ndarray  # the same, grown: the inner face of the chest wall
    rim: np.ndarray  # wall and diaphragm, from the medial apex to the heart
    hilum: np.ndarray  # f64 [2]
    side: int  # -1 on the left of the image, 1 on the right


class Part(NamedTuple):
    """One pocket of air: its closed outline and the pleural edge, f64 [n, 2]."""

    region: np.ndarray
    edge: np.ndarray


def cavity(patient: Body, side: int) -> Lung:
    """Return the Lung on one side: 0 is the left of the image, 1 the right."""
    sign = 2 * side - 1
    stretch = np.array([patient["width"], patient["height"]])
    wall = (_WALL + patient["wall"][side]) * stretch
    floor = (_DIAPHRAGM + patient["diaphragm"][side]) * [patient["width"], 1]
    floor[:, 1] += patient["level"][side] * np.array([0.6, 1, 1, 1, 1])
    wall[-1] = floor[0]  # the costophrenic angle is a corner of both
    medial = np.array([floor[-1], (0.05, 0.0), wall[0]])
    rim = np.concatenate([curve(wall, 64), curve(floor, 32)[1:]])
    outline = np.concatenate([rim, curve(medial, 24)])
    middle = np.array([0.45, -0.15])
    flip = np.array([sign, 1])
    return Lung(
        outline=outline * flip,
        inner=(middle + 0.72 * (outline - middle)) * flip,
        hull=(middle + 1.07 * (outline - middle)) * flip,
        rim=rim * flip,
        hilum=_HILUM * flip,
        side=sign,
    )


def heart(patient: Body) -> np.ndarray:
    """Return the closed outline f64 [n, 2] of the heart."""
    points = (_HEART + patient["heart_shape"]) * [patient["heart"], 1]
    return curve(np.concatenate([points, points[:1]]), 64)


def crescents(rng: np.random.Generator, lung: Lung, *, area: float) -> list[Part]:
    """Return the Parts of one pneumothorax of `area`, in the units of the body.

    Air is where the lung has left the wall: the edge of the lung is the rim drawn
    towards the hilum. A larger pocket reaches further along the wall.
    """
    large = area > 0.03
    shares = [1.0]
    if large and rng.random() < 0.3:
        share = rng.uniform(0.65, 0.85)
        shares = [share, 1 - share]
    parts = []
    for i, share in enumerate(shares):
        place = rng.choice(4, p=[0.42, 0.36, 0.10, 0.12]) if i == 0 else 3
        reach = np.clip(0.09 + 0.12 * np.sqrt(area * share / 0.04), 0.11, 0.42)
        reach *= rng.uniform(0.8, 1.25)
        if place == 0:  # apical
            centre = rng.normal(0.27, 0.04)
        elif place == 1:  # along the upper side
            centre, reach = rng.uniform(0.36, 0.52), 1.15 * reach
        elif place == 2:  # along the lower side
            centre = rng.uniform(0.6, 0.8)
        else:  # costophrenic
            centre = rng.uniform(0.95, 1.15)
        parts.append(_pocket(rng, lung, centre, reach, area * share))
    return parts


def _pocket(rng, lung, centre, reach, area):
    """Return the Part around `centre` on the rim: 0 apex, 1 angle, 1.5 diaphragm."""
    step = np.linspace(0, 1.5, len(lung.rim))
    away = (step - centre) / reach
    away = np.where(away > 0, away * rng.uniform(0.75, 1.1), away)
    swing = 1 + 0.18 * np.sin(step * rng.uniform(4, 14) + rng.uniform(0, 6.3))
    bump = (1 - away**2).clip(0) ** rng.uniform(0.7, 1.3) * swing
    keep = bump > 0
    rim, bump = lung.rim[keep], bump[keep, None]
    low, high = 0.0, 0.55 / bump.max()
    for _ in range(18):
        middle = (low + high) / 2
        edge = rim + (lung.hilum - rim) * bump * middle
        region = np.concatenate([rim, edge[::-1]])
        low, high = (middle, high) if _area(region) < area else (low, middle)
    return Part(region, edge)


def _area(outline):
    x, y = outline.T
    return abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2


def mediastinum(film: Film, patient: Body) -> np.ndarray:
    """Return f32 [h, w] in 0..1: how much of the lung the great vessels cover."""
    half = 0.13 + 0.05 * np.exp(-(((film.y + 0.42) / 0.12) ** 2)) * (film.x > 0)
    half = half + 0.03 * np.exp(-(((film.y + 0.85) / 0.2) ** 2))
    cover = 1 / (1 + np.exp(((np.abs(film.x) - half) / 0.016).clip(-30, 30)))
    hila = np.exp(-(((np.abs(film.x) - 0.22) / 0.075) ** 2 + (film.y / 0.14) ** 2))
    return np.maximum(cover * 0.92, 0.35 * hila).astype(np.float32)


def tissue(rng: np.random.Generator, film: Film, patient: Body) -> np.ndarray:
    """Return f32 [h, w]: the density of the body, as if it held no air."""
    shoulder = -0.98 + rng.normal(0, 0.05)
    points = np.array(
        [(0.17, -1.6), (0.20, -1.25), (0.34, shoulder - 0.10), (0.75, shoulder)]
        + [(1.12, shoulder + 0.10), (1.32, 0.0), (1.26, 1.0), (1.15, 1.7)]
    )
    half = curve(points * [patient["width"], 1], 40)
    outline = np.concatenate([half, half[::-1] * [-1, 1]])
    skin = film.fill(outline, blur=1.5)
    depth = film.fill(outline * [0.9, 1.0] + [0, 0.06], blur=14.0)
    value = 0.42 * skin + 0.27 * depth + (0.07 * film.y - 0.02) * skin
    below = 0.12 / (1 + np.exp(-(film.y - 0.62) / 0.05))  # liver, stomach
    if patient["breast"]:
        for sign in (-1, 1):
            away = ((film.x - sign * 0.50) / 0.42) ** 2 + ((film.y - 0.38) / 0.36) ** 2
            value += patient["breast"] / (1 + np.exp(((away - 1) / 0.16).clip(-30, 30)))
    return value + below * skin


def spine(film: Film) -> np.ndarray:
    """Return f32 [h, w]: vertebrae, discs, and the windpipe as a dark band."""
    column = 1 / (1 + np.exp(((np.abs(film.x) - 0.10) / 0.018).clip(-30, 30)))
    disc = 0.5 + 0.5 * np.cos(film.y * (2 * np.pi / 0.155))
    column *= 0.75 + 0.25 * disc**2
    pipe = np.exp(-(((film.x - 0.015) / 0.042) ** 2))
    pipe /= 1 + np.exp(((film.y + 0.30) / 0.04).clip(-30, 30))
    return column - 0.75 * pipe


def ribs(rng: np.random.Generator, film: Film, patient: Body) -> np.ndarray:
    """Return f32 [h, w]: the bands of the ribs, brighter at their two edges."""
    t = np.linspace(0, 1, 24)
    wide, slope = patient["rib_width"], patient["rib_slope"]
    backs, fronts = [], []
    for side in (-1, 1):
        for k in range(10):
            top = -0.90 + k * patient["rib_gap"] + rng.normal(0, 0.004)
            span = 0.86 * patient["width"] * min(1.0, 0.72 + 0.09 * k)
            arch = 0.16 + 0.02 * k
            y = top - arch * np.sin(np.pi * t * 0.62) + (slope + 0.22) * t**2.2
            backs.append(np.column_stack([side * (0.08 + (span - 0.08) * t), y]))
            if k < 7:
                y = top + 0.24 + 0.36 * (1 - t) ** 0.8 - 0.30 * (1 - t) ** 3
                fronts.append(np.column_stack([side * (0.30 + (span - 0.3) * t), y]))
    pixels = wide * _HALF
    bone = film.stroke(backs, width=pixels, blur=0.5)
    bone = bone - 0.45 * film.stroke(backs, width=pixels - 2.4, blur=0.6)
    front = film.stroke(fronts, width=pixels * 1.15, blur=0.9)
    front = front - 0.4 * film.stroke(fronts, width=pixels * 1.15 - 3.0, blur=0.9)
    return bone + 0.65 * front


def clavicles(film: Film, patient: Body) -> np.ndarray:
    """Return f32 [h, w]: both collar bones, brighter at their edges."""
    lines = [
        curve((_CLAVICLE + patient["clavicle"][i]) * [sign, 1])
        for i, sign in enumerate((-1, 1))
    ]
    whole = film.stroke(lines, width=9.0, blur=0.8)
    return whole - 0.45 * film.stroke(lines, width=6.0, blur=0.8)


def scapulae(rng: np.random.Generator, film: Film) -> np.ndarray:
    """Return f32 [h, w]: shoulder blades, whose inner edge may cross the lung."""
    value = 0.0
    for sign in (-1, 1):
        inner = rng.uniform(0.66, 0.92)
        points = np.array(
            [(inner + 0.02, -0.72), (inner, -0.40), (inner + 0.06, -0.02)]
            + [(inner + 0.16, -0.05), (inner + 0.40, -0.62), (inner + 0.02, -0.72)]
        ) + rng.normal(0, 0.015, (6, 2))
        edge = curve(points * [sign, 1])
        value = value + 0.055 * film.fill(edge, blur=0.9)
        value = value + 0.05 * film.stroke([edge[:26]], width=1.6, blur=0.5)
    return value


def vessels(rng: np.random.Generator, film: Film, lung: Lung) -> np.ndarray:
    """Return f32 [h, w]: vessels that leave the hilum, branch, and thin out."""
    count = 15
    angle = np.linspace(-2.0, 1.75, count) + rng.normal(0, 0.09, count)
    start = np.tile(lung.hilum * [lung.side, 1], (count, 1))
    start = start + rng.normal(0, [0.04, 0.09], (count, 2))
    value = np.zeros((film.size, film.size), np.float32)
    steps, length = 12, 0.062
    for width, bright in ((1.8, 0.09), (1.3, 0.085), (1.0, 0.075)):
        turn = angle[:, None] + np.cumsum(rng.normal(0, 0.19, (len(angle), steps)), 1)
        way = np.stack([np.cos(turn), np.sin(turn)], -1) * length
        path = np.concatenate([start[:, None], start[:, None] + np.cumsum(way, 1)], 1)
        lines = path * [lung.side, 1]
        value += bright * film.stroke(lines, width=width, blur=0.35)
        if steps == 12:  # the trunk of a vessel is thicker than its end
            trunks = lines[:, :5]
            value += 0.6 * bright * film.stroke(trunks, width=2 * width, blur=0.6)
        pick = rng.integers(1, steps, (len(angle), 3))
        rows = np.arange(len(angle))[:, None]
        start = path[rows, pick].reshape(-1, 2)
        angle = (turn[rows, pick - 1] + rng.choice([-1, 1], pick.shape) * 0.55).ravel()
        steps, length = steps - 3, 0.75 * length
    # Small vessels everywhere up to the wall: what a pneumothorax takes away.
    ends = lung.rim[rng.integers(len(lung.rim), size=90)] - lung.hilum
    start = lung.hilum + ends * rng.uniform(0.45, 0.85, (90, 1))
    way = ends / np.linalg.norm(ends, axis=1, keepdims=True) * 0.05
    bend = np.cumsum(rng.normal(0, 0.012, (90, 5, 2)), 1)
    path = start[:, None] + np.cumsum(way[:, None] + bend, 1)
    return value + 0.075 * film.stroke(path, width=1.0, blur=0.4)
