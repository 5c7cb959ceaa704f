"""Mistakes of the seeds that lie in the files of a folder: caught by name."""

import cv2
import numpy as np
import pytest
from support import doctored

from jaxseg import errors


def test_black_and_white_masks_taken_for_class_ids(tmp_path, folder):
    """0 and 255: everything is background, or not labelled, and nothing says so."""
    rng = np.random.default_rng(1)
    extra = []
    for k in range(8):  # half of training was drawn by someone who uses 0 and 255
        mask = np.zeros((48, 40), np.uint8)
        mask[10:20, 5 + k : 25] = 255
        image = rng.integers(0, 255, (48, 40)).astype(np.uint8)
        extra.append((f"b{k}", "train", image, mask))
    directory = doctored.folder(tmp_path / "my_images", white=1, extra=extra)
    (directory / "classes.txt").write_text("background\nsquare\n")
    options = {"data.options.mask_format": "class_ids"}
    twin = doctored.case(doctored.folder_config(directory, **options))
    found = doctored.found(twin, "label_values")["label_values"]
    assert (
        found.level == "error"
        and "8 of 20 masks of train hold 0 and 255" in found.observed
    )
    assert doctored.levels(folder, "label_values") == {"label_values": "ok"}
    directory = doctored.folder(tmp_path / "all_white")
    with pytest.raises(errors.DataError, match="class"):
        doctored.case(doctored.folder_config(directory, **options))


def _copied(tmp_path, change, name: str):
    """The folder with an image of training once more in test, changed."""
    first = doctored.folder(tmp_path / "first")
    image = cv2.imread(str(first / "images" / "a04.png"), cv2.IMREAD_UNCHANGED)
    mask = cv2.imread(str(first / "masks" / "a04.png"), cv2.IMREAD_UNCHANGED)
    extra = [(name, "test", change(image), mask)]
    directory = doctored.folder(tmp_path / "my_images", extra=extra)
    return doctored.case(doctored.folder_config(directory))


def test_an_image_repeated_before_the_split(tmp_path, folder):
    """Seeds 002 and 004 resampled first: copies fell into several splits."""
    twin = _copied(tmp_path, lambda image: image, "copy")
    found = doctored.found(twin, "duplicates")["duplicates"]
    assert found.level == "error" and "train/a04 = test/copy" in found.observed
    quick = doctored.found(twin._replace(scan=None), "duplicates")["duplicates"]
    assert quick.level == "error" and "1 image(s)" in quick.observed
    names = ("duplicates", "near_duplicates")
    assert doctored.levels(folder, *names) == dict.fromkeys(names, "ok")


@pytest.mark.parametrize("change", ["brighter", "mirrored", "noisy"])
def test_an_image_stored_twice_in_nearly_the_same_form(tmp_path, change):
    rng = np.random.default_rng(2)
    changes = {
        "brighter": lambda x: (x * 0.8 + 30).astype(np.uint8),
        "mirrored": lambda x: np.ascontiguousarray(x[:, ::-1]),
        "noisy": lambda x: np.clip(x + rng.normal(0, 4, x.shape), 0, 255).astype(
            np.uint8
        ),
    }
    twin = _copied(tmp_path, changes[change], "again")
    found = doctored.found(twin, "duplicates", "near_duplicates")
    assert found["duplicates"].level == "ok"
    assert found["near_duplicates"].level == "warning"
    assert "train/a04 = test/again" in found["near_duplicates"].observed
