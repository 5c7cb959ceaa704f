"""Predictions of a split: every image once, without padding, and only those wanted."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import toy

from jaxseg.data import pipeline
from jaxseg.inference import whole_split


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    return toy.split(tmp_path_factory.mktemp("toy"), "test")


@pytest.fixture
def scorer():
    """Predicts the number that an image of the toy data is filled with."""
    calls = []

    def predict(variables, batch):
        calls.append(np.asarray(batch["index"]).tolist())
        return jnp.asarray(batch["image"], jnp.float32) + variables

    axes = (jax.sharding.AxisType.Auto,) * 2
    scorer = whole_split.Scorer(
        predict=predict,
        mesh=jax.make_mesh((4, 1), ("data", "fsdp"), axis_types=axes),
        view=pipeline.View((20, 16), "stretch", "none", 0, 0),
        per_device_batch=1,
        workers=0,
        timeout=60.0,
    )
    return scorer, calls


def test_every_image_comes_once_and_padding_never(split, scorer):
    rows = list(whole_split.predictions(scorer[0], 0.5, split))
    assert [index for index, _ in rows] == list(range(13))
    for index, probability in rows:
        assert probability.shape == (20, 16, 1)
        assert probability[-1, -1, 0] == int(split.ids[index][-3:]) + 0.5
    assert len(scorer[1]) == 4  # 13 images on 4 devices


def test_the_classes_come_first_and_the_maps_of_a_target_after_them(split, scorer):
    """Evaluation counts the classes alone."""

    def predict(variables, batch):
        image = jnp.asarray(batch["image"], jnp.float32)
        return jnp.concatenate([image, image + 1, image + 2], -1)

    scorer = scorer[0]._replace(predict=predict, classes=2)
    whole = dict(whole_split.maps(scorer, None, split))
    for index, probability in whole_split.predictions(scorer, None, split):
        assert probability.shape == (20, 16, 2) and whole[index].shape == (20, 16, 3)
        np.testing.assert_array_equal(probability, whole[index][..., :2])
        assert (whole[index][..., 2] == probability[..., 0] + 2).all()


def test_batches_without_a_wanted_image_are_not_computed(split, scorer):
    rows = list(whole_split.predictions(scorer[0], 0.0, split, {1, 2, 12}))
    assert [index for index, _ in rows] == [1, 2, 12]
    assert all(p[-1, -1, 0] == int(split.ids[i][-3:]) for i, p in rows)
    assert [batch[0] for batch in scorer[1]] == [0, 12]


def test_a_probability_goes_back_to_its_native_size(scorer):
    native = scorer[0].to_native()(np.full((20, 16, 1), 0.25, np.float32), (7, 9))
    assert native.shape[:2] == (7, 9) and np.allclose(native, 0.25)
