"""Data of elsewhere gets the class numbers of the run, and nothing is guessed."""

import numpy as np
import pytest
from PIL import Image

from jaxseg.data import other_split, prepared
from jaxseg.data.datasets import image_folder
from jaxseg.errors import DataError

THERE = ["background", "nodule", "effusion"]
OF_RUN = ["background", "effusion", "nodule"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A prepared data set of eight images whose classes are those of THERE."""
    root = tmp_path_factory.mktemp("other")
    rng = np.random.default_rng(0)
    for kind in ("images", "masks"):
        (root / "raw" / kind).mkdir(parents=True)
    for i in range(8):
        mask = np.zeros((12, 10), np.uint8)
        mask[2:5, 2:6], mask[7:9, 1:4] = 1, 2
        mask[0, : i + 1] = 255
        image = rng.integers(0, 255, mask.shape).astype(np.uint8)
        Image.fromarray(image).save(root / f"raw/images/{i}.png")
        Image.fromarray(mask).save(root / f"raw/masks/{i}.png")
    (root / "raw/classes.txt").write_text("\n".join(THERE))
    return image_folder.prepare(root / "raw", root / "made", progress=False)


def test_splits_are_joined_and_classes_renumbered_by_name(folder):
    split = other_split.open_split(folder, name="hospital_b", classes=OF_RUN)
    parts = [
        prepared.open_split(folder, n) for n in prepared.read_card(folder)["splits"]
    ]
    assert split.ids == [one for part in parts for one in part.ids]
    assert split.classes == OF_RUN and other_split.reordered(split) == THERE
    theirs = [
        example for part in parts for example in map(part.__getitem__, range(len(part)))
    ]
    for i, there in enumerate(theirs):
        swapped = np.choose(np.minimum(there["mask"], 3), [0, 2, 1, 255])
        assert np.array_equal(split[i]["mask"], swapped)
        assert split[i]["id"] == there["id"]
        assert np.array_equal(split[i]["image"], there["image"])
    assert split.pixels[:, 1].tolist() == [6] * 8  # effusion: 2 x 3 pixels
    assert split.pixels[:, 2].tolist() == [12] * 8
    card = split.card["splits"]["hospital_b"]
    assert card["images"] == 8 and card["pixels"][1:] == [48, 96]


def test_the_same_order_changes_nothing_and_one_split_keeps_its_hash(folder):
    split = other_split.open_split(folder, name="x", classes=THERE, only=("test",))
    own = prepared.open_split(folder, "test")
    assert other_split.reordered(split) == [] and split.hash == own.hash
    assert np.array_equal(split[0]["mask"], own[0]["mask"])


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        ([*OF_RUN, "mass"], "has no class 'mass'"),
        (OF_RUN[:2], "has a class 'nodule' that the run does not know"),
        (["background", "effusions", "nodule"], "did you mean 'effusion'"),
    ],
)
def test_classes_of_other_names_are_refused_in_one_sentence(folder, classes, words):
    with pytest.raises(DataError) as told:
        other_split.open_split(folder, name="x", classes=classes)
    assert words in str(told.value) and "matched by name" in str(told.value)


def test_classes_of_whole_images_are_asked_for(folder):
    with pytest.raises(DataError, match="has no class of whole images 'normal'"):
        other_split.open_split(
            folder, name="x", classes=OF_RUN, image_classes=["normal", "covid"]
        )
