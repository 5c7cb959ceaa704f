"""A tiny prepared data set: image i is filled with i, every fourth has a square."""

import numpy as np
import tensorflow_datasets as tfds

from jaxseg.data import prepared, records
from jaxseg.data.preparation import card

SIZES = {"train": 40, "validation": 12, "test": 13}


def example(split: str, i: int, *, height: int = 20, width: int = 16) -> dict:
    mask = np.zeros((height, width), np.uint8)
    if i % 4 == 0:
        mask[4:9, 3 : 5 + i % 7] = 1
        mask[0, 0] = 255
    image = np.full((height, width, 1), i, np.uint8)
    image[mask == 1] += 100
    name = f"{split}{i:03d}"
    label = int(i % 4 == 0)
    return {"image": image, "mask": mask, "label": label, "id": name, "group": name}


class Builder(tfds.core.GeneratorBasedBuilder):
    """The toy data set."""

    name = "toy"
    VERSION = tfds.core.Version("1.0.0")
    code_path = None  # else TFDS looks for its own files beside this one

    def __init__(self, **kwargs):
        super().__init__(file_format="array_record", **kwargs)

    def _info(self):
        features = records.features(1, "uint8")
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in SIZES}

    def _generate_examples(self, split="train"):
        for i in range(SIZES[split]):
            one = example(split, i)
            yield one["id"], records.encode(one)


def make(directory) -> str:
    """Prepares the toy data set; the directory to open."""
    tfds.disable_progress_bar()
    builder = Builder(data_dir=directory)
    builder.download_and_prepare()
    card.finish(
        builder,
        classes=["background", "square"],
        channels=1,
        source="toy",
        split_rule="by name",
    )
    return str(builder.data_path)


def split(directory, name="train"):
    return prepared.open_split(make(directory), name)
