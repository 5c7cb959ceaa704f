"""Image segmentation in JAX for hard data, with results one can believe.

A finished run predicts, in five lines:

    import cv2, jaxseg
    run = jaxseg.load("runs/x")
    image = cv2.imread("scan.png", cv2.IMREAD_UNCHANGED)  # the pixels as stored
    prediction = run.predict(image)
    prediction.classes, prediction.probability  # [h, w] class ids, [h, w, k]

Models, losses and metrics work in any training loop: `from jaxseg.models import unet`,
`from jaxseg.losses import dice`, `from jaxseg.metrics import overlap`. Training starts
from the command line: `python -m jaxseg.main --config=pneumothorax`.

Importing this package imports neither JAX nor anything else heavy.
"""

from typing import Any

from jaxseg import interrupts

__version__ = "0.1.0"
__all__ = ["__version__", "load"]


if interrupts.is_door():  # Ctrl-C while a door imports what it needs
    interrupts.end_in_one_line()
    interrupts.end_with_parent()


def __getattr__(name: str) -> Any:
    if name == "load":
        from jaxseg.experiment import finished_run

        return finished_run.load
    raise AttributeError(f"module 'jaxseg' has no attribute {name!r}.")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
