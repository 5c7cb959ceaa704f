"""Windows of native images: where they lie, which class they show, what they hold."""

import functools

import numpy as np
import pytest
from support import toy

from jaxseg.data import crops, pipeline
from jaxseg.types import IGNORE

SIZE = (8, 12)


def windows(pixels, *, share=1.0, seed=0, size=SIZE, sparse=False):
    chances = crops.class_chances(np.asarray(pixels))
    return crops.Windows(size, seed, share, chances, sparse)


def blob(height=40, width=30):
    mask = np.zeros((height, width), np.uint8)
    mask[0, 0], mask[height - 1, width - 1], mask[20:23, 14:17] = 1, 1, 2
    return mask


def counts(mask, classes=3):
    return np.bincount(mask.ravel(), minlength=classes)[:classes]


def shown(mask, at, size=SIZE):
    return crops.cut(mask, (at.top, at.left), size, fill=IGNORE)


def test_a_window_around_a_class_shows_it_and_lies_in_the_image():
    mask = blob()
    place = windows([counts(mask)])
    drawn = [place(n, 0, mask) for n in range(300)]
    assert {at.label for at in drawn} == {1, 2}
    for at in drawn:
        assert (shown(mask, at) == at.label).any()
        assert 0 <= at.top <= 40 - 8 and 0 <= at.left <= 30 - 12
    inner = [at for at in drawn if at.label == 2]
    assert len({(at.top, at.left) for at in inner}) > 10  # not always the middle
    middle = [shown(mask, at)[1:-1, 2:-2] == 2 for at in inner]
    assert all(part.any() for part in middle)  # nor at the border


def test_the_other_windows_lie_anywhere_each_place_equally_often():
    mask = blob(10, 13)  # 3 x 2 places
    place = windows([counts(mask)], share=0.0)
    drawn = [place(n, 0, mask) for n in range(3000)]
    assert {at.label for at in drawn} == {IGNORE}
    starts = np.array([(at.top, at.left) for at in drawn])
    _, times = np.unique(starts, axis=0, return_counts=True)
    assert len(times) == 6 and abs(times - 500).max() < 4 * 500**0.5


def test_the_share_and_the_seed_are_those_asked_for():
    mask = blob()
    place = windows([counts(mask)], share=0.33)
    around = [place(n, 0, mask).label != IGNORE for n in range(4000)]
    assert abs(np.mean(around) - 0.33) < 4 * (0.33 * 0.67 / 4000) ** 0.5
    other = windows([counts(mask)], share=0.33, seed=1)
    assert [other(n, 0, mask) for n in range(20)] != [
        place(n, 0, mask) for n in range(20)
    ]


def test_an_image_without_foreground_gets_a_window_anywhere():
    mask = np.zeros((40, 30), np.uint8)
    place = windows([[1200, 0, 0], counts(blob())])
    assert {place(n, 0, mask).label for n in range(50)} == {IGNORE}
    assert len({place(n, 0, mask)[:2] for n in range(50)}) > 30


def test_a_small_image_is_padded_in_its_middle_as_it_is_in_evaluation():
    mask = np.ones((3, 5), np.uint8)
    for share in (0.0, 1.0):
        at = windows([[0, 15, 0]], share=share)(4, 0, mask)
        assert (at.top, at.left) == (-2, -3)
        window = shown(mask, at)
        assert window.shape == SIZE
        assert (window[2:5, 3:8] == 1).all() and (window == IGNORE).sum() == 96 - 15
    one_axis = windows([[0, 15, 0]])(4, 0, np.ones((3, 500), np.uint8))
    assert one_axis.top == -2 and 0 <= one_axis.left <= 488


def test_sparse_labels_are_in_every_window():
    mask = np.full((60, 60), IGNORE, np.uint8)
    mask[3, 4], mask[50, 55], mask[30, 2] = 0, 1, 0
    place = windows([[2, 1]], share=0.33, sparse=True)
    drawn = [place(n, 0, mask) for n in range(200)]
    seen = [shown(mask, at) for at in drawn]
    assert all((part != IGNORE).any() for part in seen)
    assert any((part == 0).any() for part in seen)  # background is learned too
    nothing = np.full_like(mask, IGNORE)
    empty = windows([[0, 0]], sparse=True)
    assert len({empty(n, 0, nothing)[:2] for n in range(50)}) > 30


def test_classes_come_equally_often_where_the_images_allow_it():
    # background and class 1 are everywhere, 2 in half of the images, 3 in two fifths
    shows = np.array([[1, 1, k % 2, k % 5 < 2] for k in range(60)])
    chances = crops.class_chances(shows)
    assert (chances[shows == 0] == 0).all() and (chances[:, 0] == 0).all()
    np.testing.assert_allclose(chances.sum(1), 1)
    np.testing.assert_allclose(chances.sum(0)[1:], 20, rtol=1e-3)


def test_where_they_do_not_the_rare_class_comes_in_every_image_that_shows_it():
    shows = np.array([[1, 1, k == 0] for k in range(50)] + [[1, 0, 0]])
    chances = crops.class_chances(shows)
    assert chances[0, 2] > 0.99  # one image in fifty: as near to equal as it can be
    np.testing.assert_allclose(chances[:50].sum(1), 1)
    assert (chances[50] == 0).all()


@pytest.mark.parametrize(
    "label,mask,expected",
    [
        (0, [[IGNORE, 0]], 0),
        (1, [[0, 1]], 1),
        (1, [[0, 0]], 0),  # the foreground is in another window
        (1, [[0, IGNORE]], -1),  # nobody knows
        (1, [[1, IGNORE]], 1),
        (-1, [[0, 0]], -1),
    ],
)
def test_the_label_of_an_image_becomes_that_of_its_window(label, mask, expected):
    assert crops.image_label(label, np.array(mask, np.uint8)) == expected


# the stream

VIEW = pipeline.View((6, 5), "crop", "none", None, None)


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    return toy.split(tmp_path_factory.mktemp("toy"))


def order(*, epoch):
    return np.random.default_rng(epoch).permutation(40)[:24]


def stream(split, *, processes=1, workers=0, start=0, steps=6):
    """Every array of every global batch, processes side by side."""
    place = windows(split.pixels, share=0.5, size=VIEW.size)
    parts = [
        pipeline.train_batches(
            split,
            VIEW,
            order,
            epoch_size=24,
            batch_size=8,
            steps=steps,
            start=start,
            process=p,
            processes=processes,
            workers=workers,
            windows=place,
        )
        for p in range(processes)
    ]
    steps = [list(part) for part in parts]
    return {
        name: np.stack(
            [np.concatenate([b[name] for b in row]) for row in zip(*steps, strict=True)]
        )
        for name in ("image", "mask", "label", "index")
    }


@pytest.mark.parametrize("processes,workers,start", [(2, 0, 0), (1, 1, 0), (4, 0, 3)])
def test_any_number_of_processes_and_workers_cuts_the_same_windows(
    split, processes, workers, start
):
    whole = stream(split)
    other = stream(split, processes=processes, workers=workers, start=start)
    for name, value in other.items():
        np.testing.assert_array_equal(value, whole[name][start:])


def test_image_and_mask_are_cut_together_and_change_from_epoch_to_epoch(split):
    batch = stream(split, steps=12)
    mask, image = batch["mask"], batch["image"][..., 0].astype(int)
    assert mask.shape == (12, 8, 6, 5)
    own = np.array([int(split.ids[i][-3:]) for i in batch["index"].ravel()])
    expected = own.reshape(12, 8, 1, 1) + 100 * (mask == 1)
    np.testing.assert_array_equal(image, expected)
    positive = split.positive[batch["index"]]
    foreground = (mask == 1).any((2, 3))
    assert 0.5 < foreground[positive].mean() < 1 and not foreground[~positive].any()
    np.testing.assert_array_equal(batch["label"] > 0, foreground)
    place = functools.partial(windows(split.pixels, share=0.5), index=0)
    assert place(number=0, mask=mask[0, 0]) == place(number=0, mask=mask[0, 0])
