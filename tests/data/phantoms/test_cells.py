"""Phantom cells look as promised, and their tree is the raw tree of the click study."""

import cv2
import numpy as np
import pytest
from scipy import ndimage

from jaxseg.data.phantoms import cells, phc_tree
from jaxseg.errors import ConfigError, DataError

SIZE, SEED = 128, 3


@pytest.fixture(scope="module")
def sample():
    pairs = [cells.draw(i, size=SIZE, seed=SEED) for i in range(64)]
    return np.stack([p[0] for p in pairs]), np.stack([p[1] for p in pairs])


def test_a_culture_is_a_function_of_its_number_and_seed(sample):
    image, mask = cells.draw(5, size=SIZE, seed=SEED)
    assert image.dtype == mask.dtype == np.uint8
    assert image.shape == mask.shape == (SIZE, SIZE)
    np.testing.assert_array_equal(image, sample[0][5])
    np.testing.assert_array_equal(mask, sample[1][5])
    for other in (
        cells.draw(6, size=SIZE, seed=SEED),
        cells.draw(5, size=SIZE, seed=4),
    ):
        assert (image != other[0]).mean() > 0.5
        assert (mask != other[1]).mean() > 0.1


def test_about_a_quarter_of_the_pixels_is_cell(sample):
    assert set(np.unique(sample[1])) == {0, 1}
    share = sample[1].mean((1, 2))
    assert share.mean() == pytest.approx(0.27, abs=0.02)
    assert 0.1 < share.min() < 0.2 and 0.34 < share.max() < 0.5


@pytest.mark.parametrize("size", [32, 100, 256])
def test_any_size_shows_the_same_field_of_view(size):
    pairs = [cells.draw(i, size=size, seed=SEED) for i in range(6)]
    image, mask = (np.stack([p[k] for p in pairs]) for k in range(2))
    assert image.shape == mask.shape == (6, size, size)
    assert 0.2 < mask.mean() < 0.35
    assert np.ptp(image, (1, 2)).min() > 60


def _best_threshold(image, mask):
    """The best Dice of any global threshold, from either side."""
    inside = np.bincount(image[mask > 0], minlength=256).cumsum()
    everywhere = np.bincount(image.ravel(), minlength=256).cumsum()
    cell = np.count_nonzero(mask)
    below = 2 * inside / (everywhere + cell)
    above = 2 * (cell - inside) / (image.size - everywhere + cell)
    return max(below.max(), above.max())


def test_no_threshold_finds_the_cells(sample):
    assert 0.45 < _best_threshold(*sample) < 0.7
    # nor after a correction of the uneven light
    wide = np.stack([cv2.GaussianBlur(i, (0, 0), SIZE / 4) for i in sample[0]])
    flat = np.clip(sample[0] - wide.astype(float) + 128, 0, 255).astype(np.uint8)
    assert _best_threshold(flat, sample[1]) < 0.75


def test_cells_have_halos_texture_and_both_contrasts(sample):
    """Each figure falls out of its range without the part of the drawing it names."""
    halo, ruffle, debris, bright, dark = [], [], [], 0, 0
    for image, mask in zip(*sample, strict=True):
        away = cv2.distanceTransform(1 - mask, cv2.DIST_L2, 5)
        deep = cv2.distanceTransform(mask, cv2.DIST_L2, 5) > 3
        value = image.astype(np.float32)
        empty = np.median(value[away > 8])
        halo.append(np.median(value[(away > 1) & (away < 3)]) / empty)
        fine = np.abs(value - cv2.GaussianBlur(value, (0, 0), 2.0))
        ruffle.append(np.median(fine[deep]) / np.median(fine[away > 8]))
        dots = np.abs(value - cv2.medianBlur(image, 9)) > 35
        debris.append(ndimage.label(dots & (away > 5))[1])
        bright += np.count_nonzero(value[mask > 0] > 1.6 * empty)
        dark += np.count_nonzero(value[mask > 0] < 0.7 * empty)
    assert np.mean(halo) > 1.2
    assert np.mean(ruffle) > 3.2
    assert np.mean(debris) > 3
    assert bright > 0.018 * sample[1].sum()
    assert 0.25 < dark / sample[1].sum() < 0.45  # most of a cell is nearly background


def test_the_phase_ring_sees_differences_only():
    for delay in (0.0, 0.4, 2.5):  # the same everywhere is a change of focus, no image
        even = np.full((64, 64), delay, np.float32)
        seen = cells._optics(np.random.default_rng(0), even, 1.0)
        np.testing.assert_allclose(seen, 1, atol=1e-5)
    even[31:34, 31:34] += 0.3
    seen = cells._optics(np.random.default_rng(0), even, 1.0)
    assert seen[32, 32] < 0.6 and seen.max() > 1.01


def test_cells_come_in_many_sizes_and_touch(sample):
    areas = []
    for mask in sample[1]:
        areas += np.bincount(ndimage.label(mask)[0].ravel())[1:].tolist()
    small, large = np.quantile(areas, [0.1, 0.9])
    assert large > 8 * small  # clusters are one part


def test_a_size_too_small_is_refused():
    with pytest.raises(ConfigError, match="at least 32"):
        cells.draw(0, size=31, seed=0)


def test_the_tree_holds_what_was_drawn_and_the_same_bytes_again(tmp_path):
    for name in ("a", "b"):
        phc_tree.write(tmp_path / "new" / name, images=8, size=40, seed=SEED)
    root = tmp_path / "new" / "a"
    files = sorted(p.relative_to(root) for p in root.rglob("*.*"))
    assert len(files) == 16
    for file in files:
        assert (root / file).read_bytes() == (tmp_path / "new/b" / file).read_bytes()
        image, mask = cells.draw(int(file.stem), size=40, seed=SEED)
        stored = cv2.imread(str(root / file), cv2.IMREAD_UNCHANGED)
        assert file.parts[0] == ("test" if int(file.stem) % 4 == 3 else "train")
        if file.parts[1] == "labels":
            assert file.suffix == ".png"
            np.testing.assert_array_equal(stored, 255 * mask)
        else:
            assert file.suffix == ".jpg" and stored.dtype == np.uint8
            assert np.abs(stored.astype(int) - image).mean() < 3


def test_a_tree_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    (tmp_path / "taken").mkdir()
    with pytest.raises(DataError, match="taken exists already"):
        phc_tree.write(tmp_path / "taken", images=4, size=40)
    for wrong in ({"images": 3}, {"images": 4, "seed": -1}):
        with pytest.raises(ConfigError, match="at least 4 images and a seed of 0"):
            phc_tree.write(tmp_path / "tree", size=40, **wrong)
    monkeypatch.setattr(cells, "draw", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        phc_tree.write(tmp_path / "tree", images=4, size=40)
    assert [p.name for p in tmp_path.iterdir()] == ["taken"]
