"""Draws on a square film, in the frame of the body that lies on it.

Every part of a phantom is drawn in the body's frame (see `chest`) and put on the
film by one affine map, so all parts of a film move together.
"""

import functools
from typing import Any, NamedTuple

import cv2
import numpy as np
from scipy.interpolate import CubicSpline

_BITS = 4  # of a pixel's fraction in the coordinates given to cv2
_REFERENCE = 256  # widths and blurs are given in pixels of a film of this size

Body = dict[str, Any]  # the anatomy of one patient: see `chest.body`


class Film(NamedTuple):
    """A square film: how the body lies on it, and how to draw there."""

    size: int
    unit: float  # pixels here for one pixel of a film of 256
    matrix: np.ndarray  # f64 [2, 3], body -> pixels
    magnification: float
    x: np.ndarray  # f32 [h, w], the body's coordinates of each pixel
    y: np.ndarray

    def pixels(self, points: np.ndarray, fine: int) -> np.ndarray:
        """Return points as fixed-point pixels of a grid `fine` times finer."""
        edges = (points @ self.matrix[:, :2].T + self.matrix[:, 2]) * fine - 0.5
        return np.rint(edges * (1 << _BITS)).astype(np.int32)

    def fill(
        self, outline: np.ndarray, *, blur: float = 0.0, fine: int = 2
    ) -> np.ndarray:
        """Return f32 [h, w], 1 inside the closed outline, softened by `blur`."""
        canvas = self._canvas(fine)
        cv2.fillPoly(canvas, [self.pixels(outline, fine)], 255, cv2.LINE_8, _BITS)
        return self._soft(canvas, blur)

    def stroke(
        self, lines: np.ndarray, *, width: float, blur: float = 0.0
    ) -> np.ndarray:
        """Return f32 [h, w], 1 on the open lines [n, k, 2], `width` pixels thick."""
        canvas = self._canvas(2)
        points = list(self.pixels(np.asarray(lines), 2))
        thick = max(1, round(2 * width * self.unit))
        cv2.polylines(canvas, points, False, 255, thick, cv2.LINE_AA, _BITS)
        return self._soft(canvas, blur)

    def _canvas(self, fine):
        return np.zeros((fine * self.size, fine * self.size), np.uint8)

    def _soft(self, canvas, blur):
        half = (self.size, self.size)
        canvas = cv2.resize(canvas, half, interpolation=cv2.INTER_AREA)
        value = canvas.astype(np.float32) / 255
        return self.wide_blur(value, blur) if blur else value

    def wide_blur(self, value: np.ndarray, blur: float) -> np.ndarray:
        """Return the value blurred; a wide blur is done on a smaller grid."""
        sigma, factor = blur * self.unit, 1
        while sigma / factor > 5:
            factor *= 2
        if factor == 1:
            return cv2.GaussianBlur(value, (0, 0), sigma)
        small = (max(8, self.size // factor),) * 2
        value = cv2.resize(value, small, interpolation=cv2.INTER_AREA)
        value = cv2.GaussianBlur(value, (0, 0), sigma / factor)
        return cv2.resize(value, (self.size, self.size), interpolation=cv2.INTER_CUBIC)

    def grain(self, rng: np.random.Generator, blur: float) -> np.ndarray:
        """Return random texture f32 [h, w] of about unit variance, `blur` coarse."""
        factor = max(1, int(blur * self.unit / 1.2))
        side = -(-self.size // factor)
        noise = rng.standard_normal((side, side), np.float32)
        sigma = blur * self.unit / factor
        noise = cv2.GaussianBlur(noise, (0, 0), sigma) * max(1.0, 3.545 * sigma)
        return cv2.resize(noise, (self.size, self.size), interpolation=cv2.INTER_CUBIC)


@functools.lru_cache(maxsize=4)
def _grid(size):
    axis = (np.arange(size, dtype=np.float32) + 0.5) * (2 / size) - 1
    return np.meshgrid(axis, axis)


@functools.lru_cache(maxsize=32)
def _basis(knots, count):
    """Return [count, knots]: a spline is linear in its knots, so one product."""
    line = np.linspace(0, 1, knots)
    return CubicSpline(line, np.eye(knots))(np.linspace(0, 1, count))


def curve(points: np.ndarray, count: int = 48) -> np.ndarray:
    """Return f64 [count, 2], the smooth curve through the points."""
    return _basis(len(points), count) @ points


def frame(rng: np.random.Generator, size: int, *, zoom: float = 1.0) -> Film:
    """Return a Film with a random position, turn, magnification and aspect.

    `zoom` multiplies the magnification: a smaller field of view where it is above 1.
    """
    angle = np.deg2rad(rng.normal(0, 2.5))
    zoom, aspect = zoom * rng.uniform(0.82, 0.99), rng.uniform(0.96, 1.04)
    turn = np.array(
        [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    ) @ np.diag([zoom * aspect, zoom / aspect])
    shift = rng.normal([0, 0.01], [0.05, 0.04])
    matrix = np.column_stack([turn, shift + 1]) * (size / 2)
    gx, gy = _grid(size)
    back = np.linalg.inv(turn).astype(np.float32)
    gx, gy = gx - np.float32(shift[0]), gy - np.float32(shift[1])
    x, y = back[0, 0] * gx + back[0, 1] * gy, back[1, 0] * gx + back[1, 1] * gy
    return Film(size, size / _REFERENCE, matrix, zoom, x, y)
