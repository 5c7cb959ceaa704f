"""What a decision head says travels behind the maps, through every way to predict."""

import dataclasses
import functools

import jax
import numpy as np
import pytest
from support import tiny, tiny_decided, toy

from jaxseg.data import pipeline
from jaxseg.devices import sharding
from jaxseg.evaluation import score_split
from jaxseg.inference import forward, image, whole_split
from jaxseg.targets import border
from jaxseg.types import Target

NORMALISE = functools.partial(forward.scale, mean=(0.5,), std=(0.25,))


def _learned(model, batch):
    return model.init(jax.random.key(0), batch["image"] / 255, train=False)


@pytest.mark.parametrize("mirror", [(), (2,), (1, 2)])
@pytest.mark.parametrize("says", [1, 3])
def test_sigmoids_are_constant_channels_and_means_over_mirror_images(mirror, says):
    model, batch = tiny_decided.Model(says=says), tiny.batch(0)
    # no symmetry: the padding of one side is seen
    image_ = NORMALISE(batch["image"].astype(np.float32) / 255)
    variables = _learned(model, batch)
    axes = [(), *([(2,)] if mirror == (2,) else [(1,), (2,), (1, 2)] if mirror else [])]
    outputs = [model.apply(variables, np.flip(image_, a), train=False) for a in axes]
    want = np.mean([jax.nn.sigmoid(o["image_logits"]) for o in outputs], axis=0)
    got = forward.predict(
        variables, batch, model=model, normalise=NORMALISE, mirror=mirror
    )
    assert got.shape == (*batch["mask"].shape, 2 + says)
    np.testing.assert_allclose(got[:, 3, 5, 2:], want, rtol=1e-5)
    spread = np.ptp(np.asarray(got[..., 2:]), axis=(1, 2))
    assert not spread.any()
    np.testing.assert_allclose(got[..., :2].sum(-1), 1, rtol=1e-5)
    assert np.ptp(want) > 1e-3


def test_without_a_head_no_bit_changes():
    model, batch = tiny.Model(), tiny.batch(0)
    image_ = NORMALISE(batch["image"].astype(np.float32) / 255)
    variables = model.init(jax.random.key(0), image_, train=False)
    logits = model.apply(variables, image_, train=False)["logits"]
    got = forward.predict(variables, batch, model=model, normalise=NORMALISE)
    assert got.shape[-1] == 2
    np.testing.assert_array_equal(got, jax.nn.softmax(logits, axis=-1))


def test_they_stand_behind_the_maps_of_a_target():
    model, batch = tiny_decided.Model(num_classes=3), tiny.batch(0)
    variables = _learned(model, batch)
    target = Target(
        "border",
        3,
        True,
        split=None,
        truth=None,
        maps=functools.partial(border.maps, num_classes=2),
        mirror=None,
        names=("border",),
        ray_length=0.0,
    )
    out = forward.predict(
        variables, batch, model=model, normalise=NORMALISE, target=target
    )
    maps = target.maps(
        model.apply(
            variables,
            NORMALISE(batch["image"].astype(np.float32) / 255),
            train=False,
        )["logits"]
    )
    m = maps.shape[-1]
    assert out.shape[-1] == m + 1
    np.testing.assert_allclose(out[..., :m], maps, rtol=1e-5, atol=1e-6)


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    return toy.split(tmp_path_factory.mktemp("toy"), "test")


def _scorer(model, fit="stretch", size=(20, 16), **fields):
    mesh = sharding.make_mesh(data=0, fsdp=1)
    fields = {"per_device_batch": 1, "workers": 0, "timeout": 60.0} | fields
    return whole_split.Scorer(
        forward.make_predict(mesh, model=model, normalise=NORMALISE),
        mesh,
        pipeline.View(size, fit, "none", 0, 0, overlap=0.5),
        **{"classes": 2, "maps": 2} | fields,
    )


@pytest.mark.parametrize(
    "fit, size, pixel",
    [
        ("stretch", (20, 16), None),
        ("stretch", (27, 31), None),
        ("crop", (12, 12), None),
        ("crop", (12, 12), 0.7),
    ],
)
def test_a_split_is_scored_as_single_images_are(split, fit, size, pixel):
    """Whole or by tiles, at any scale: the same score, from before it is scaled."""
    model, batch = tiny_decided.Model(), tiny.batch(0)
    variables = _learned(model, batch)
    scorer = _scorer(model, fit, size)
    if pixel:
        view = dataclasses.replace(scorer.view, pixel_size=pixel)
        scorer = scorer._replace(view=view)
        split = dataclasses.replace(split, pixel_sizes=np.ones(len(split)))
    tally = score_split.tally_split(scorer, variables, split)
    assert not np.isnan(tally.image_score).any() and np.ptp(tally.image_score) > 1e-3
    assert tally.label.tolist() == split.labels.tolist()
    predict = jax.jit(
        functools.partial(forward.predict, model=model, normalise=NORMALISE)
    )
    for i in (0, 3, 8):
        one = image.predict(
            split[i]["image"],
            view=scorer.view,
            maps=lambda b: predict(variables, {"image": b}),
            num_classes=2,
            num_maps=2,
            operating_point=None,
            pixel_size=1.0 if pixel else None,
        )
        assert one.image_score == pytest.approx(float(tally.image_score[i]), rel=1e-6)
        assert one.probability.shape == (*split[i]["mask"].shape, 2)
    for index, row in whole_split.maps(scorer, variables, split, {0, 3}):
        assert row.shape[-1] == 2, index
    several = _scorer(tiny_decided.Model(says=3), fit, size)
    variables = _learned(tiny_decided.Model(says=3), batch)
    tally = score_split.tally_split(several, variables, split)
    assert np.isnan(tally.image_score).all()  # more than one number is no yes or no


def test_the_surest_tile_speaks_for_the_image():
    channels = np.zeros((4, 6, 2), np.float32)
    channels[:, 3:, 0], channels[1, 2, 1] = 0.75, 0.5
    assert forward.image_score(channels).tolist() == [0.75, 0.5]
    assert image.decided(channels[..., :1]) == 0.75
    assert image.decided(channels) is None
    assert image.decided(channels[..., :0]) is None


@pytest.mark.parametrize("mirror", [(), (1, 2)])
def test_exclusive_classes_are_one_softmax_whose_mean_stays_one(mirror):
    model, batch = tiny_decided.Model(says=3), tiny.batch(0)
    image_ = NORMALISE(batch["image"].astype(np.float32) / 255)
    variables = _learned(model, batch)
    axes = [(), *([(1,), (2,), (1, 2)] if mirror else [])]
    outputs = [model.apply(variables, np.flip(image_, a), train=False) for a in axes]
    want = np.mean([jax.nn.softmax(o["image_logits"]) for o in outputs], axis=0)
    predict = functools.partial(
        forward.predict, variables, batch, model=model, normalise=NORMALISE
    )
    got = np.asarray(predict(mirror=mirror, exclusive=True))
    np.testing.assert_allclose(got[:, 3, 5, 2:], want, rtol=1e-5)
    np.testing.assert_allclose(got[..., 2:].sum(-1), 1, rtol=1e-5)
    # of a run that learned no pixel one of them is enough
    one = predict(mirror=mirror, exclusive=True, pixels=False)
    assert one.shape == (len(image_), 1, 1, 5)
    np.testing.assert_allclose(one[:, 0, 0, 2:], want, rtol=1e-5)


def test_a_single_number_is_a_sigmoid_whatever_the_classes_of_the_data():
    model, batch = tiny_decided.Model(), tiny.batch(0)
    variables = _learned(model, batch)
    options = {"model": model, "normalise": NORMALISE}
    plain = forward.predict(variables, batch, **options)
    np.testing.assert_array_equal(
        forward.predict(variables, batch, **options, exclusive=True), plain
    )


def test_tiles_agree_on_exclusive_classes_by_their_mean():
    channels = np.zeros((4, 6, 2), np.float32)
    channels[:, :3], channels[:, 3:] = (0.9, 0.1), (0.3, 0.7)
    mean = forward.image_score(channels, exclusive=True)
    np.testing.assert_allclose(mean, [0.6, 0.4], rtol=1e-6)
    assert forward.image_score(channels).tolist() == np.float32([0.9, 0.7]).tolist()
    odd = np.full((37, 41, 3), np.float32(0.1) * np.float32([1, 3, 6]), np.float32)
    assert forward.image_score(odd, exclusive=True).tolist() == odd[0, 0].tolist()
    alone = channels[..., :1]  # one number is no class of several
    assert forward.image_score(alone, exclusive=True) == np.float32(0.9)


@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("fit, size", [("stretch", (20, 16)), ("crop", (12, 12))])
def test_classes_of_a_split_are_those_of_single_images(split, fit, size, exclusive):
    model, batch = tiny_decided.Model(says=3), tiny.batch(0)
    variables = _learned(model, batch)
    options = {"model": model, "normalise": NORMALISE, "exclusive": exclusive}
    scorer = _scorer(model, fit, size, image_classes=3, exclusive=exclusive)
    scorer = scorer._replace(predict=forward.make_predict(scorer.mesh, **options))
    truth = np.zeros((len(split), 3), np.int8)
    truth[:, 1] = 1
    split = dataclasses.replace(split, image_classes=truth)
    tally = score_split.tally_split(scorer, variables, split)
    assert tally.class_probability.shape == (len(split), 3)
    np.testing.assert_array_equal(tally.class_truth, truth)
    assert np.isnan(tally.image_score).all()
    sums = tally.class_probability.sum(1)
    assert (np.abs(sums - 1) < 1e-5).all() == exclusive
    predict = jax.jit(functools.partial(forward.predict, **options))
    for i in (0, 8):
        one = image.predict(
            split[i]["image"],
            view=scorer.view,
            maps=lambda b: predict(variables, {"image": b}),
            num_classes=2,
            num_maps=2,
            operating_point=None,
            exclusive=exclusive,
        )
        np.testing.assert_allclose(
            one.image_classes, tally.class_probability[i], rtol=1e-5
        )
        assert one.image_score is None
    without = score_split.tally_split(scorer._replace(pixels=False), variables, split)
    np.testing.assert_array_equal(without.class_probability, tally.class_probability)
    assert without.index.tolist() == tally.index.tolist() and not without.pixels.any()
