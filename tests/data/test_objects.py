"""Object ids travel with the mask: scaled, cut and numbered anew in every batch."""

import numpy as np
import pytest
from test_prepared import _example, _finish

from jaxseg.data import crops, objects, pipeline, prepared, resize
from jaxseg.data.datasets import image_folder
from jaxseg.errors import ConfigError, DataError
from jaxseg.types import IGNORE


def test_components_of_a_mask_by_hand():
    mask = [[1, 0, 0, 2], [0, 1, 2, 2], [0, 0, IGNORE, 0], [1, 1, 0, 1]]
    ids = objects.components(np.array(mask, np.uint8))
    # corners touch; classes do not; unlabelled is no object
    assert ids.tolist() == [[1, 0, 0, 4], [0, 1, 4, 4], [0, 0, 0, 0], [2, 2, 0, 3]]
    assert ids.dtype == np.int32
    assert not objects.components(np.zeros((2, 3), np.uint8)).any()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.uint32])
@pytest.mark.parametrize("background", [0, 7])
def test_ids_are_numbered_anew_in_their_order(dtype, background):
    most = np.iinfo(dtype).max
    ids = np.array([[most, background, 7], [9, 7, most]], dtype)
    new = objects.relabelled(ids)
    assert new.dtype == np.int32
    assert new.tolist() == [[3, 1 if background else 0, 1], [2, 1, 3]]
    assert not objects.relabelled(ids * 0).any()


def examples(*, dtype=np.uint32):
    """Six images of 12 x 10: strips of ids far above 16 bits, two of them touch."""
    out = []
    for k in range(6):
        ids = np.zeros((12, 10), np.int64)
        ids[2:5, 1:4], ids[2:5, 4:8], ids[8:11, k : k + 3] = 70000 + k, 5, 2**31 + k
        mask = np.where(ids > 0, 1, 0).astype(np.uint8)
        image = (ids % 251).astype(np.uint8)[..., None]
        one = _example(f"e{k}", image=image) | {"mask": mask}
        out.append(one | ({"instances": ids.astype(dtype)} if dtype else {}))
    return out


@pytest.fixture(scope="module")
def with_ids(tmp_path_factory):
    directory = _finish(tmp_path_factory.mktemp("ids"), examples())
    return prepared.open_split(directory, "train")


@pytest.fixture(scope="module")
def masks_alone(tmp_path_factory):
    directory = _finish(tmp_path_factory.mktemp("masks"), examples(dtype=None))
    return prepared.open_split(directory, "train")


def view(fit, size):
    return pipeline.View(size, fit, "none", None, None)


def stream(split, fit="crop", size=(6, 5), **options):
    windows = None
    if fit == "crop":
        chances = crops.class_chances(split.pixels)
        windows = crops.Windows(size, 0, 0.5, chances, False)
    return list(
        pipeline.train_batches(
            split,
            view(fit, size),
            lambda *, epoch: np.arange(6),
            epoch_size=6,
            batch_size=6,
            steps=4,
            windows=windows,
            **options,
        )
    )


def partition(ids):
    """The objects as a set of sets of pixels."""
    return {
        frozenset(np.flatnonzero(ids.ravel() == k)) for k in np.unique(ids[ids > 0])
    }


@pytest.mark.parametrize(
    "fit,size",
    [("crop", (6, 5)), ("crop", (16, 16)), ("stretch", (7, 15)), ("pad", (9, 16))],
)
def test_a_batch_has_ids_that_lie_as_the_mask_does(with_ids, fit, size):
    plain, batches = (
        stream(with_ids, fit, size, instances=flag) for flag in (False, True)
    )
    several = 0
    for before, batch in zip(plain, batches, strict=True):
        assert set(batch) - set(before) == {"instances"}
        for name, value in before.items():  # nothing else is drawn otherwise
            assert value.dtype == batch[name].dtype
            np.testing.assert_array_equal(value, batch[name])
        ids = batch["instances"]
        assert ids.shape == batch["mask"].shape and ids.dtype == np.int32
        np.testing.assert_array_equal(ids > 0, batch["mask"] == 1)
        for one, image in zip(ids, batch["image"][..., 0], strict=True):
            assert sorted(np.unique(one[one > 0])) == [*range(1, one.max() + 1)]
            several = max(several, one.max())
            if fit == "crop":  # an image shows its ids modulo 251
                shown = {frozenset(image[one == k]) for k in range(1, one.max() + 1)}
                assert all(len(levels) == 1 for levels in shown)
                assert len(shown) == one.max()
    assert several == 3


def test_scaling_takes_the_id_under_the_same_pixel_as_the_class():
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 2**32, (23, 17), np.uint32) * rng.integers(0, 2, (23, 17))
    for size, mode in (((11, 30), "stretch"), ((40, 64), "pad")):
        image = np.zeros((23, 17, 1), np.uint8)
        _, mask = resize.fit(
            image, (ids % 200 * (ids > 0)).astype(np.uint8), size, mode
        )
        scaled = resize.fit_ids(ids, size, mode)
        np.testing.assert_array_equal(
            mask[mask != IGNORE], scaled[mask != IGNORE] % 200
        )
        assert not scaled[mask == IGNORE].any()


def test_components_stand_in_for_ids_and_that_is_said_once(masks_alone, caplog):
    batches = [stream(masks_alone, instances=True) for _ in range(2)][0]
    (line,) = caplog.messages
    assert "without object ids; objects are the connected components" in line
    assert "8-connectivity" in line and "touching objects count as one" in line
    assert max(batch["instances"].max() for batch in batches) == 2
    whole = view("crop", (6, 5))(masks_alone, 0, instances=True)["instances"]
    assert len(partition(whole)) == 2  # two of the three touch


def test_evaluation_has_them_too_and_padding_has_none(with_ids):
    shape = view("stretch", (12, 10))
    batches = list(pipeline.eval_batches(with_ids, shape, batch_size=4, instances=True))
    ids = np.concatenate([batch["instances"] for batch in batches])
    for k, one in enumerate(ids[:6]):
        assert partition(one) == partition(with_ids[k]["instances"])
    assert ids.shape == (8, 12, 10) and not ids[6:].any()


def test_sparse_labels_are_no_objects(with_ids):
    with pytest.raises(ConfigError, match="objects are learned from full masks"):
        stream(with_ids, instances=True, labels=object())


def test_ids_of_more_than_32_bits_are_refused(tmp_path):
    import tifffile

    for kind in ("images", "masks"):
        (tmp_path / "in" / kind).mkdir(parents=True)
        for k in range(3):
            array = np.full((4, 5), k, np.int64 if kind == "masks" else np.uint8)
            array[0, 0] = array[0, 0] if kind == "images" else 2**32 * (k == 1)
            tifffile.imwrite(tmp_path / "in" / kind / f"{k}.tif", array)
    with pytest.raises(DataError, match="holds 4294967296; ids of objects go to 429"):
        image_folder.prepare(
            tmp_path / "in", tmp_path, progress=False, mask_format="instances"
        )
