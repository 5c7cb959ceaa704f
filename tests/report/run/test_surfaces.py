"""The section on surfaces and detection: there when the run has it, whole, and true."""

import pytest
from support import scored

from jaxseg.evaluation import surfaces
from jaxseg.report import text
from jaxseg.report.run import sections
from jaxseg.report.run import surfaces as run_surfaces
from jaxseg.report.text import number


@pytest.fixture(scope="module")
def found():
    """What evaluation writes of a small split."""
    split, predictions = scored.make(10)
    point = {"threshold": 0.7, "min_area": 0.0}
    options = {"point": point, "tolerance": 2.0, "to_native": scored.keep}
    measured = surfaces.measure(predictions, split, **options)
    return surfaces.assemble(measured, split, tolerance=2.0, resamples=30)


def _titles(run):
    return [section["title"] for section in sections.sections(run, [])]


def test_it_stands_only_where_the_run_has_it(run, undrawn, found):
    assert "Surfaces and detection" not in _titles(run)
    assert [b for b in run_surfaces.blocks(run) if b] == []
    run["splits"]["test"]["result"] |= found
    assert "Surfaces and detection" in _titles(run)


def test_every_row_shows_value_interval_support_and_policy(run, found):
    run["splits"]["test"]["result"] |= found
    surface, policies, froc = run_surfaces.blocks(run)
    assert surface["title"] == "Surfaces on test"
    for cells, row in zip(surface["rows"], found["surface"], strict=True):
        assert row["name"] in text.LABELS
        assert cells[0]["main"] == text.label(row["name"])
        assert f"`{row['name']}`, object" == cells[0]["sub"]
        assert cells[1]["main"] == number(row["value"])
        assert cells[1]["sub"] == f"{number(row['low'])} to {number(row['high'])}"
        assert cells[-1]["main"] == text.plural(row["support_images"], "image")
    stated = {c[0]["main"]: c[1]["main"] for c in policies["rows"]}
    assert stated == {f"`{r['name']}`": r["policy"] for r in found["surface"]}
    (cells,), (row,) = froc["rows"], found["froc"]["classes"]
    shown = [cell["main"] for cell in cells[1:8]]
    assert froc["heads"][1:8] == ["1/8", "1/4", "1/2", "1", "2", "4", "8"]
    assert shown == [number(value) for value in row["sensitivity"]]
    assert cells[8]["main"] == number(row["mean"])
    assert cells[9]["main"] == text.plural(row["support_components"], "object")


def test_an_absent_class_reads_so(run, found):
    undefined = dict.fromkeys(("value", "median", "low", "high"))
    absent = [row | undefined | {"support_images": 0} for row in found["surface"]]
    none = {"sensitivity": None, "mean": None, "low": None, "high": None}
    classes = [row | none for row in found["froc"]["classes"]]
    detection = found["froc"] | {"classes": classes}
    run["splits"]["test"]["result"] |= {"surface": absent, "froc": detection}
    surface, _, froc = run_surfaces.blocks(run)
    assert {c[1]["main"] for c in surface["rows"]} == {"n/a (support 0)"}
    assert [c["main"] for c in froc["rows"][0][1:9]] == ["n/a"] * 8
