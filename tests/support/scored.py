"""A small split in memory, with predictions, for tests of scoring."""

import dataclasses

import numpy as np


@dataclasses.dataclass
class Split:
    examples: list
    classes: tuple = ("background", "object")
    name: str = "test"
    hash: str = "f00d"

    @property
    def ids(self):
        return [e["id"] for e in self.examples]

    @property
    def groups(self):
        return [e["group"] for e in self.examples]

    def __len__(self):
        return len(self.examples)

    def __getitem__(self, i):
        return self.examples[i]


def make(n=8, *, k=2, seed=0, sizes=((24, 20), (16, 16), (1, 30)), ignore=True):
    """A split of n images of several sizes and a probability map for each.

    Every fourth image is empty; some pixels are not labelled; predictions are better
    than chance and come at native size.
    """
    rng = np.random.default_rng(seed)
    examples, predictions = [], []
    for i in range(n):
        h, w = sizes[i % len(sizes)]
        mask = np.zeros((h, w), np.uint8)
        if i % 4:
            mask[h // 3 : h // 3 + max(h // 4, 1), w // 4 : w // 2] = 1 + i % (k - 1)
        logits = rng.normal(size=(h, w, k)) + 2 * np.eye(k)[mask]
        e = np.exp(logits - logits.max(axis=-1, keepdims=True))
        predictions.append((i, (e / e.sum(axis=-1, keepdims=True)).astype(np.float32)))
        if ignore and i % 3 == 1:
            mask[0, : w // 2] = 255
        image = rng.integers(0, 120, (h, w, 1)) + 100 * (mask[..., None] == 1)
        examples.append(
            {
                "image": image.astype(np.uint8),
                "mask": mask,
                "label": int(i % 4 > 0),
                "id": f"scan{i:02d}",
                "group": f"patient{i // 2}",
            }
        )
    classes = ("background", "object", "other", "third")[:k]
    return Split(examples, classes), predictions


def keep(probability, size):
    """`to_native` where the predictions are at native size already."""
    assert probability.shape[:2] == tuple(size)
    return probability


VALIDATION = Split([], name="validation", hash="v1")  # chosen on
TEST = Split([], hash="t1")  # scored on
