"""Phantom beads look as promised, and their tree is that of the microbead study."""

import cv2
import numpy as np
import pytest
import tifffile
from scipy import ndimage

from jaxseg.data.files import pixel_size
from jaxseg.data.phantoms import _beads_optics, beads, beads_tree
from jaxseg.data.preparation import strata
from jaxseg.errors import ConfigError, DataError

SEED = 3


@pytest.fixture(scope="module")
def sample():
    return [beads.draw(i, size=256, seed=SEED) for i in range(20)]


def test_a_picture_is_a_function_of_its_number_and_seed(sample):
    again = beads.draw(5, size=(256, 256), seed=SEED)
    assert again.image.dtype == np.uint8 and again.instances.dtype == np.uint16
    for one, other in zip(again, sample[5], strict=True):
        np.testing.assert_array_equal(one, other)
    for other in (sample[6], beads.draw(5, size=256, seed=4)):
        assert (again.image != other.image).mean() > 0.5
        assert (again.instances != other.instances).mean() > 0.1


def test_numbers_go_from_20_to_300_as_in_the_published_set(sample):
    counts = np.array([picture.instances.max() for picture in sample])
    for picture, count in zip(sample, counts, strict=True):
        present = np.unique(picture.instances)
        assert present.tolist() == [*range(count + 1)]  # none is hidden wholly
    assert 20 <= counts.min() < 25 and 240 < counts.max() <= 300
    assert counts.mean() == pytest.approx(109, abs=12)
    assert counts.std() == pytest.approx(81, abs=12)
    bins = strata.by_objects(counts, strata.OBJECT_BINS)
    assert np.bincount(bins, minlength=6)[3:].min() >= 2
    covered = np.mean([(picture.instances > 0).mean() for picture in sample])
    assert covered == pytest.approx(0.115, abs=0.025)


def test_beads_are_of_one_size_in_micrometres(sample):
    assert {picture.pixel_size for picture in sample} == {*beads.PIXEL_SIZES}
    for picture in sample:
        ids = picture.instances.copy()
        border = np.unique([ids[0], ids[-1], ids[:, 0], ids[:, -1]])
        areas = np.bincount(ids.ravel())
        whole = np.setdiff1d(np.arange(1, len(areas)), border)
        diameter = 2 * np.sqrt(np.median(areas[whole]) / np.pi) * picture.pixel_size
        assert diameter == pytest.approx(beads.DIAMETER, rel=0.05)


def test_beads_touch_and_lie_on_one_another(sample):
    counts = sum(int(picture.instances.max()) for picture in sample)
    parts = sum(ndimage.label(p.instances, np.ones((3, 3)))[1] for p in sample)
    assert 0.4 * counts < parts < 0.7 * counts
    hidden = []
    for picture in sample:
        areas = np.bincount(picture.instances.ravel())[1:]
        hidden += list(areas < 0.9 * np.median(areas))
    assert 0.05 < np.mean(hidden) < 0.35


def _best_threshold(image, mask):
    """The best Dice of any global threshold, from either side."""
    inside = np.bincount(image[mask], minlength=256).cumsum()
    everywhere = np.bincount(image.ravel(), minlength=256).cumsum()
    bead = np.count_nonzero(mask)
    below = 2 * inside / (everywhere + bead)
    above = 2 * (bead - inside) / (image.size - everywhere + bead)
    return max(below.max(), above.max())


def test_no_threshold_finds_the_beads(sample):
    image = np.stack([picture.image for picture in sample])
    mask = np.stack([picture.instances > 0 for picture in sample])
    assert 0.2 < _best_threshold(image, mask) < 0.45
    # nor one for each image
    each = [_best_threshold(i, m) for i, m in zip(image, mask, strict=True)]
    assert 0.25 < np.mean(each) < 0.6


def test_light_is_uneven_and_of_the_brightness_of_the_published_set(sample):
    means = [picture.image.mean() for picture in sample]
    assert np.mean(means) == pytest.approx(107, abs=10)
    assert 12 < np.std(means) < 26
    uneven, grain = [], []
    for picture in sample:
        value = picture.image.astype(np.float32)
        empty = cv2.dilate((picture.instances > 0).astype(np.uint8), np.ones((9, 9)))
        wide = ndimage.median_filter(value[::8, ::8], 7)
        uneven.append(np.ptp(wide) / value.mean())
        fine = value - cv2.GaussianBlur(value, (0, 0), 1.5)
        grain.append(fine[empty == 0].std())
    assert np.mean(uneven) > 0.3
    assert 1.5 < np.mean(grain) < 6 and min(grain) > 1
    assert max(np.mean(np.isin(p.image, (0, 255))) for p in sample) < 0.001


def test_focus_turns_the_middle_and_blurs_the_rim():
    r, radius = np.linspace(0, 2, 81)[None], 5.0
    below, sharp, above = (
        np.exp(_beads_optics.profile(r, radius, z, 0.8))[0] for z in (-1.0, 0.0, 1.0)
    )
    assert below[0] < 0.9 < 1.05 < sharp[0] < above[0]
    assert sharp.argmin() == np.abs(r[0] - 0.88).argmin()  # the rim, just inside
    assert sharp.min() < 0.6 and above.min() > sharp.min() + 0.1
    for light in (below, sharp, above):
        assert abs(light[-1] - 1) < 0.02  # far away nothing is changed
    beyond = r[0] > 1.2
    assert np.ptp(above[beyond]) > 2 * np.ptp(sharp[beyond])  # rings


def test_beads_show_through_one_another():
    one, other, both = np.zeros((3, 40, 40))
    _beads_optics.add(one, (18.0, 20.0), 5.0, 0.1, 0.8)
    _beads_optics.add(other, (24.0, 20.0), 5.0, 0.1, 0.8)
    for middle in ((18.0, 20.0), (24.0, 20.0)):
        _beads_optics.add(both, middle, 5.0, 0.1, 0.8)
    np.testing.assert_allclose(both, one + other)
    outside = np.zeros((40, 40))
    _beads_optics.add(outside, (-90.0, 20.0), 5.0, 0.1, 0.8)
    assert not outside.any()


def test_small_images_have_fewer_and_too_small_ones_are_refused():
    picture = beads.draw(5, size=(64, 48), seed=SEED)
    assert picture.image.shape == picture.instances.shape == (64, 48)
    most = max(beads.draw(i, size=(64, 48), seed=0).instances.max() for i in range(6))
    assert 8 < most < 25
    with pytest.raises(ConfigError, match="64x47 pixels cannot be drawn: .* 48"):
        beads.draw(0, size=(64, 47), seed=0)


def test_the_tree_holds_what_was_drawn_and_the_same_bytes_again(tmp_path):
    for name in ("a", "b"):
        beads_tree.write(tmp_path / name, images=5, size=64, seed=SEED)
    files = sorted(p.relative_to(tmp_path / "a") for p in tmp_path.glob("a/*/*"))
    assert len(files) == 15
    for file in files:
        path = tmp_path / "a" / file
        assert path.read_bytes() == (tmp_path / "b" / file).read_bytes()
        picture = beads.draw(int(file.stem), size=64, seed=SEED)
        values = {
            "images": picture.image,
            "masks": 255 * (picture.instances > 0),
            "instances": picture.instances,
        }
        np.testing.assert_array_equal(tifffile.imread(path), values[file.parts[0]])
        if file.parts[0] == "images":
            assert pixel_size.read(path) == pytest.approx(picture.pixel_size, rel=1e-5)


def test_a_tree_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    (tmp_path / "taken").mkdir()
    with pytest.raises(DataError, match="taken exists already"):
        beads_tree.write(tmp_path / "taken", images=5, size=64)
    for wrong in ({"images": 4}, {"images": 5, "seed": -1}):
        with pytest.raises(ConfigError, match="at least 5 images and a seed of 0"):
            beads_tree.write(tmp_path / "tree", size=64, **wrong)
    monkeypatch.setattr(beads, "draw", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        beads_tree.write(tmp_path / "tree", images=5, size=64)
    assert [p.name for p in tmp_path.iterdir()] == ["taken"]
