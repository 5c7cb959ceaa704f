"""The baseline that copies a training mask: nearest by look, exact, shared out."""

import numpy as np
import pytest
from support import scored

from jaxseg.devices import sharding
from jaxseg.evaluation import baselines, count, metric_table, nearest_image
from jaxseg.metrics import overlap


def _pictures(n, *, k=3, seed=0, size=(40, 36)):
    """A split of smooth random pictures with a mask that follows them."""
    rng = np.random.default_rng(seed)
    examples = []
    for i in range(n):
        coarse = rng.normal(size=(5, 4))
        rows = np.linspace(0, 5 - 1e-6, size[0]).astype(int)
        columns = np.linspace(0, 4 - 1e-6, size[1]).astype(int)
        image = coarse[rows][:, columns]
        mask = np.digitize(image, np.linspace(-0.5, 1, k - 1)).astype(np.uint8)
        grey = np.clip(120 + 40 * image, 0, 255).astype(np.uint8)[..., None]
        example = {"image": grey, "mask": mask, "id": f"p{i}", "group": f"p{i}"}
        examples.append(example | {"label": 1})
    return scored.Split(examples, ("background", "object", "other")[:k], name="train")


@pytest.mark.parametrize("k", [2, 3])
def test_the_mask_of_the_image_that_looks_alike_is_copied_and_scored(k):
    train = _pictures(9, k=k)
    order, rng = [4, 0, 7], np.random.default_rng(1)
    seen = []
    for i in order:  # larger, darker, noisy, and partly not labelled
        image = np.repeat(np.repeat(train[i]["image"], 2, 0), 3, 1).astype(np.int32)
        image = np.clip(image // 2 + rng.integers(0, 9, image.shape), 0, 255)
        mask = np.repeat(np.repeat(train[i]["mask"], 2, 0), 3, 1)
        mask[:5] = 255
        mask[40:50, 20:60] = k - 1
        seen.append(train[i] | {"image": image.astype(np.uint8), "mask": mask})
    split = scored.Split(seen, train.classes)
    training = nearest_image.read(train)
    nearest = [nearest_image.nearest(training, e["image"]) for e in split.examples]
    assert nearest == order
    found = nearest_image.confusion(training, split)
    for row, (i, example) in enumerate(zip(order, seen, strict=True)):
        copied = np.repeat(np.repeat(train[i]["mask"], 2, 0), 3, 1)
        matrix = np.zeros((k, k), int)
        for t, p in zip(example["mask"].flat, copied.flat, strict=True):
            if t != 255:
                matrix[t, p] += 1
        np.testing.assert_array_equal(found[row], matrix)


def test_ties_go_to_the_lower_index_and_flat_images_are_all_alike():
    train = _pictures(4)
    train.examples[3] = train.examples[1]
    training = nearest_image.read(train)
    assert nearest_image.nearest(training, train[3]["image"]) == 1
    flat = np.full((50, 20, 3), 7, np.uint8)
    assert not nearest_image.thumbnail(flat).any()
    deep = np.arange(64 * 64).reshape(64, 64, 1)
    small, large = (
        nearest_image.thumbnail((deep * f).astype(np.uint16)) for f in (1, 15)
    )
    np.testing.assert_array_equal(small, large)  # the scale of intensities is no look


def test_unlabelled_pixels_of_a_training_mask_are_copied_as_background():
    train = _pictures(2)
    mask = train[0]["mask"].copy()
    mask[:20] = 255
    train.examples[0] = train[0] | {"mask": mask}
    found = nearest_image.confusion(nearest_image.read(train), train)
    labelled = np.bincount(mask[mask != 255], minlength=3)
    np.testing.assert_array_equal(found[0], np.diag(labelled))


def test_every_process_gets_what_one_alone_would(monkeypatch):
    train, split = _pictures(7), _pictures(5, seed=3)
    alone = nearest_image.read(train)
    counted = nearest_image.confusion(alone, split)

    def shared(function):
        """The last process gets what each has gathered, in order of process."""
        sent = []
        monkeypatch.setattr(
            sharding, "gather", lambda arrays: sent.append(arrays) or sent
        )
        return [function(process=p, processes=3) for p in range(3)][-1]

    together = shared(lambda **share: nearest_image.read(train, **share))
    np.testing.assert_array_equal(together.thumbnails, alone.thumbnails)
    rows = shared(lambda **share: nearest_image.confusion(alone, split, **share))
    np.testing.assert_array_equal(rows, counted)


@pytest.mark.parametrize("k", [2, 3])
def test_it_is_the_last_row_of_the_baselines(k):
    train, (split, predictions) = _pictures(5, k=k), scored.make(9, k=k)
    tally = count.count_split(predictions, split, to_native=scored.keep)
    point = baselines.choose(tally, scored.VALIDATION)
    copied = nearest_image.confusion(nearest_image.read(train), split)
    rows = baselines.rows(tally, point, split, copied=copied)
    without = baselines.rows(tally, point, split)
    assert rows[:-1] == without and rows[-1]["name"] == "nearest_training_image"
    assert "32 x 32" in rows[-1]["detail"] and "training image" in rows[-1]["detail"]
    each = [
        overlap.value(
            "dice_pooled",
            overlap.split_counts(
                copied[:, c].sum(axis=1),
                copied[:, :, c].sum(axis=1),
                copied[:, c, c],
                copied.sum(axis=(1, 2)),
            ),
        )
        for c in range(1, k)
    ]
    assert rows[-1]["metrics"]["dice_pooled"] == overlap.mean_of_present(each)
    assert tuple(rows[-1]["metrics"]) == tuple(metric_table.summary(tally))
