"""What a transmitted-light microscope shows of transparent beads: rim, focus and rings.

A bead is a ball lens. Light that meets its rim is bent out of the aperture, so the rim
is dark; light through its middle is gathered, so the middle is bright above the focus
and dark below it. Away from the focus the rim widens and fades, and rings of
diffraction surround it. Several beads in one line of sight each take their share of the
light: their transmissions multiply, so that beads show through one another.
"""

import numpy as np
from jaxtyping import Float

_REACH = 2.1  # radii around the middle that a bead changes
_PIXEL = 0.45  # blur by the area of a pixel and by the aperture, pixels
_BLUR = 0.34  # of a bead one unit out of focus, radii


def add(
    density: Float[np.ndarray, "h w"],
    middle: tuple[float, float],
    radius: float,
    defocus: float,
    depth: float,
) -> None:
    """Adds the logarithm of the transmission of one bead to `density`, in place.

    `middle` is (x, y), with pixel centres at whole numbers; `defocus` is about -1 to 1,
    0 in focus; `depth` is how dark the rim is in focus, 0 to 1.
    """
    reach = _REACH * radius + 2
    left, top = (max(int(np.ceil(m - reach)), 0) for m in middle)
    right, bottom = (int(np.floor(m + reach)) + 1 for m in middle)
    part = density[top : max(bottom, 0), left : max(right, 0)]
    if not part.size:
        return
    y = np.arange(part.shape[0]) + (top - middle[1])
    x = np.arange(part.shape[1]) + (left - middle[0])
    part += profile(np.hypot(x, y[:, None]) / radius, radius, defocus, depth)


def profile(
    r: Float[np.ndarray, "h w"], radius: float, defocus: float, depth: float
) -> Float[np.ndarray, "h w"]:
    """The logarithm of the transmission at `r` radii from the middle of a bead."""
    blur = np.hypot(_PIXEL / radius, _BLUR * defocus)
    rim = _bell(r - 0.88, 0.13, blur)
    focus = _bell(r, 0.42, blur) * (0.30 + 0.55 * defocus)
    halo = _bell(r - 1.16, 0.10, blur) * (0.16 - 0.10 * defocus)
    rings = np.cos(2 * np.pi * (r - 1.0) / 0.34) * np.exp(-(((r - 1.1) / 0.42) ** 2))
    body = 0.10 / (1 + np.exp((r - 0.95) / np.hypot(0.04, 0.5 * blur)))
    light = focus + halo + 0.13 * abs(defocus) * rings * (r > 0.4)
    return light - depth * rim - body


def _bell(
    r: Float[np.ndarray, "h w"], width: float, blur: float
) -> Float[np.ndarray, "h w"]:
    """A bell of height 1 and this width, blurred: wider and lower, of equal area."""
    wide = np.hypot(width, blur)
    return width / wide * np.exp(-((r / wide) ** 2))
