"""Tables of several runs and of folds fit a page of 1280 pixels, and n/a is folded."""

import pytest
from support import browser, fake_run

from jaxseg.report import figures, page
from jaxseg.report.comparison import build, folds, group_runs
from jaxseg.report.read import read


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs of three classes on the same images."""
    root = tmp_path_factory.mktemp("fit")
    for name, noise in {"good": 0.7, "poor": 2.0}.items():
        fake_run.make(root / name, noise=noise, classes=3, epochs=2)
    return root


@pytest.fixture(scope="module")
def pooled(runs):
    """Folds as `eval/out_of_fold.json` has them, of the scores of one run."""
    result = read(runs / "good")["splits"]["test"]["result"]
    mean = [row for row in result["metrics"] if row["class"] == "mean"]
    amounts = {"images": 30, "groups": 30, "positive_images": 14}
    same = amounts | {"baselines": result["baselines"]}
    members = [
        {"name": f"fold{k}", "fold": k, "validation_fold": (k + 1) % 3, "step": 80}
        | {"total_steps": 80, "operating_point": None, "metrics": mean}
        | same
        for k in range(3)
    ]
    told = {"name": "folds", "recipe": "recipe", "dataset": "phantom", "seed": 0}
    told |= {"split": "folds", "split_hash": "0123", "rule": "by group", "folds": 3}
    told |= {"metric": "dice_pooled", "finished": "2026-01-02", "unlabelled": []}
    copied = ("pixels", "positive_pixels", "classes", "metrics", "class_table")
    return told | same | {key: result[key] for key in copied} | {"members": members}


def _titled(content, key):
    return next(s for s in content["sections"] if s["id"] == key)["blocks"]


def test_what_is_not_of_the_mean_is_folded_away(pooled):
    table, folded, _ = _titled(folds.content(pooled), "results")
    assert all(row[0]["sub"].endswith(", mean") for row in table["rows"])
    assert not any(cell["main"] == "n/a" for row in table["rows"] for cell in row[:3])
    (others,) = folded["blocks"]
    assert folded["kind"] == "folded"
    assert len(table["rows"]) + len(others["rows"]) == len(pooled["metrics"])
    names = {row[0]["sub"].split(", ")[1] for row in others["rows"]}
    assert names == {"background", "pneumothorax", "effusion"}


def test_the_one_other_fold_is_one(pooled):
    (words, _) = _titled(folds.content(pooled), "how")
    assert "trains on the one other: no image" in words["text"]


def test_no_table_needs_scrolling_to_the_side(runs, pooled, tmp_path, monkeypatch):
    if browser.path() is None:
        pytest.skip("chromium is not installed")

    def plot(name, title, caption, draw, **_):
        words = {"name": name, "alt": title, "caption": caption}
        return words | {"png": b"", "svg": '<svg class="plot"></svg>'}

    monkeypatch.setattr(figures, "plot", plot)
    units = group_runs.units([runs / "good", runs / "poor"])
    contents = {
        "folds": folds.content(pooled),
        "runs": build.content(units, output=tmp_path / "report"),
    }
    pages = {name: page.render(whole, "html") for name, whole in contents.items()}
    for name, measured in browser.measure(pages, tmp_path).items():
        wide = measured[browser.WIDE]
        assert wide["scrolls"] == [] and wide["wide"] <= browser.WIDE, (name, wide)
        assert measured[browser.NARROW]["wide"] <= browser.NARROW, name
