"""The doctor names the classes that one batch does not teach."""

import dataclasses

import flax.linen as nn
import numpy as np
import pytest
from support import doctored, runs, tiny

from jaxseg.doctor import model
from jaxseg.train_step import state


class Blind(nn.Module):
    """A small model that cannot predict the last class."""

    num_classes: int = 5

    @nn.compact
    def __call__(self, image, *, train: bool):
        outputs = tiny.Model(self.num_classes, name="inner")(image, train=train)
        out = {k: v.at[..., -1].add(-100.0) for k, v in outputs.items()}
        return out


@pytest.fixture(scope="module")
def tissue():
    """The case of a run on five classes, with a model that compiles in a second."""
    case = doctored.case(
        runs.config(
            "folder",
            **{
                "data.dir": "",
                "data.demo.images": 20,
                "data.demo.size": 64,
                "data.image_size": (64, 64),
                "batch_size": 4,
            },
        )
    )
    small = Blind()
    init = case.experiment.init | {"model": small}
    abstract = state.abstract(case.experiment.mesh, **init)
    case = doctored.spoiled(case, init=init, abstract=abstract)
    case = doctored.stepping(case, model=small, tx=init["tx"])
    case.options["steps"] = 3
    return case


def test_classes_that_are_not_predicted_are_named_with_their_support(tissue):
    found = doctored.found(tissue, "overfit_one_batch")["overfit_one_batch"]
    support = np.count_nonzero(tissue.example()["mask"] == 4)
    assert support > 0 and found.level != "ok"
    assert f"ganglion (support {support} pixels)" in found.observed
    assert "gland" not in found.observed


@pytest.mark.parametrize(
    "silent, level", [([], "ok"), (["rare (support 3)"], "warning")]
)
def test_a_lost_class_is_a_warning_even_where_the_loss_falls(
    tissue, monkeypatch, silent, level
):
    fell = model.ByHeart([1.0, 0.9, 0.8, 0.1, 0.1, 0.1], None, silent)
    monkeypatch.setattr(model, "by_heart", lambda *_: fell)
    found = doctored.found(tissue, "overfit_one_batch")["overfit_one_batch"]
    assert found.level == level and all(name in found.observed for name in silent)


def test_labels_of_pixels_and_of_images_are_counted_apart(folder):
    splits = {}
    for name, split in folder.experiment.splits.items():
        pixels, labels = split.pixels.copy(), split.labels.copy()
        pixels[0], labels[0] = 0, 1
        splits[name] = dataclasses.replace(split, pixels=pixels, labels=labels)
    found = doctored.found(doctored.splitting(folder, **splits), "unlabelled")
    words = found["unlabelled"].observed
    assert "without any label: 0 of" in words and found["unlabelled"].level == "warning"
    assert words.count("1 of") == 3 and "with a label of the image and no" in words
    for name, split in splits.items():
        pixels = split.pixels.copy()
        pixels[:, 1:], labels = 0, np.ones_like(split.labels)
        splits[name] = dataclasses.replace(split, pixels=pixels, labels=labels)
    found = doctored.found(doctored.splitting(folder, **splits), "class_support")
    assert found["class_support"].level == "warning"
    assert "train: foreground in no mask" in found["class_support"].observed
