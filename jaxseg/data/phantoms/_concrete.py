"""Draws a concrete surface under light, and what on it is no crack.

Everything is light in [0, 1] or a factor of it, f32 [h, w]. What is no crack: joints
between slabs (straight, dark, with a bright edge), the marks of formwork boards, stains
with a hard rim and runs of water, pores, scratches, and shadows with soft edges.
Lengths are in pixels, so a larger image shows more of the wall at the same scale.
"""

import cv2
import numpy as np
from jaxtyping import Float

from jaxseg.data.phantoms import _outline

_AREA = 128**2  # pixels for which the numbers of things are meant
_BITS = 4  # of a pixel's fraction in the coordinates given to cv2


def surface(
    rng: np.random.Generator, shape: tuple[int, int]
) -> Float[np.ndarray, "h w"]:
    """The brightness of clean concrete: cement, sand, aggregate, pores."""
    fine, sand, patch, wide = (
        grain(rng, shape, blur) for blur in (0.5, 1.1, 5.0, 24.0)
    )
    rough = rng.uniform(0.6, 1.5)
    out = rng.uniform(0.46, 0.66) + 0.012 * rough * fine + 0.020 * rough * sand
    out += 0.016 * patch + 0.030 * wide
    stones = grain(rng, shape, rng.uniform(1.4, 2.6))
    out += 0.030 * rng.uniform(0, 1) * np.clip(stones - 1.1, 0, 1.5)
    for _ in range(rng.poisson(rng.uniform(2, 16) * shape[0] * shape[1] / _AREA)):
        _pore(rng, out)
    return out


def things(
    rng: np.random.Generator, shape: tuple[int, int]
) -> Float[np.ndarray, "h w"]:
    """A factor of the light for what lies on the surface and is no crack."""
    out = np.ones(shape, np.float32)
    if rng.random() < 0.35:
        out *= _boards(rng, shape)
    for _ in range(rng.choice(3, p=(0.55, 0.33, 0.12))):
        out *= _joint(rng, shape)
    for _ in range(rng.poisson(0.9 * max(1.0, shape[0] * shape[1] / _AREA) ** 0.5)):
        out *= _stain(rng, shape)
    if rng.random() < 0.3:
        out *= _runs(rng, shape)
    for _ in range(rng.poisson(0.8)):
        out *= _scratch(rng, shape)
    return out


def light(rng, shape: tuple[int, int]) -> Float[np.ndarray, "h w"]:
    """A factor of the light: a lamp from one side, and often a shadow."""
    y = np.linspace(-1, 1, shape[0], dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, shape[1], dtype=np.float32)[None]
    a, b = rng.normal(0, 0.07, 2)
    out = 1 + a * x + b * y - rng.uniform(0, 0.10) * (x**2 + y**2)
    if rng.random() < 0.4:  # of a beam or a person: darker on one side of an edge
        turn, where = rng.uniform(0, 2 * np.pi), rng.uniform(-0.6, 0.6)
        edge = np.cos(turn) * x + np.sin(turn) * y - where
        if rng.random() < 0.5:
            edge = np.abs(edge) - rng.uniform(0.1, 0.4)
        soft = rng.uniform(0.02, 0.15)
        out *= 1 - rng.uniform(0.15, 0.45) / (1 + np.exp(edge / soft))
    return out


def grain(rng, shape: tuple[int, int], blur: float) -> Float[np.ndarray, "h w"]:
    """f32 [h, w]: random texture of about unit variance, `blur` pixels coarse."""
    small = max(1, int(blur / 4))  # coarse texture needs no fine grid
    sides = [-(-n // small) + 2 for n in shape]
    noise = rng.standard_normal(sides, np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), blur / small)
    noise /= max(float(noise.std()), 1e-6)
    if small > 1:
        sides = [n * small for n in sides]
        noise = cv2.resize(noise, sides[::-1], interpolation=cv2.INTER_CUBIC)
    return noise[: shape[0], : shape[1]]


def _pore(rng, out) -> None:
    """A hole of an air bubble, in place: dark, with light on its lower rim."""
    radius = rng.uniform(0.6, 2.6)
    y, x = rng.uniform(0, out.shape[0]), rng.uniform(0, out.shape[1])
    top, left = max(int(y - 8), 0), max(int(x - 8), 0)
    part = out[top : int(y + 9), left : int(x + 9)]
    dy = np.arange(part.shape[0], dtype=np.float32)[:, None] + (top - y)
    dx = np.arange(part.shape[1], dtype=np.float32)[None] + (left - x)
    deep = rng.uniform(0.08, 0.30)
    part -= deep * np.exp(-(((dy**2 + dx**2) / radius**2) ** 2))
    rim = (dy - 0.9 * radius) ** 2 + dx**2
    part += 0.3 * deep * np.exp(-rim / (0.4 * radius**2))


def _across(rng, shape, turn: float):
    """Signed distance in pixels f32 [h, w] from a straight line through the image."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    at = rng.uniform(0.1, 0.9, 2) * shape
    return np.cos(turn) * (y - at[0]) - np.sin(turn) * (x - at[1])


def _upright(rng) -> float:
    """An angle near that of a wall's edges."""
    return rng.choice((0.0, np.pi / 2)) + rng.normal(0, 0.05)


def _joint(rng, shape):
    """A gap between two slabs: as dark as a crack, but straight and of one width."""
    off = _across(rng, shape, _upright(rng)) + 0.25 * grain(rng, shape, 2.0)
    half, deep = rng.uniform(0.6, 2.4), rng.uniform(0.25, 0.75)
    gap = 1 / (1 + np.exp((np.abs(off) - half) / 0.35))
    edge = np.exp(-(((off - half - 1.2) / 0.9) ** 2))
    return 1 - deep * gap + rng.uniform(0.0, 0.12) * edge


def _boards(rng, shape):
    """The prints of formwork: parallel faint lines, and planes between them."""
    off = _across(rng, shape, _upright(rng))
    width = rng.uniform(18, 48)
    place = off / width
    number = np.floor(place).astype(np.int64)
    tones = 1 + 0.03 * np.random.default_rng(rng.integers(2**32)).normal(size=2048)
    near = np.abs(place - np.round(place)) * width
    line = np.exp(-((near / 0.9) ** 2))
    return (tones[number % 2048] - rng.uniform(0.03, 0.14) * line).astype(np.float32)


def _stain(rng, shape):
    """A dark or pale patch with a rim where the water stood."""
    radius = rng.uniform(8, 30)
    outline = radius * _outline.outline(
        rng, rough=0.22, stretch=(1.0, 2.5), points=64, waves=7, least=0.3
    )
    points = rng.uniform(0, 1, 2) * shape[::-1] + outline
    canvas = np.zeros(shape, np.uint8)
    fixed = np.rint(points * (1 << _BITS)).astype(np.int32)
    cv2.fillPoly(canvas, [fixed], 255, cv2.LINE_AA, _BITS)
    inside = cv2.GaussianBlur(canvas.astype(np.float32) / 255, (0, 0), 0.8)
    soft = cv2.GaussianBlur(inside, (0, 0), rng.uniform(1.0, 6.0))
    rim = np.clip(4 * inside * (1 - soft), 0, 1) * (inside > 0.4)
    deep = rng.uniform(-0.06, 0.28)
    return 1 - deep * soft * (1 + 0.15 * grain(rng, shape, 3.0)) - 0.10 * rim


def _runs(rng, shape):
    """Runs of water, down from a line."""
    streaks = rng.standard_normal((1, shape[1]), np.float32)
    streaks = cv2.GaussianBlur(streaks, (0, 0), rng.uniform(1.5, 5))
    streaks = np.clip(streaks / max(float(streaks.std()), 1e-6) - 0.8, 0, 2)
    start = rng.uniform(-0.3, 0.6) * shape[0]
    fade = (np.arange(shape[0], dtype=np.float32)[:, None] - start) / shape[0]
    fade = np.where(fade > 0, np.exp(-1.5 * fade), 0)
    return 1 - rng.uniform(0.05, 0.16) * fade * streaks


def _scratch(rng, shape):
    """A straight scratch, brighter than the wall."""
    at = rng.uniform(0, 1, 2) * shape[::-1]
    turn, length = rng.uniform(0, np.pi), rng.uniform(10, 60)
    way = length * np.array([np.cos(turn), np.sin(turn)]) / 2
    ends = np.rint(np.stack([at - way, at + way]) * (1 << _BITS)).astype(np.int32)
    canvas = np.zeros(shape, np.uint8)
    cv2.polylines(canvas, [ends], False, 255, 1, cv2.LINE_AA, _BITS)
    line = cv2.GaussianBlur(canvas, (0, 0), 0.6).astype(np.float32) / 255
    return 1 + rng.uniform(0.1, 0.5) * line
