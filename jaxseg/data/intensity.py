"""Turns stored intensities (8 or 16 bits, any offset) into the levels of a batch.

Data of 16 bits keep up to 65536 levels, or 256 where `config.data.intensity.bits` is 8;
data of 8 bits have 256. The step scales either to [0, 1] (`types.unit_interval`).

The choice is made once for a data set and stored with the run, so that training,
evaluation and prediction work on the same numbers:

    percentile      per image and channel, `low` to `high` percentile -> all levels
    zscore          per image and channel, mean + low * sd to mean + high * sd
    range           the fixed intensities `low` to `high`, the same for every image
    none, imagenet  8-bit intensities as they are
    auto            one of these, by `resolve`

Images of floating-point numbers become 16 bits first, by `from_float`.
"""

from collections.abc import Mapping

import numpy as np
from absl import logging
from numpy.typing import DTypeLike

from jaxseg.errors import ConfigError, DataError

MODES = ("percentile", "zscore", "range", "none", "imagenet")
BITS = (0, 8, 16)  # 0 = as many as the data has
DEFAULTS = {"percentile": (0.1, 99.9), "zscore": (-3.0, 3.0)}
CORE = (0.1, 99.9)  # percentiles between which intensities are trusted: no hot pixels
FLOATS = ("float16", "float32")  # that `from_float` takes
FEW_LEVELS = 64  # an 8-bit set that uses fewer than this is stretched by "auto"
# Krizhevsky et al., 2012, as published with the weights of torchvision
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def bits(wanted: int, dtype: DTypeLike) -> int:
    """8 or 16: the bits that a batch of images of `dtype` (u8 or u16) has.

    `wanted` is the most that are kept, 0 = all that the data has. Raises ConfigError
    for anything but 0, 8 and 16.
    """
    if wanted not in BITS:
        raise ConfigError(
            f"config.data.intensity.bits is {wanted}; choose one of {[*BITS]}, 0 being "
            "as many as the data has."
        )
    return min(wanted or 16, np.iinfo(dtype).bits)


def from_float(
    image: np.ndarray,
    *,
    low: float = CORE[0],
    high: float = CORE[1],
    absent: np.ndarray | None = None,
) -> np.ndarray:
    """Image u16 [h, w, c] of an image f16 or f32 [h, w, c], each channel on its own.

    The `low` percentile of a channel becomes 0 and the `high` one 65535, linearly, and
    what is outside them is clipped. Where both coincide, the smallest and the largest
    number take their place; a constant channel becomes 0. A prediction for a new image
    takes the same way. Numbers that are `absent`, a bool for each, have no part in this
    and become 0. Raises DataError for another type of numbers and for NaN and infinite
    ones, with their count.
    """
    if str(image.dtype) not in FLOATS:
        raise DataError(
            f"holds {image.dtype} numbers; save them as float32, or as uint16."
        )
    known = image if absent is None else image[~absent]
    nan, infinite = int(np.isnan(known).sum()), int(np.isinf(known).sum())
    if nan or infinite:
        raise DataError(
            f"holds {nan} NaN and {infinite} infinite numbers among its {image.size}; "
            "replace them, or leave the image out."
        )
    out = np.zeros(image.shape, np.uint16)
    for k, channel in enumerate(np.moveaxis(image, -1, 0)):
        there = ... if absent is None else ~absent[..., k]
        channel = channel[there]
        window = np.percentile(channel, (low, high), method="inverted_cdf")
        bottom, top = map(float, window)
        if not bottom < top:  # nearly all pixels alike: keep the few that differ
            bottom, top = float(channel.min()), float(channel.max())
        if bottom < top:
            shares = (channel.astype(np.float64) - bottom) / (top - bottom)
            levels = np.rint(np.clip(shares, 0, 1) * np.iinfo(np.uint16).max)
            out[..., k][there] = levels
    return out


def to_levels(
    image: np.ndarray,
    *,
    mode: str,
    low: float | None = None,
    high: float | None = None,
    bits: int,
) -> np.ndarray:
    """Image [h, w, c] of `bits` bits, u8 or u16, of an image u8 or u16 [h, w, c].

    8-bit images give 8 bits. Values outside the window are clipped; a constant image
    becomes 0. Channels are stretched each on its own: stains differ in brightness by
    far more than the colours of a photograph, whose default is "imagenet" anyway. `low`
    and `high` are percentiles, standard deviations or intensities, as `mode` says; None
    takes DEFAULTS ("range" has none). Raises ConfigError for an unknown mode, a window
    that is empty, and for "none" or "imagenet" on 16 bits, whose upper byte would be
    lost.
    """
    low, high = check(mode, image.dtype, low, high)
    if mode in ("none", "imagenet"):
        return image
    counts = None if mode == "range" else histogram(image)
    tables = level_tables(
        counts, dtype=image.dtype, mode=mode, low=low, high=high, bits=bits
    )
    return by_tables(image, tables)


def level_tables(
    counts: np.ndarray | None,
    *,
    dtype: DTypeLike,
    mode: str,
    low: float | None,
    high: float | None,
    bits: int,
) -> list[np.ndarray]:
    """Of each channel, the level of every intensity of `dtype`, u8 or u16.

    `counts` is the `histogram` of the whole image, which may have been summed over its
    parts; "range" needs none, and has one table for all channels. [] where levels are
    intensities.
    """
    low, high = check(mode, dtype, low, high)
    kind = np.uint16 if min(bits, np.iinfo(dtype).bits) == 16 else np.uint8
    if mode in ("none", "imagenet"):
        return []
    if mode == "range":
        return [_table(low, high, dtype, kind)]
    out = []
    for count in counts:
        if mode == "percentile":
            window = _percentiles(count, (low, high))
        else:
            mean, sd = _core_moments(count)
            window = mean + low * sd, mean + high * sd
        out.append(_table(*window, dtype, kind))
    return out


def by_tables(image: np.ndarray, tables: list[np.ndarray]) -> np.ndarray:
    """The levels [h, w, c] of an image, or of a part of it, by `level_tables`."""
    if not tables:
        return image
    if len(tables) == 1:
        return tables[0][image]
    out = np.empty(image.shape, tables[0].dtype)
    for k, table in enumerate(tables):
        out[..., k] = table[image[..., k]]
    return out


def eight_bits(levels: np.ndarray) -> np.ndarray:
    """u8 of the u8 or u16 that `to_levels` gives: for pictures."""
    if levels.dtype == np.uint8:
        return levels
    return np.rint(levels / 257).astype(np.uint8)  # 65535 = 257 x 255


def statistics(
    mode: str, channels: int, *, low: float | None = None, high: float | None = None
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel for (x - mean) / std in the step.

    x is the image in [0, 1]. "imagenet": the published numbers (their averages for one
    channel; ConfigError for 2 or more than 3). "zscore": those that bring back standard
    deviations around the mean. Else 0.5 and 0.25, that is -2 to 2.
    """
    low, high = check(mode, None, low, high)
    mean, std = 0.5, 0.25
    if mode == "imagenet":
        if channels == 3:
            return IMAGENET
        if channels != 1:
            raise ConfigError(
                f"intensity 'imagenet' is for 1 or 3 channels, not {channels}; use "
                "'none' or 'percentile'."
            )
        mean, std = (float(np.mean(v)) for v in IMAGENET)
    elif mode == "zscore":
        mean, std = -low / (high - low), 1 / (high - low)
    return (mean,) * channels, (std,) * channels


def resolve(mode: str, card: Mapping) -> str:
    """The mode for the data set of `card`; "auto" decides from what the card counted.

    16 bits: "percentile", whatever the offset and the bits in use. 8 bits: as they are
    ("imagenet" for colour, else "none"), unless the training images together use fewer
    than FEW_LEVELS levels. Logs the decision and why; store what it returns. Raises
    ConfigError for an unknown mode, or one that the dtype of the set excludes.
    """
    if mode != "auto":
        if mode not in MODES:
            _unknown(mode)
        _check_bits(mode, card["dtype"])
        return mode
    span = card.get("extra", {}).get("intensity", {}).get("span")
    if np.dtype(card["dtype"]) != np.uint8:
        decided, why = "percentile", f"{card['dtype']} intensities have no fixed scale"
    elif span is not None and span < FEW_LEVELS:
        decided, why = "percentile", f"uint8, but only {span} of 256 levels are in use"
    elif card["channels"] == 3:
        decided, why = "imagenet", "uint8 colour images are taken as they are"
    else:
        decided, why = "none", "uint8 images are taken as they are"
    logging.info("intensity auto: %s (%s)", decided, why)
    return decided


def summary(counts: np.ndarray) -> dict:
    """What `resolve` needs, for `extra["intensity"]` of the card.

    `counts` is the sum of `histogram` over the training images, [c, levels]. Holds
    per channel the lowest and highest intensity and the CORE percentiles, and `span`,
    the widest distance between those.
    """
    used = [np.flatnonzero(count) for count in counts]
    core = [_percentiles(count, CORE) for count in counts]
    return {
        "min": [int(u[0]) for u in used],
        "max": [int(u[-1]) for u in used],
        "core": [list(c) for c in core],
        "span": max(b - a for a, b in core),
    }


def histogram(image: np.ndarray) -> np.ndarray:
    """Pixels per intensity i64 [c, 256 or 65536] of an image u8 or u16 [h, w, c]."""
    levels = np.iinfo(image.dtype).max + 1
    flat = image.reshape(-1, image.shape[-1])
    return np.stack([np.bincount(channel, minlength=levels) for channel in flat.T])


def no_counts(channels: int, dtype: DTypeLike) -> np.ndarray:
    """Zeros i64 [channels, levels] to add `histogram` to."""
    return np.zeros((channels, np.iinfo(dtype).max + 1), np.int64)


def check(
    mode: str, dtype: DTypeLike | None, low: float | None, high: float | None
) -> tuple[float | None, float | None]:
    """The window in use, defaults filled in; ConfigError as `to_levels` says."""
    if mode not in MODES:
        _unknown(mode)
    if dtype is not None:
        _check_bits(mode, dtype)
    if mode in ("none", "imagenet"):
        return None, None
    default = DEFAULTS.get(mode, (None, None))
    low, high = (
        d if v is None else v for v, d in zip((low, high), default, strict=True)
    )
    need, right = {
        "percentile": ("0 <= low < high <= 100", lambda: 0 <= low < high <= 100),
        "zscore": ("low < 0 < high (standard deviations)", lambda: low < 0 < high),
        "range": ("low < high (intensities)", lambda: low < high),
    }[mode]
    if low is None or high is None or not right():
        raise ConfigError(
            f"intensity {mode!r} needs {need}, but low={low} and high={high} came."
        )
    return low, high


def _unknown(mode: str) -> None:
    hint = "; resolve 'auto' with the card first" if mode == "auto" else ""
    raise ConfigError(
        f"intensity {mode!r} is unknown here; allowed are {list(MODES)}{hint}."
    )


def _check_bits(mode: str, dtype: DTypeLike) -> None:
    if mode in ("none", "imagenet") and np.dtype(dtype) != np.uint8:
        raise ConfigError(
            f"intensity {mode!r} takes 8-bit images as they are, but these are {dtype};"
            " use 'percentile', 'zscore', 'range' or 'auto'."
        )


def _percentiles(count: np.ndarray, q: tuple[float, float]) -> tuple[int, int]:
    """Intensities at two percentiles; the whole range where the two coincide."""
    total = np.cumsum(count)
    low, high = (int(np.searchsorted(total, p / 100 * total[-1])) for p in q)
    low = max(low, int(np.flatnonzero(count)[0]))  # the 0th percentile is the minimum
    if low < high:
        return low, high
    used = np.flatnonzero(count)  # nearly all pixels alike: keep the few that differ
    return int(used[0]), int(used[-1])


def _core_moments(count: np.ndarray) -> tuple[float, float]:
    """Mean and sd without hot pixels: one of 65535 would multiply the sd by 50."""
    low, high = _percentiles(count, CORE)
    values, weight = np.arange(low, high + 1), count[low : high + 1]
    mean = float(np.average(values, weights=weight))
    return mean, float(np.average((values - mean) ** 2, weights=weight)) ** 0.5


def _table(low: float, high: float, dtype: DTypeLike, kind: DTypeLike) -> np.ndarray:
    """Every intensity of `dtype` -> a level of `kind`; 0 for a window without width."""
    levels = np.arange(np.iinfo(dtype).max + 1, dtype=np.float64)
    if not low < high:
        return np.zeros(len(levels), kind)
    shares = np.clip((levels - low) / (high - low), 0, 1)
    return np.rint(shares * np.iinfo(kind).max).astype(kind)
