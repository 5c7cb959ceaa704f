"""Draws what lies on or over a phantom chest: folds, tubes, leads, letters, shading."""

import cv2
import numpy as np

from jaxseg.data.phantoms._chest_anatomy import Lung
from jaxseg.data.phantoms._chest_film import Film, curve


def folds(rng: np.random.Generator, film: Film, lungs: list[Lung]) -> np.ndarray:
    """Return f32 [h, w]: folds of skin, an edge that dark lung markings cross.

    Unlike a pleural line a fold is a step that fades on one side, and it runs on
    beyond the lung.
    """
    value = np.zeros((film.size, film.size), np.float32)
    for lung in lungs:
        if rng.random() > 0.20:
            continue
        keep = rng.uniform(0.62, 0.92)
        rim = lung.hilum + keep * (lung.rim - lung.hilum)
        first = rng.integers(14, 30)
        line = rim[first : first + rng.integers(24, 40)]
        tail = line[-1] + np.array([0.05 * lung.side, 0.5])
        spread = np.concatenate([line, tail[None], tail[None] * [0, 1], [[0, -0.6]]])
        inside = film.fill(spread, blur=0.5)
        fade = film.wide_blur(inside, rng.uniform(4, 9))
        near = film.stroke([line], width=18.0, blur=4.0)
        value += rng.uniform(0.08, 0.20) * inside * (1 - fade) * near
    return value


def hardware(rng: np.random.Generator, film: Film) -> np.ndarray:
    """Return f32 [h, w]: electrodes with wires, tubes and catheters."""
    value = np.zeros((film.size, film.size), np.float32)
    if rng.random() < 0.35:  # electrodes
        ends = rng.uniform([-0.8, -0.7], [0.8, 0.6], (rng.integers(2, 5), 2))
        wires = [
            curve(np.array([end, end * 0.7 + rng.normal(0, 0.2, 2), (out, 1.2)]))
            for end, out in zip(ends, rng.uniform(-0.8, 0.8, len(ends)), strict=True)
        ]
        value += 0.14 * film.stroke(wires, width=1.2)
        value += 0.16 * film.stroke([end + np.zeros((2, 2)) for end in ends], width=7.0)
    if rng.random() < 0.25:  # a tube in the windpipe
        low = rng.uniform(-0.35, -0.2)
        line = [np.array([(0.01, -1.2), (0.015, low)])]
        value += 0.12 * _tube(film, line, 4.0)
    if rng.random() < 0.25:  # a catheter in a great vein
        side = rng.choice([-1, 1])
        points = [(0.85, -0.5), (0.5, -0.72), (0.12, -0.6), (-0.03, -0.1)]
        line = [curve((np.array(points) + rng.normal(0, 0.03, (4, 2))) * [side, 1])]
        value += 0.13 * film.stroke(line, width=1.4)
    if rng.random() < 0.12:  # a drain, on healthy sides too
        side = rng.choice([-1, 1])
        points = [(1.1, 0.3), (0.8, 0.15), (0.66, -0.2), (0.5, -0.62)]
        line = [curve((np.array(points) + rng.normal(0, 0.04, (4, 2))) * [side, 1])]
        value += 0.14 * _tube(film, line, 5.0)
    return value


def _tube(film, lines, width):
    wall = film.stroke(lines, width=width, blur=0.4)
    return wall - 0.6 * film.stroke(lines, width=width - 2.0, blur=0.4)


def _blobs(rng, film, count):
    """Return f32 [h, w] in 0..1: soft ellipses over the lungs."""
    value = np.zeros((film.size, film.size), np.float32)
    for _ in range(count):
        x = rng.choice([-1, 1]) * rng.uniform(0.25, 0.70)
        y = rng.uniform(-0.75, 0.45)
        rx, ry = rng.uniform(0.08, 0.28, 2)
        away = ((film.x - x) / rx) ** 2 + ((film.y - y) / ry) ** 2
        value = np.maximum(value, np.exp(-(away**1.5)))
    return value


def lucencies(rng: np.random.Generator, film: Film) -> np.ndarray:
    """Return f32 [h, w] in 0..1: emphysema, dark but with a few markings left."""
    return _blobs(rng, film, rng.integers(1, 3) if rng.random() < 0.2 else 0)


def opacities(rng: np.random.Generator, film: Film) -> np.ndarray:
    """Return f32 [h, w]: consolidations, on some films."""
    count = rng.integers(1, 4) if rng.random() < 0.3 else 0
    return rng.uniform(0.04, 0.16) * _blobs(rng, film, count)


def bubble(rng: np.random.Generator, film: Film) -> np.ndarray:
    """Return f32 [h, w]: air in the stomach, dark and bare, below the diaphragm."""
    if rng.random() > 0.45:
        return np.zeros((film.size, film.size), np.float32)
    turn = np.linspace(0, 2 * np.pi, 40)
    radius = rng.uniform(0.08, 0.2) * (1 + 0.15 * np.sin(2 * turn + rng.uniform(0, 6)))
    outline = np.column_stack(
        [1.3 * radius * np.cos(turn), 0.6 * radius * np.sin(turn)]
    )
    place = [rng.uniform(0.28, 0.52), rng.uniform(0.64, 0.76)]
    return -rng.uniform(0.08, 0.25) * film.fill(outline + place, blur=1.5)


def shading(rng: np.random.Generator, film: Film) -> np.ndarray:
    """Return f32 [h, w]: the slow drift of exposure over the plate."""
    slope = rng.normal(0, 0.025, 2)
    return (slope[0] * film.x + slope[1] * film.y).astype(np.float32)


def letters(rng: np.random.Generator, film: Film, tone: np.ndarray) -> np.ndarray:
    """Return the tone f32 [h, w] with a side marker and collimator edges, if any."""
    if rng.random() < 0.6:
        left = rng.random() < 0.5
        place = (rng.uniform(0.03, 0.1) if left else rng.uniform(0.88, 0.93), 0.13)
        at = [int(film.size * p) for p in place]
        scale = rng.uniform(0.45, 0.7) * film.unit
        canvas = np.zeros((film.size, film.size), np.uint8)
        font = cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(canvas, "R" if left else "L", at, font, scale, 255, 1, cv2.LINE_AA)
        tone = np.maximum(tone, canvas.astype(np.float32) * (0.95 / 255))
    if rng.random() < 0.2:
        edge = int(film.size * rng.uniform(0.008, 0.03))
        side = rng.integers(1, 4)  # the top would cut off an apex
        tone = np.rot90(tone, side).copy()
        tone[:edge] = 0
        tone = np.rot90(tone, -side)
    return tone
