"""Some positives keep their masks, the others only a label: exactly, and nested."""

import dataclasses
import functools

import numpy as np
import pytest
from support import runs, toy

from jaxseg.data import crops, mask_share, pipeline, sparse_labels
from jaxseg.data.samplers import uniform
from jaxseg.data.supervision import mixed
from jaxseg.errors import ConfigError, DataError
from jaxseg.experiment import build
from jaxseg.types import IGNORE

VIEW = pipeline.View((20, 16), "stretch", "none", None, None)
BLOCK = {"name": "mixed", "masks": 1.0, "annotators": 1, "seed": 0, "paths": ()}


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    return toy.split(tmp_path_factory.mktemp("toy"))  # 10 positives of 40


def drawn(split, **changes):
    chosen = sparse_labels.options(BLOCK | changes, seed=0)
    return sparse_labels.draw(split, VIEW, chosen)


def kept(split, **changes):
    """Ids of the positives that keep their masks."""
    whole = drawn(split, **changes).whole
    return {split.ids[i] for i in np.flatnonzero(whole & split.positive)}


def test_shares_are_exact_and_nested_and_counts_are_counts(split):
    shares = (0.0, 0.1, 0.24, 0.25, 0.26, 0.5, 0.99, 1.0, 2, 7, 10)
    wanted = (0, 1, 2, 2, 3, 5, 10, 10, 2, 7, 10)
    sets = [kept(split, masks=float(share)) for share in shares]
    assert [len(one) for one in sets] == [*wanted]
    by_size = sorted(sets, key=len)
    for few, many in zip(by_size, by_size[1:], strict=False):
        assert few <= many
    assert kept(split, masks=0.5, seed=1) != sets[5] == kept(split, masks=0.5)


def test_an_image_more_moves_no_other(split):
    part = dataclasses.replace(
        split,
        ids=split.ids[:32],
        labels=split.labels[:32],
        pixels=split.pixels[:32],
        sizes=split.sizes[:32],
    )
    few = mixed._ordered(part, np.flatnonzero(part.positive), 0).tolist()
    all_of = mixed._ordered(split, np.flatnonzero(split.positive), 0).tolist()
    assert few == [i for i in all_of if i < 32] and few != sorted(few)


def _batches(split, labels, **more):
    order = functools.partial(uniform.order, split.present, seed=0, epochs=1, size=40)
    return pipeline.train_batches(
        split,
        VIEW,
        order,
        epoch_size=40,
        batch_size=8,
        steps=5,
        labels=labels,
        **more,
    )


def test_training_sees_masks_of_negatives_and_of_the_chosen_positives(split):
    labels = drawn(split, masks=0.3)
    met = 0
    for batch in _batches(split, labels):
        for i, mask, label in zip(
            batch["index"], batch["mask"], batch["label"], strict=True
        ):
            stored = split[i]["mask"]
            assert label == split.labels[i]
            if split.positive[i] and not labels.whole[i]:
                assert (mask == IGNORE).all()
                met += 1
            else:
                np.testing.assert_array_equal(mask, stored)
                assert (mask != IGNORE).any()
    assert met == 7


def test_without_a_mask_negatives_still_teach(split):
    labels = drawn(split, masks=0.0)
    pixels = sparse_labels.class_pixels(labels, 2)
    assert not pixels[split.positive].any() and not pixels[:, 1].any()
    np.testing.assert_array_equal(pixels[~split.positive, 0], 320)
    assert labels.any_pixel and labels.whole[~split.positive].all()


def test_a_window_of_a_positive_without_mask_has_no_label(split):
    labels = drawn(split, masks=0.3)
    view = dataclasses.replace(VIEW, size=(6, 6), fit="crop")
    windows = crops.Windows(
        size=(6, 6),
        seed=0,
        foreground_share=1.0,
        chances=crops.class_chances(sparse_labels.class_pixels(labels, 2)),
        sparse=False,
    )
    order = functools.partial(uniform.order, split.present, seed=0, epochs=1, size=40)
    batches = pipeline.train_batches(
        split,
        view,
        order,
        epoch_size=40,
        batch_size=8,
        steps=5,
        labels=labels,
        windows=windows,
    )
    of = {True: set(), False: set()}
    for batch in batches:
        for i, label in zip(batch["index"], batch["label"], strict=True):
            if split.positive[i]:
                of[bool(labels.whole[i])].add(int(label))
            else:
                assert label == 0
    assert of == {True: {1}, False: {-1}}


def test_labels_of_images_come_from_masks_where_none_is_stored(split):
    unknown = dataclasses.replace(split, labels=np.full(40, -1))
    np.testing.assert_array_equal(unknown.image_labels, split.labels)
    three = np.concatenate([split.pixels, 2 * split.pixels[:, 1:]], axis=1)
    first, second = np.flatnonzero(split.positive)[:2]
    negative = np.flatnonzero(~split.positive)[0]
    three[first, 2] = 0
    many = dataclasses.replace(unknown, pixels=three)
    assert many.image_labels[[first, second, negative]].tolist() == [1, 2, 0]
    half = split.pixels.copy()
    half[negative, 0] -= 5  # a negative that is not labelled wholly may be anything
    assert dataclasses.replace(unknown, pixels=half).image_labels[negative] == -1
    assert dataclasses.replace(split, pixels=half).image_labels[negative] == 0
    labels = sparse_labels.from_choice(many, np.zeros(40, bool), BLOCK)
    assert {*np.concatenate([b["label"] for b in _batches(many, labels)])} == {0, 1, 2}


def test_a_list_of_ids_and_the_choice_of_another_run(split, tmp_path):
    path = tmp_path / "segmented.txt"
    path.write_text("# three\ntrain008\n\ntrain001\ntrain000\r\n")
    listed = kept(split, paths=(str(path),))
    assert listed == {"train000", "train008"}  # train001 is a negative
    other = tmp_path / "supervision.npz"
    sparse_labels.store(other, drawn(split, masks=0.3))
    assert kept(split, paths=(str(other),)) == kept(split, masks=0.3)
    both = kept(split, paths=(str(path), str(other)))
    assert both == listed | kept(split, masks=0.3)
    deep = dataclasses.replace(split, ids=[f"train/{name}" for name in split.ids])
    assert kept(deep, paths=(str(path),)) == {"train/train000", "train/train008"}
    two = [f"{'ab'[i % 2]}/{i // 2}" for i in range(40)]
    with pytest.raises(DataError, match="names 3 images that are not in train"):
        kept(dataclasses.replace(split, ids=two), paths=(str(path),))


@pytest.mark.parametrize(
    "content, said",
    [
        ("trian000", "'trian000'; did you mean 'train000'"),
        ("train\n000", "names 2 images that are not in train, such as 'train', '000'"),
        ("# nothing", "names no image; write one id a line"),
        (b"\x80\x04\x95.\x00", "UTF-16, or no text"),  # as a pickle begins
    ],
)
def test_a_wrong_list_is_one_sentence(split, tmp_path, content, said):
    path = tmp_path / "list.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=said) as told:
        kept(split, paths=(str(path),))
    assert str(path) in str(told.value) and "\n" not in str(told.value)


def test_a_listed_positive_needs_a_mask(split, tmp_path):
    pixels = split.pixels.copy()
    pixels[split.ids.index("train000")] = 0  # a positive whose mask nobody drew
    bare = dataclasses.replace(split, pixels=pixels)
    path = tmp_path / "list.txt"
    path.write_text("train000")
    with pytest.raises(DataError, match="names 1 positives without a mask"):
        kept(bare, paths=(str(path),))
    assert len(kept(bare, masks=1.0)) == 9  # and no share counts it


@pytest.mark.parametrize(
    "masks, said",
    [
        (-0.1, "from 0 to 1, or a whole number"),
        (1.5, "from 0 to 1, or a whole number"),
        (11.0, "only 10 positive training images"),
    ],
)
def test_a_share_that_is_none(split, masks, said):
    with pytest.raises(ConfigError, match=said):
        drawn(split, masks=masks)


def test_a_share_beside_a_list_is_refused():
    with pytest.raises(ConfigError, match="set masks to 1.0, or paths to"):
        mask_share.check(0.5, ("list.txt",))


def test_labels_that_contradict_masks_are_named(split):
    labels = 1 + 0 * split.labels
    with pytest.raises(DataError, match="positive, but their masks are empty.*train"):
        drawn(dataclasses.replace(split, labels=labels))
    labels[:] = 0
    with pytest.raises(DataError, match="negative, but their masks have.*train0"):
        drawn(dataclasses.replace(split, labels=labels))


def test_the_artifact_comes_back_and_another_is_refused(split, tmp_path):
    labels, path = drawn(split, masks=0.3), tmp_path / sparse_labels.FILE
    sparse_labels.store(path, labels)
    sparse_labels.store(path, labels)
    back = sparse_labels.read(path)
    for name in ("whole", "image_labels", "counts", "sizes"):
        np.testing.assert_array_equal(getattr(back, name), getattr(labels, name))
    assert path.stat().st_size < 4000  # no pixel of the masks is written down
    with pytest.raises(DataError, match="other labelled pixels"):
        sparse_labels.store(path, drawn(split, masks=0.4))
    with pytest.raises(DataError, match="supervision.name=mixed"):
        drawn(split, name="stored", paths=(str(path),))
    single = tmp_path / "clicks.npz"
    clicks = BLOCK | {"positive": 1, "negative": 1, "strategy": "random"}
    chosen = sparse_labels.options(clicks | {"name": "clicks"}, seed=0)
    sparse_labels.store(single, sparse_labels.draw(split, VIEW, chosen))
    with pytest.raises(DataError, match="supervision.name=stored"):
        drawn(split, paths=(str(single),))


@pytest.mark.parametrize(
    "change, words",
    [
        (dict(whole=None), "half a choice"),
        (dict(counts=np.zeros((39, 2), np.int64)), "not one of 40 images"),
        (dict(counts=np.full((40, 2), -1)), "below 0"),
        (dict(size=(20, 16), sizes=None), "half a choice"),
    ],
)
def test_a_damaged_choice_is_refused(split, tmp_path, change, words):
    path = tmp_path / sparse_labels.FILE
    sparse_labels.store(path, drawn(split)._replace(**change))
    with pytest.raises(DataError, match=words):
        sparse_labels.read(path)


def test_the_budget_is_counted_in_masks(split):
    told = sparse_labels.describe(drawn(split, masks=0.3), split.classes)
    assert told["kinds"] == {
        "positives_with_mask": 3,
        "positives_with_label_only": 7,
        "negatives": 30,
        "without_label": 0,
    }
    assert told["labelled_pixels"] == sum(told["per_class"].values()) > 0
    assert told["share"] == pytest.approx(told["labelled_pixels"] / (40 * 320))
    assert told["per_image"]["min"] == 0


def _config(**changes):
    terms = {"loss.cross_entropy.weight": 1.0, "loss.cross_entropy.class_weights": None}
    return runs.config("pneumothorax", **runs.SMALL, **terms | changes)


def test_a_class_without_a_mask_needs_a_term_that_learns_from_images():
    mixed_of = {"supervision.name": "mixed", "supervision.masks": 0.0}
    with pytest.raises(
        ConfigError, match="show no pneumothorax, which .*cross_entropy"
    ):
        build.load(_config(**mixed_of), batch_size=4)
    told = build.load(
        _config(**mixed_of, **{"loss.image_label.weight": 1.0}), batch_size=4
    )
    kinds = build.describe(told)["supervision"]["kinds"]
    assert kinds["positives_with_mask"] == 0 < kinds["positives_with_label_only"]
    assert told.settings.augment_options["sparse"] is False  # masks are warped whole
    few = mixed_of | {"supervision.masks": 2.0}
    build.load(_config(**few), batch_size=4)

    def rare(masks):
        weighed = few | {"loss.cross_entropy.class_weights": "inverse"}
        config = _config(**weighed | {"supervision.masks": masks})
        losses = build.load(config, batch_size=4).settings.losses
        return losses["cross_entropy"][0].keywords["class_weights"][1]

    assert rare(2.0) > rare(1.0) > 1  # of the masks that are kept
