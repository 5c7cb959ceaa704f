"""The order of examples is a pure function, exact in its shares."""

import hashlib

import numpy as np
import pytest

from jaxseg import errors, lookup
from jaxseg.data.samplers import balanced, by_class, uniform

POSITIVE = np.arange(200) % 5 == 0  # 40 of 200


def _present(positive):
    """Two classes: every image shows background."""
    return np.stack([np.ones_like(positive), positive], axis=1)


PRESENT = _present(POSITIVE)
OPTIONS = {
    "uniform": {},
    "balanced": {"share": 0.5, "negative_keep": 0.15, "positive_weight": 1.5},
    "by_class": {"share": -1.0},
    "frequency": {"factor": 4.0},
    "by_image_class": {
        "share": -1.0,
        "image_classes": np.eye(3, dtype=np.int8)[np.arange(200) % 7 % 3],
    },
}


def _orders(name, epochs, size, present=PRESENT, **changes):
    module = lookup.find("data/samplers", name)
    options = {**OPTIONS[name], **changes}
    return [
        module.order(present, seed=3, epoch=e, epochs=epochs, size=size, **options)
        for e in range(epochs)
    ]


@pytest.mark.parametrize("name", lookup.names("data/samplers"))
def test_every_sampler_is_pure_and_in_range(name):
    first, second = _orders(name, 3, 48), _orders(name, 3, 48)
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first[0], first[1])
    other = lookup.find("data/samplers", name).order(
        PRESENT, seed=4, epoch=0, epochs=3, size=48, **OPTIONS[name]
    )
    assert not np.array_equal(first[0], other)
    assert first[0].shape == (48,)
    assert min(map(np.min, first)) >= 0 and max(map(np.max, first)) < 200


def test_uniform_reads_every_example_equally_often_across_epochs_that_do_not_fit():
    seen = np.bincount(np.concatenate(_orders("uniform", 25, 48)), minlength=200)
    assert set(seen) == {6}  # 25 x 48 = 6 x 200


@pytest.mark.parametrize("share", [0.25, 0.5, 0.73, 1.0, ((0.0, 0.8), (1.0, 0.4))])
def test_the_realised_share_equals_the_target(share):
    options = {**OPTIONS["balanced"], "share": share}
    for epoch, order in enumerate(_orders("balanced", 9, 64, share=share)):
        target = balanced.share(PRESENT, epoch=epoch, epochs=9, **options)
        assert abs(np.mean(POSITIVE[order]) - target) <= 1 / 64
        for batch in order.reshape(8, 8):
            assert abs(np.sum(POSITIVE[batch]) - 8 * target) < 2


def test_positives_and_negatives_are_each_seen_equally_often():
    seen = np.bincount(
        np.concatenate(_orders("balanced", 40, 48, share=0.4)), minlength=200
    )
    assert np.ptp(seen[POSITIVE]) <= 1 and np.ptp(seen[~POSITIVE]) <= 1


def test_the_published_recipe():
    present = _present(
        np.arange(10675) < 2379
    )  # stage 1: 2379 positives, 8296 negatives
    options = {"share": -1.0, "negative_keep": 0.15, "positive_weight": 1.5}
    assert balanced.epoch_size(present, **options) == 3623
    target = balanced.share(present, epoch=0, epochs=200, **options)
    assert target == pytest.approx(1.5 * 2379 / (1.5 * 2379 + 1244))


def test_epoch_sizes():
    assert uniform.epoch_size(PRESENT) == 200
    assert balanced.epoch_size(PRESENT, **OPTIONS["balanced"]) == 40 + 24


def test_one_kind_only_is_an_error():
    with pytest.raises(errors.DataError, match="0 positives of 200"):
        balanced.epoch_size(_present(np.zeros(200, bool)), **OPTIONS["balanced"])


@pytest.mark.parametrize("share", [1.2, ((0.0, 0.5), (0.0, 0.4)), "half"])
def test_a_share_that_is_none(share):
    with pytest.raises(errors.ConfigError, match="share"):
        balanced.epoch_size(PRESENT, **{**OPTIONS["balanced"], "share": share})


@pytest.mark.parametrize(
    "name, changes, digest",
    [
        ("uniform", {}, "a298fa889dea286d"),
        ("balanced", {"share": ((0.0, 0.8), (1.0, 0.4))}, "4209213ed4e94b76"),
    ],
)
def test_the_orders_are_those_of_older_runs(name, changes, digest):
    """Hashes of what the samplers gave when they were told the positives alone."""
    orders = np.stack(_orders(name, 9, 48, **changes)).astype("<i8")
    assert hashlib.sha256(orders.tobytes()).hexdigest().startswith(digest)


# class 1 in half of the images, 2 in a tenth, 3 in three images, that show 1 as well;
# nothing in 88 of 200
RARE = np.ones((200, 4), bool)
RARE[:, 1] = np.arange(200) % 2 == 0
RARE[:, 2] = np.arange(200) % 10 == 1
RARE[:, 3] = np.isin(np.arange(200), (0, 50, 100))
NONE = ~RARE[:, 1:].any(axis=1)


@pytest.mark.parametrize(
    "share, parts",
    [
        (-1.0, (0.25, 0.25, 0.25, 0.25)),
        (0.6, (0.4, 0.2, 0.2, 0.2)),
        (1.0, (0.0, 1 / 3, 1 / 3, 1 / 3)),
        ((0.1, 0.2, 0.3, 0.4), (0.1, 0.2, 0.3, 0.4)),
        ((0.5, 0.0, 0.5, 0.0), (0.5, 0.0, 0.5, 0.0)),
    ],
)
def test_every_class_gets_its_share_of_every_stretch(share, parts):
    got = by_class.parts(RARE, epoch=0, epochs=5, share=share)
    np.testing.assert_allclose(got, parts, atol=1e-12)
    target = by_class.share(RARE, epoch=0, epochs=5, share=share)
    assert target == pytest.approx(1 - parts[0])
    orders = np.stack(_orders("by_class", 5, 64, RARE, share=share))
    assert abs(np.mean(NONE[orders]) - parts[0]) <= 1 / 300
    for batch in orders.reshape(-1, 16):
        shows = RARE[batch, 1:].sum(axis=0)  # at least what was drawn for the class
        assert np.all(shows > 16 * np.array(parts[1:]) - 3)
        assert abs(NONE[batch].sum() - 16 * parts[0]) < 3


def test_the_draws_of_a_group_come_within_one_of_its_part_and_repeat_evenly():
    share = ((0.0, 0.7, 0.1, 0.1, 0.1), (0.5, 0.0, 0.5, 0.5, 0.0), (1.0, 0, 0, 0, 1))
    total, seen = np.zeros(4), np.zeros(200, int)
    for epoch in range(11):
        part = by_class.parts(RARE, epoch=epoch, epochs=11, share=share)
        assert part.sum() == pytest.approx(1)
        total += 50 * part
        options = {"seed": 0, "epochs": 11, "size": 50, "share": share}
        order = by_class.order(RARE, epoch=epoch, **options)
        seen += np.bincount(order, minlength=200)
        drawn = np.array([seen[NONE].sum(), seen[RARE[:, 2]].sum()])
        assert np.all(np.abs(drawn - total[[0, 2]]) < 2)
    assert np.ptp(seen[NONE]) <= 1 and np.ptp(seen[RARE[:, 2]]) <= 1
    assert np.ptp(seen[[0, 50, 100]]) <= 2  # two streams: of class 3, and of class 1


def test_the_orders_by_class_are_those_of_older_runs():
    knots = ((0.0, 0.7, 0.1, 0.1, 0.1), (1.0, 0.1, 0.2, 0.3, 0.4))
    orders = np.stack(_orders("by_class", 9, 48, RARE, share=knots)).astype("<i8")
    digest = hashlib.sha256(orders.tobytes()).hexdigest()
    assert digest.startswith("5eecd76e23f389ec")


def test_knots_of_one_number_and_groups_without_images():
    knots = ((0.0, 1.0), (1.0, 0.5))
    parts = [by_class.parts(RARE, epoch=e, epochs=3, share=knots) for e in range(3)]
    np.testing.assert_allclose([p[0] for p in parts], (0.0, 0.25, 0.5))
    full = RARE[~NONE]  # every image shows something
    for share in (-1.0, 0.5):
        parts = by_class.parts(full, epoch=0, epochs=1, share=share)
        np.testing.assert_allclose(parts, (0, 1 / 3, 1 / 3, 1 / 3))
    assert by_class.epoch_size(full, share=-1.0) == len(full)


@pytest.mark.parametrize(
    "share",
    [1.5, "half", (0.5, 0.5), (0.5, 0.6, 0.0, 0.0), (-0.5, 0.5, 0.5, 0.5), ()]
    + [((0.5, 0.5), (0.5, 0.4)), ((0.0, 0.5), (1.0, 0.5, 0.5)), (((0.0,),),)]
    + [float("nan"), (1.0,)],
)
def test_a_share_by_class_that_is_none(share):
    with pytest.raises(errors.ConfigError, match="by_class.share"):
        by_class.epoch_size(RARE, share=share)


def test_sampling_by_class_needs_foreground():
    with pytest.raises(errors.DataError, match="none of the 200 training images"):
        by_class.epoch_size(_present(np.zeros(200, bool)), share=-1.0)
