"""Surface metrics: by hand, by brute force, against MONAI, on every degenerate pair."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, spatial

from jaxseg.evaluation import surfaces
from jaxseg.metrics import surface_distance

CLASSES, GROUPS = ["cell"], [f"patient{i // 2}" for i in range(6)]


def _measure(truth, predicted, tolerance=2.0):
    row = surface_distance.measure(truth, predicted, tolerance=tolerance)
    return dict(zip(surface_distance.FIELDS, row.tolist(), strict=True))


def _brute(truth, predicted, tolerance):
    """The written definitions, with every pair of pixels."""
    cross = ndimage.generate_binary_structure(2, 1)
    edges = [m & ~ndimage.binary_erosion(m, cross) for m in (truth, predicted)]
    points = [np.argwhere(e) for e in edges]
    between = np.sqrt(((points[0][:, None] - points[1][None]) ** 2).sum(axis=2))
    both = between.min(axis=1), between.min(axis=0)
    pooled = np.concatenate(both)
    band = max(1, round(0.02 * math.hypot(*truth.shape)))
    inner = [
        ndimage.binary_erosion(m, np.ones((3, 3)), iterations=band)
        for m in (truth, predicted)
    ]
    ours, theirs = truth & ~inner[0], predicted & ~inner[1]
    near = [
        (ndimage.distance_transform_edt(~other) <= tolerance) & mask
        for mask, other in ((predicted, truth), (truth, predicted))
    ]
    return {
        "hd95": max(np.percentile(d, 95) for d in both),
        "hd": pooled.max(),
        "assd": pooled.mean(),
        "nsd": (pooled <= tolerance).mean(),
        "boundary_iou": (ours & theirs).sum() / (ours | theirs).sum(),
        "predicted_near": near[0].sum(),
        "predicted": predicted.sum(),
        "truth_near": near[1].sum(),
        "truth": truth.sum(),
    }


def _noise(seed, shape=(40, 56)):
    """A random mask of smooth blobs, not empty."""
    rng = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(rng.normal(size=shape), rng.uniform(0.3, 4))
    return field >= np.quantile(field, rng.uniform(0.4, 0.995))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 1.0, 1.5, 2.0, 6.0, 7.5]))
def test_against_every_pair_of_pixels(seed, tolerance):
    truth, predicted = _noise(seed), _noise(seed + 1)
    found = _measure(truth, predicted, tolerance)
    wanted = _brute(truth, predicted, tolerance)
    assert found == pytest.approx(wanted, rel=1e-12, abs=1e-12)


def _disc(row, column, radius, shape=(48, 64)):
    y, x = np.indices(shape)
    return (y - row) ** 2 + (x - column) ** 2 <= radius**2


PAIRS = {
    "apart": (_disc(14, 15, 6), _disc(30, 44, 9)),
    "overlap": (_disc(20, 30, 12), _disc(22, 33, 10)),
    "frame": (_disc(3, 2, 9), _disc(5, 4, 9)),
    "one pixel": (_disc(20, 20, 0), _disc(22, 25, 7)),
    "two objects": (_disc(12, 12, 5) | _disc(36, 50, 4), _disc(13, 12, 5)),
    "hole": (_disc(24, 32, 15) & ~_disc(24, 32, 8), _disc(24, 32, 14)),
    "row": (_disc(0, 20, 4, (1, 64)), _disc(0, 25, 6, (1, 64))),
}
# HD95, HD, ASSD and surface Dice at 2 pixels of MONAI 1.6.1, which returns float32:
# compute_hausdorff_distance(percentile=95), compute_average_surface_distance
# (symmetric=True), compute_surface_dice, all with include_background=True
MONAI = {
    "apart": (35.68380355834961, 36.2353401184082, 26.557748794555664, 0.0),
    "overlap": (
        5.084166526794434,
        5.385164737701416,
        2.461223840713501,
        0.508333325386,
    ),
    "frame": (2.82842707633972, 2.82842707633972, 0.9263300895690918, 0.831325292587),
    "one pixel": (
        11.799285888671875,
        12.165525436401367,
        7.45568990707,
        0.135135129094,
    ),
    "two objects": (42.658447265625, 43.046485900878906, 10.9275798797, 0.736842095851),
    "hole": (5.385164737701416, 5.385164737701416, 1.96882164478302, 0.769230782985),
    "row": (6.399999618530273, 7.0, 1.545454502105713, 0.7272727489471436),
}


@pytest.mark.parametrize("name", PAIRS)
def test_distances_are_those_of_monai(name):
    found = _measure(*PAIRS[name])
    ours = [found[key] for key in ("hd95", "hd", "assd", "nsd")]
    assert ours == pytest.approx(MONAI[name], rel=1e-6)
    assert found == pytest.approx(_brute(*PAIRS[name], 2.0), rel=1e-12)


def test_every_way_to_the_nearest_border_gives_the_same_bits():
    """Thin, dense, and dense but far: a tree, OpenCV's transform, and SciPy's."""
    rng = np.random.default_rng(0)
    far = np.ones((2, 2, 1500), bool)
    far[1, :, 1:] = far[1, 1] = False  # where OpenCV is wrong by one
    dense = rng.random((2, 60, 80)) < 0.2
    ways = []
    for a, b in [
        *(map(surface_distance.border, pair) for pair in PAIRS.values()),
        dense,
        far,
    ]:
        found = surface_distance.nearest(a, b)
        tree = spatial.cKDTree(np.argwhere(b)).query(np.argwhere(a))[0]
        transform = ndimage.distance_transform_edt(~b)[a]
        assert found.tobytes() == tree.tobytes() == transform.tobytes()
        ways.append((20 * (a.sum() + b.sum()) >= a.size, found.max() > 256))
    assert {(False, False), (True, False), (True, True)} <= set(ways)


def test_the_frame_counts_as_outside():
    full = np.ones((5, 7), bool)
    edge = surface_distance.border(full)
    assert edge.sum() == 2 * (5 + 7) - 4 and not edge[1:-1, 1:-1].any()


@pytest.mark.parametrize("shape", [(30, 40), (1, 50), (50, 1), (1, 1)])
def test_degenerate_pairs(shape):
    empty, full = np.zeros(shape, bool), np.ones(shape, bool)
    pixel = empty.copy()
    pixel[-1, 0] = True
    diagonal, size = math.hypot(*shape), full.size
    nothing = _measure(empty, empty)
    assert all(math.isnan(nothing[k]) for k in surface_distance.FIELDS[:5])
    assert [nothing[k] for k in surface_distance.FIELDS[5:]] == [0, 0, 0, 0]
    for mask in (full, pixel):
        for pair in ((empty, mask), (mask, empty)):
            found = list(_measure(*pair).values())
            assert found[:5] == [diagonal] * 3 + [0, 0]
            right = [0, pair[1].sum(), 0, pair[0].sum()]
            assert found[5:] == right
        same = list(_measure(mask, mask).values())
        assert same == [0, 0, 0, 1, 1] + [mask.sum()] * 4
    away = _measure(pixel, full)
    assert away == pytest.approx(_brute(pixel, full, 2.0))
    assert away["hd"] < diagonal and away["predicted"] == size


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(-9, 9), st.integers(-9, 9))
def test_symmetry_and_translation(seed, down, right):
    """Moved in a frame it does not touch; turned; truth and prediction swapped."""
    a, b = np.zeros((2, 64, 80), bool)
    a[10:50, 12:68], b[10:50, 12:68] = _noise(seed), _noise(seed + 7)
    found = surface_distance.measure(a, b, tolerance=2.0)
    moved = [np.roll(m, (down, right), (0, 1)) for m in (a, b)]
    np.testing.assert_array_equal(
        surface_distance.measure(*moved, tolerance=2.0), found
    )
    turned = surface_distance.measure(a.T, b.T, tolerance=2.0)
    np.testing.assert_allclose(turned, found, rtol=1e-12)
    back = surface_distance.measure(b, a, tolerance=2.0)
    np.testing.assert_allclose(back[:5], found[:5], rtol=1e-12)
    np.testing.assert_array_equal(back[5:], found[[7, 8, 5, 6]])


def _rows(pairs, **options):
    measured = np.stack([surface_distance.measure(*p, tolerance=2.0) for p in pairs])[
        :, None
    ]
    options = {"tolerance": 2.0, "resamples": 200} | options
    rows = surfaces.rows(measured, CLASSES, GROUPS[: len(pairs)], **options)
    return {row["name"]: row for row in rows}, measured[:, 0]


def test_a_missed_object_costs_the_diagonal_and_empty_pairs_are_left_out():
    a, b = PAIRS["overlap"]
    empty = np.zeros_like(a)
    rows, measured = _rows([(a, b), (a, empty), (empty, b), (empty, empty), (a, a)])
    hd95 = rows["hd95_image_skip_empty"]
    values = [measured[0, 0], 80.0, 80.0, 0.0]  # the diagonal of 48 x 64 is 80
    assert hd95["value"] == pytest.approx(sum(values) / 4)
    assert hd95["median"] == pytest.approx((measured[0, 0] + 80) / 2)
    assert (hd95["support_images"], hd95["missed"], hd95["invented"]) == (4, 1, 1)
    assert 0 <= hd95["low"] <= hd95["value"] <= hd95["high"] <= 80
    assert "diagonal of the image" in hd95["policy"]
    nsd = rows["nsd_image_skip_empty"]
    assert nsd["value"] == pytest.approx((measured[0, 3] + 1) / 4)
    assert "within 2 px" in nsd["policy"] and "counts 0" in nsd["policy"]
    tolerant = rows["f1_tolerant_image_skip_empty"]
    p, r = measured[0, 5] / measured[0, 6], measured[0, 7] / measured[0, 8]
    assert tolerant["value"] == pytest.approx((2 * p * r / (p + r) + 1) / 4)
    precise, predicted, found, truth = measured[:, 5:].sum(axis=0)
    pooled = rows["f1_tolerant_pooled"]
    p, r = precise / predicted, found / truth
    assert rows["precision_tolerant_pooled"]["value"] == pytest.approx(p)
    assert rows["recall_tolerant_pooled"]["value"] == pytest.approx(r)
    assert pooled["value"] == pytest.approx(2 * p * r / (p + r))
    assert pooled["median"] is None and pooled["support_images"] == 3
    assert tuple(rows) == surfaces.METRICS


def test_an_absent_class_is_undefined_and_one_group_has_no_interval():
    a, b = PAIRS["overlap"]
    empty = np.zeros_like(a)
    for pairs in ([(empty, empty)] * 3, [(empty, b)] * 3):
        for row in _rows(pairs)[0].values():
            undefined = [row[k] for k in ("value", "median", "low", "high")]
            assert undefined == [None] * 4 and row["support_images"] == 0
            assert row["invented"] == 3 * bool(pairs[0][1].any())
    rows, _ = _rows([(a, b), (a, a)])
    row = rows["assd_image_skip_empty"]
    assert row["value"] > 0 and row["low"] is row["high"] is None
    missed, _ = _rows([(a, empty)] * 4)
    pooled = missed["f1_tolerant_pooled"]
    assert pooled["value"] == 0 and pooled["support_images"] == 4
    assert missed["precision_tolerant_pooled"]["value"] is None
    assert missed["precision_tolerant_image_skip_empty"]["value"] == 0
