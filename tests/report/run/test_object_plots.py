"""The pictures of objects show the numbers of the result, image by image."""

import matplotlib.figure
import numpy as np
import pytest

from jaxseg.report import figures
from jaxseg.report.read import read
from jaxseg.report.run import object_plots


@pytest.fixture
def split(beads):
    """The split as read, fresh for every test to change."""
    return read(beads)["splits"]["test"]


def _axes(monkeypatch, draw):
    """The axes that the one plot of `draw` is drawn upon."""
    kept = []

    def plot(name, title, caption, draw, **_):
        axes = matplotlib.figure.Figure().add_subplot()
        draw(axes)
        kept.append((axes, caption))

    monkeypatch.setattr(figures, "plot", plot)
    draw()
    (one,) = kept
    return one


def test_counts_are_drawn_image_by_image(split, monkeypatch):
    axes, caption = _axes(monkeypatch, lambda: object_plots.counts(split))
    pairs = [(r["true_objects"], r["predicted_objects"]) for r in split["images"]]
    np.testing.assert_array_equal(axes.collections[0].get_offsets(), pairs)
    assert "30 images" in caption
    agreed = split["result"]["objects"]["agreement"]
    assert agreed["true_objects"] == sum(true for true, _ in pairs)


def test_agreement_is_drawn_with_its_three_lines_and_numbers(split, monkeypatch):
    agreed = split["result"]["objects"]["agreement"]
    draw = lambda: object_plots.agreement(split, agreed)  # noqa: E731
    axes, _ = _axes(monkeypatch, draw)
    true, other = np.array(
        [(r["true_objects"], r["predicted_objects"]) for r in split["images"]]
    ).T
    dots = axes.collections[0].get_offsets()
    np.testing.assert_array_equal(dots, np.stack([(true + other) / 2, other - true], 1))
    gaps = other - true  # of Bland and Altman: mean, and 1.96 standard deviations
    limits = gaps.mean() + 1.96 * gaps.std(ddof=1) * np.array([0, 1, -1])
    heights = [line.get_ydata()[0] for line in axes.lines]
    np.testing.assert_allclose(heights, [0, *limits], rtol=1e-12)
    shown = [t.get_text().replace("\u2212", "-") for t in axes.texts]
    names = ("bias", "bias + 1.96 sd", "bias - 1.96 sd")
    assert shown == [
        f"{name}: {at:+.2f}" for name, at in zip(names, limits, strict=True)
    ]


def test_labels_of_equal_counts_do_not_cover_each_other(split, monkeypatch):
    for row in split["images"]:
        row["predicted_objects"] = row["true_objects"]
    agreed = split["result"]["objects"]["agreement"] | {
        "bias": 0.0,
        "low": 0.0,
        "high": 0.0,
    }
    axes, _ = _axes(monkeypatch, lambda: object_plots.agreement(split, agreed))
    bias, high, low = (t.xy[1] for t in axes.texts)
    assert low < bias < high and axes.get_ylim()[0] <= low < high <= axes.get_ylim()[1]


def test_sizes_and_thresholds_are_those_of_the_result(split, monkeypatch):
    record = split["result"]["objects"]
    axes, caption = _axes(monkeypatch, lambda: object_plots.sizes(split, record))
    labelled = [p for p in axes.patches if p.get_label()]
    steps = {p.get_label().split()[0]: p.get_data() for p in labelled}
    for kind in ("true", "predicted"):
        assert steps[kind].values.tolist() == record["sizes"][kind]
        assert steps[kind].edges.tolist() == record["sizes"]["edges"]
    assert axes.get_xlabel() == "equivalent diameter, µm" and "Wasserstein" in caption
    record["by_threshold"]["f1"][-1] = None
    axes, _ = _axes(monkeypatch, lambda: object_plots.thresholds(split, record))
    f1, accuracy = (line.get_ydata() for line in axes.lines)
    assert list(f1) == record["by_threshold"]["f1"][:-1]
    assert list(accuracy) == record["by_threshold"]["accuracy"]
