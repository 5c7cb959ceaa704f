"""Draws what a model did as pictures: image, truth, prediction."""

import cv2
import numpy as np

# true positive, false positive, false negative; readable for the colour-blind through
# their brightness too
COLOURS = {"tp": (64, 192, 96), "fp": (230, 72, 60), "fn": (250, 205, 60)}


def triptych(image: np.ndarray, mask: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """u8 [h, 3 w, 3]: the image, the truth upon it, the errors upon it.

    `image` is u8 [h, w, c], `mask` (255 = unlabelled) and `prediction` are class ids
    [h, w]. A wrong class counts as false positive and false negative: red.
    """
    grey = image if image.shape[-1] == 3 else image[..., :1].repeat(3, axis=-1)
    truth = (mask > 0) & (mask != 255)
    positive = prediction > 0
    right = positive & truth & (prediction == mask)
    wrong = positive & ~right & (mask != 255)
    errors = {"tp": right, "fp": wrong, "fn": truth & ~positive}
    return np.concatenate(
        [grey, paint(grey, {"tp": truth}), paint(grey, errors)], axis=1
    )


def paint(image: np.ndarray, areas: dict[str, np.ndarray]) -> np.ndarray:
    """The image u8 [h, w, 3] with half-transparent `areas` bool [h, w], by colour."""
    out = image.astype(np.float32)
    for name, area in areas.items():
        out[area] = 0.5 * out[area] + 0.5 * np.array(COLOURS[name], np.float32)
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
