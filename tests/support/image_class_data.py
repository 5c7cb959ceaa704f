"""A small data set with classes of whole images, and configs that learn from it.

Exclusive classes: an image has a stripe that is level, upright or slanting. Those that
are not: it may have a level one, an upright one, both or none. A bright square, in
every second image, is the class of pixels; it says nothing of the stripes.
"""

import numpy as np
import tensorflow_datasets as tfds

from jaxseg.data import records
from jaxseg.data.preparation import card
from support import runs

SIZE = 32
COUNTS = {"train": 16, "validation": 9, "test": 9}
EXCLUSIVE, TOGETHER = ("level", "upright", "slanting"), ("level", "upright")


def truth(number: int, *, exclusive: bool = True, unknown: bool = False) -> list[int]:
    """The image classes of image `number`: 1, 0, or -1 where that is unknown."""
    if exclusive:
        values = [int(number % 3 == c) for c in range(3)]
        return [-1] * 3 if unknown and number % 8 == 7 else values
    values = [int(number % 2 == 0), int(number % 4 in (1, 2))]
    if unknown and number % 5 == 4:
        values[number % 2] = -1
    return values


def example(split: str, number: int, *, exclusive: bool = True) -> dict:
    """One stored record of the data set."""
    seed = [*COUNTS].index(split) * 1000 + number
    rng = np.random.default_rng(seed)
    image = rng.integers(60, 90, (SIZE, SIZE, 1))
    at = int(rng.integers(6, SIZE - 10))
    row, column = np.mgrid[:SIZE, :SIZE]
    stripes = (row, column, row - column + at + 2)
    for value, place in zip(truth(number, exclusive=exclusive), stripes, strict=False):
        if value == 1:
            image[(place >= at) & (place < at + 5)] += 70
    mask = np.zeros((SIZE, SIZE), np.uint8)
    if number % 2:
        y, x = rng.integers(0, SIZE - 8, 2)
        mask[y : y + 7, x : x + 7] = 1
        image[mask == 1] = 245
    name = f"{split}{number:03d}"
    return {
        "image": image.astype(np.uint8),
        "mask": mask,
        "label": int(number % 2),
        "id": name,
        "group": f"{split}{number // 2}",
    }


class Builder(tfds.core.GeneratorBasedBuilder):
    """The data set for tfds."""

    name = "image_class_data"
    VERSION = tfds.core.Version("1.0.0")
    code_path = None  # else TFDS looks for its own files beside this one

    def __init__(self, *, exclusive: bool, masks: bool, **kwargs):
        self.exclusive, self.masks = exclusive, masks
        super().__init__(file_format="array_record", **kwargs)

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self, features=records.features(1, "uint8")
        )

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in COUNTS}

    def _generate_examples(self, split="train"):
        for number in range(COUNTS[split]):
            one = example(split, number, exclusive=self.exclusive)
            if not self.masks:
                one["mask"][:], one["label"] = 255, -1
            yield one["id"], records.encode(one)


def prepare(
    source,
    data_dir,
    *,
    progress: bool = False,
    exclusive: bool = True,
    unknown: bool = False,
    masks: bool = True,
    classes: bool = True,
) -> str:
    """Prepares the data set below `data_dir`; its directory. `source` is not read."""
    del source, progress
    tfds.disable_progress_bar()
    builder = Builder(exclusive=exclusive, masks=masks, data_dir=data_dir)
    if (builder.data_path / "card.json").is_file():
        return str(builder.data_path)
    builder.download_and_prepare()
    names = EXCLUSIVE if exclusive else TOGETHER
    options = {"exclusive": exclusive, "unknown": unknown}
    values = {
        f"{split}{number:03d}": truth(number, **options)
        for split, count in COUNTS.items()
        for number in range(count)
    }
    card.finish(
        builder,
        classes=["background", "square"],
        channels=1,
        source="stripes",
        split_rule="by name",
        image_classes=card.ImageClasses(names, exclusive, values) if classes else None,
    )
    return str(builder.data_path)


# a quick training that learns something
QUICK = {
    "model.name": "support.tiny_classifier",
    "data.name": "support.image_class_data",
    "data.image_size": (SIZE, SIZE),
    "data.fit": "stretch",
    "augment.flip_horizontal": 0.0,
    "augment.rotate_degrees": 0.0,
    "augment.scale": (1.0, 1.0),
    "augment.shift": 0.0,
    "epochs": 4,
    "batch_size": 8,
    "eval.every_epochs": 2,
    "eval.bootstrap": 20,
    "eval.surface": False,
    "optim.learning_rate": 1e-2,
    "optim.warmup_epochs": 0.0,
    "decision.name": "pooled",
    "decision.pooled.outputs": 0,
    "loss.image_class_cross_entropy.weight": 1.0,
}
# the same without a term of pixels
CLASSIFY = {
    "loss.cross_entropy.weight": 0.0,
    "loss.dice_batch.weight": 0.0,
    "loss.dice.weight": 0.0,
    "eval.metric": "class_f1_macro",
}


def config(folder, options=None, **changes):
    """The config of a training on this data; `folder` is where it may be read from."""
    out = runs.config("folder", **QUICK | {"data.dir": str(folder)})
    out.data.options = options or {}
    out.model.fields = {"pixels": True}
    out.update_from_flattened_dict(changes)
    if not any(block.weight for name, block in out.loss.items() if "image" not in name):
        out.model.fields = {}  # nothing would learn its head of pixels
    return out
