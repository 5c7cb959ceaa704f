"""Runs that an earlier version left: of a folder of 20 images, U-Net, 2 epochs.

`finished` has ended; `stopped` was asked to stop after 5 of its 8 steps. They were made
before the package was divided into wings (commit 88a0fbb), on one CPU.
"""

import pathlib
import zipfile

ARCHIVE = pathlib.Path(__file__).parent / "golden" / "runs_before.zip"


def unpack(folder: pathlib.Path) -> pathlib.Path:
    """Writes `finished`, `stopped` and their images `my_images` into the folder."""
    with zipfile.ZipFile(ARCHIVE) as archive:
        archive.extractall(folder)
    return folder
