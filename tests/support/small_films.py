"""Small drawn films of three classes whose patches lie in the lungs, never beside them.

With `planted` one class carries a letter in its corner; nothing else differs.
"""

import types

import cv2
import numpy as np
import tensorflow_datasets as tfds

from jaxseg.data import records
from jaxseg.data.preparation import card
from jaxseg.doctor import border, images

CLASSES = ("normal", "covid19", "non_covid")
SIDE = 64
# gain, power, noise
SCANNERS = (
    (1, 1, 6),
    (0.85, 1.1, 3),
    (1.1, 0.9, 9),
    (0.7, 1.5, 3),
)


def draw(seed: int, count: int = 120, *, planted: str = "", scanner: str = ""):
    """[(image u8 [h, w, 1], mask u8 [h, w], class)]: mask 1 is lung, 2 a patch.

    A film has one of three scanners by chance; those of the class `scanner` have one of
    their own. The class `planted` has a letter in the corner.
    """
    rng = np.random.default_rng(seed)
    return [_film(rng, i % 3, planted, scanner) for i in range(count)]


def _film(rng, kind: int, planted: str, scanner: str):
    image = np.full((SIDE, SIDE), 150, np.float32)
    image += 40 * cv2.resize(rng.normal(size=(8, 8)), (SIDE, SIDE)).astype(np.float32)
    lungs = np.zeros((SIDE, SIDE), np.uint8)
    for x in (20, 44):
        at = x + rng.integers(-2, 3), 34 + rng.integers(-2, 3)
        size = 8 + rng.integers(-1, 2), 18 + rng.integers(-2, 3)
        cv2.ellipse(lungs, tuple(map(int, at)), tuple(map(int, size)), 0, 0, 360, 1, -1)
    image[lungs > 0] -= 70
    mask = lungs.copy()
    for _ in range((0, 4, 1)[kind]):
        spot = np.zeros_like(lungs)
        y, x = rng.choice(np.argwhere(lungs > 0))
        cv2.circle(spot, (int(x), int(y)), (0, 3, 7)[kind], 1, -1)
        mask[(spot > 0) & (lungs > 0)] = 2
    image[mask == 2] += 45
    number = rng.integers(3)
    if CLASSES[kind] == scanner:
        number = 3
    gain, power, noise = ((1, 1, 6), (0.85, 1.1, 3), (1.1, 0.9, 9), (0.7, 1.5, 3))[
        number
    ]
    image = 255 * gain * (image.clip(0, 255) / 255) ** power
    if CLASSES[kind] == planted:
        letter = np.zeros((SIDE, SIDE), np.uint8)
        cv2.putText(letter, "P", (2, 12), cv2.FONT_HERSHEY_PLAIN, 0.8, 1, 1)
        image[letter > 0] = 250
    image += noise * rng.normal(size=image.shape)
    return image.clip(0, 255).astype(np.uint8)[..., None], mask, kind


def case(films, *, classes: bool = True):
    """What the check of shortcuts reads of a case, with these films to train on."""
    looks = [
        images.Look(
            "train",
            str(i),
            frame=border.frame(image),
            tones=border.tones(image, mask),
        )
        for i, (image, mask, _) in enumerate(films)
    ]
    kinds = np.array([kind for _, _, kind in films])
    split = types.SimpleNamespace(
        name="train",
        groups=[str(i) for i in range(len(films))],
        image_classes=np.eye(3, dtype=np.int8)[kinds] if classes else None,
        image_class_names=list(CLASSES),
        image_labels=(kinds > 0).astype(int),
        card={"image_classes": {"exclusive": True}},
    )
    experiment = types.SimpleNamespace(splits={"train": split})
    return types.SimpleNamespace(experiment=experiment, scan=lambda: looks)


class Builder(tfds.core.GeneratorBasedBuilder):
    """Films as a prepared data set: 12 a split, each its own group."""

    name = "films"
    VERSION = tfds.core.Version("1.0.0")
    code_path = None  # else TFDS looks for its own files beside this one

    def __init__(self, *, films, **kwargs):
        self.films = films
        super().__init__(file_format="array_record", **kwargs)

    def _info(self):
        features = records.features(1, "uint8")
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in self.films}

    def _generate_examples(self, split="train"):
        for i, (image, mask, kind) in enumerate(self.films[split]):
            name = f"{split}{i:03d}"
            one = {"image": image, "mask": mask, "label": int(kind > 0)}
            yield name, records.encode(one | {"id": name, "group": name})


def prepare(directory, count: int = 12, **changes) -> str:
    """Prepares films with their image classes; the directory to open."""
    splits = ("train", "validation", "test")
    films = {name: draw(i, count, **changes) for i, name in enumerate(splits)}
    tfds.disable_progress_bar()
    builder = Builder(films=films, data_dir=directory)
    builder.download_and_prepare()
    shown = {
        f"{name}{i:03d}": np.eye(3, dtype=int)[kind].tolist()
        for name, rows in films.items()
        for i, (_, _, kind) in enumerate(rows)
    }
    card.finish(
        builder,
        classes=["background", "lung", "patch"],
        channels=1,
        source="films",
        split_rule="by name",
        image_classes=card.ImageClasses(list(CLASSES), True, shown),
    )
    return str(builder.data_path)
