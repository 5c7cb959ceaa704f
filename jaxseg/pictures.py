"""Draws what a model did as pictures: image, truth, prediction.

With more than two classes a colour stands either for a class or for an error, never for
both. The first seven class colours are those of Okabe and Ito, 2008,
https://jfly.uni-koeln.de/color/ (their black cannot be seen in a dark image); the next
thirteen were chosen to be as far from all others as they can be. Of up to twenty
classes any two colours differ by 0.1 or more in OKLab (Ottosson, 2020,
https://bottosson.github.io/posts/oklab/), a class and an error by 0.13; as a
deuteranope or protanope sees them (Machado et al., 2009,
https://doi.org/10.1109/TVCG.2009.113) by 0.055 and 0.09.
"""

import colorsys
from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float, Integer, UInt8

from jaxseg.labels import IGNORE

Colour = tuple[int, int, int]
# true positive, false positive, false negative; readable for the colour-blind through
# their brightness too
COLOURS = {"tp": (64, 192, 96), "fp": (230, 72, 60), "fn": (250, 205, 60)}
CLASSES: tuple[Colour, ...] = (  # of the foreground classes, in order of their ids
    *((86, 180, 233), (230, 159, 0), (204, 121, 167), (0, 158, 115), (240, 228, 66)),
    *((0, 114, 178), (213, 94, 0), (221, 34, 255), (17, 68, 68), (0, 238, 187)),
    *((0, 34, 170), (102, 51, 119), (255, 187, 255), (187, 34, 153), (136, 85, 0)),
    *((153, 187, 153), (255, 34, 102), (0, 204, 85), (136, 136, 221), (153, 68, 102)),
)
NAMES = ("sky blue", "orange", "pink", "green", "yellow", "blue", "vermilion")
ERRORS: dict[str, Colour] = {  # above two classes, upon a pale image
    "right": (255, 255, 255),
    "confused": (110, 0, 220),
    "extra": (139, 0, 0),
    "missed": (0, 0, 0),
}
ERROR_WORDS = {
    "right": "white: right class",
    "confused": "violet: wrong class",
    "extra": "dark red: predicted on background",
    "missed": "black: missed, predicted as background",
}
_GOLDEN = 0.618034  # of a turn: hues that do not come near each other soon


def triptych(image: np.ndarray, mask: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """u8 [h, 3 w, 3]: the image, the truth upon it, the errors upon it.

    `image` is u8 [h, w, c], `mask` (255 = unlabelled) and `prediction` are class ids
    [h, w]. A wrong class counts as false positive and false negative: red.
    """
    colour = image if image.shape[-1] == 3 else image[..., :1].repeat(3, axis=-1)
    truth = (mask > 0) & (mask != 255)
    positive = prediction > 0
    right = positive & truth & (prediction == mask)
    wrong = positive & ~right & (mask != 255)
    errors = {"tp": right, "fp": wrong, "fn": truth & ~positive}
    return np.concatenate(
        [colour, paint(colour, {"tp": truth}), paint(colour, errors)], axis=1
    )


def class_colours(count: int) -> list[Colour]:
    """The colours of `count` foreground classes; above twenty they come closer."""
    more = [
        colorsys.hsv_to_rgb(i * _GOLDEN % 1, 0.55 + i % 3 * 0.15, 0.95 - i % 2 * 0.25)
        for i in range(len(CLASSES), count)
    ]
    generated = [tuple(round(255 * part) for part in colour) for colour in more]
    return [*CLASSES, *generated][:count]


def error_areas(
    mask: Integer[np.ndarray, "h w"], prediction: Integer[np.ndarray, "h w"]
) -> dict[str, Bool[np.ndarray, "h w"]]:
    """Where a class is right, confused with another, extra or missed, as in ERRORS.

    Pixels that are not labelled, and background that stays background, are in none.
    """
    truth = (mask > 0) & (mask != IGNORE)
    positive = (prediction > 0) & (mask != IGNORE)
    both = truth & positive
    return {
        "right": both & (prediction == mask),
        "confused": both & (prediction != mask),
        "extra": positive & ~truth,
        "missed": truth & ~positive,
    }


def grey(image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """The image without its colours, upon which those of classes show."""
    return np.rint(image.mean(axis=-1, keepdims=True)).astype(np.uint8).repeat(3, -1)


def pale(image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """The image in greys between those of the error colours, so that all show."""
    return np.rint(90 + 0.38 * grey(image)).astype(np.uint8)


def logged(
    image: UInt8[np.ndarray, "h w c"],
    mask: Integer[np.ndarray, "h w"],
    prediction: Integer[np.ndarray, "h w"],
    classes: Sequence[str],
) -> UInt8[np.ndarray, "rows columns 3"]:
    """One picture of what was predicted in an image, small enough for a log.

    Two classes: the `triptych`. More: image, truth and prediction in the colours of
    their classes, and errors; below them stands what the colours mean.
    """
    if len(classes) == 2:
        return small(triptych(image, mask, prediction))
    colour = image if image.shape[-1] == 3 else image[..., :1].repeat(3, axis=-1)
    colours = class_colours(len(classes) - 1)
    panels = [colour]
    for ids in (mask, prediction):
        areas = [(c, ids == c) for c in range(1, len(classes))]
        marks = [(colours[c - 1], area) for c, area in areas]
        panels.append(_blend(grey(colour), marks))
    areas = error_areas(mask, prediction).items()
    marks = [(ERRORS[name], area) for name, area in areas]
    panels.append(_blend(pale(colour), marks, alpha=0.75))
    picture = small(np.concatenate(panels, axis=1))
    entries = list(zip(colours, classes[1:], strict=True))
    entries += [(ERRORS[name], words) for name, words in ERROR_WORDS.items()]
    return np.concatenate([picture, _legend(entries, picture.shape[1])])


def classes_on(
    image: np.ndarray, ids: Integer[np.ndarray, "h w"]
) -> UInt8[np.ndarray, "h w 3"]:
    """The image u8 or u16 [h, w, c] with the colours of its foreground classes."""
    shown = grey_or_rgb(image)
    if shown.ndim == 2:
        shown = shown[..., None].repeat(3, axis=-1)
    present = [int(c) for c in np.unique(ids) if c > 0]
    colours = class_colours(max(present, default=0))
    return _blend(shown, [(colours[c - 1], ids == c) for c in present])


def _legend(
    entries: Sequence[tuple[Colour, str]], width: int
) -> UInt8[np.ndarray, "rows width 3"]:
    """Boxes of colour with words beside them, in as many rows as the width asks for."""
    row, box, font, scale = 18, 10, cv2.FONT_HERSHEY_SIMPLEX, 0.38
    places, x, y = [], 4, 0
    for colour, words in entries:
        ascii_words = words.encode("ascii", "replace").decode()  # all this font has
        long = box + 8 + cv2.getTextSize(ascii_words, font, scale, 1)[0][0] + 14
        if x > 4 and x + long > width:
            x, y = 4, y + row
        places.append((x, y, colour, ascii_words))
        x += long
    out = np.full((y + row, width, 3), 200, np.uint8)
    for x, y, colour, words in places:
        cv2.rectangle(out, (x, y + 4), (x + box, y + 4 + box), colour, cv2.FILLED)
        at = (x + box + 5, y + 4 + box - 1)
        cv2.putText(out, words, at, font, scale, (20, 20, 20), 1, cv2.LINE_AA)
    return out


def paint(image: np.ndarray, areas: dict[str, np.ndarray]) -> np.ndarray:
    """The image u8 [h, w, 3] with half-transparent `areas` bool [h, w], by colour."""
    return _blend(image, [(COLOURS[name], area) for name, area in areas.items()])


def _blend(
    image: np.ndarray, areas: Sequence[tuple[Colour, np.ndarray]], alpha: float = 0.5
) -> np.ndarray:
    out = image.astype(np.float32)
    for colour, area in areas:
        out[area] = (1 - alpha) * out[area] + alpha * np.array(colour, np.float32)
    return out.round().astype(np.uint8)


def small(picture: np.ndarray, side: int = 256) -> np.ndarray:
    """The triptych with each third at most `side` high: for a log that stays small."""
    scale = min(1.0, side / picture.shape[0])
    size = [max(1, round(n * scale)) for n in picture.shape[1::-1]]
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def grey_or_rgb(image: np.ndarray) -> np.ndarray:
    """u8 [h, w] or [h, w, 3] of an image [h, w, c]; 16 bits are stretched to 8."""
    image = image if image.shape[-1] == 3 else image[..., 0]
    if image.dtype == np.uint8:
        return image
    low, high = np.percentile(image, [0.5, 99.5])
    scaled = (image.astype(np.float64) - low) / max(high - low, 1)
    return np.rint(scaled.clip(0, 1) * 255).astype(np.uint8)


def png(image: np.ndarray) -> bytes:
    """The PNG bytes of an image u8 [h, w] or [h, w, 3]."""
    # OpenCV stores colours as blue, green, red
    flipped = np.ascontiguousarray(image[..., ::-1]) if image.ndim == 3 else image
    return cv2.imencode(".png", flipped)[1].tobytes()


def attention(
    image: UInt8[np.ndarray, "h w 3"],
    attended: Float[np.ndarray, "h w"],
    mask: Bool[np.ndarray, "h w"],
) -> UInt8[np.ndarray, "h w 3"]:
    """The image, grey, under a map of where a classifier looks, brighter for more.

    The map is a share of its own maximum, in the colours of inferno; the outline of
    `mask` is sky blue. A map without a maximum leaves the image as it is.
    """
    low, high = float(attended.min()), float(attended.max())
    part = (attended - low) / (high - low) if high > low else np.zeros_like(attended)
    levels = np.rint(255 * part).astype(np.uint8)
    heat = cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)[..., ::-1]
    alpha = 0.65 * part[..., None]
    out = np.rint(grey(image) * (1 - alpha) + heat * alpha).astype(np.uint8)
    outlines, _ = cv2.findContours(
        mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    return cv2.drawContours(np.ascontiguousarray(out), outlines, -1, CLASSES[0], 1)
