"""Calibration in the report: shown where it was scored, with its numbers."""

import copy
import re

import numpy as np
import pytest
from support import scored

from jaxseg.evaluation import count, temperature
from jaxseg.report import page
from jaxseg.report.run import build, calibration


@pytest.fixture(scope="module")
def tally():
    split, predictions = scored.make(12, seed=1)
    return count.count_split(predictions, split, to_native=scored.keep)


@pytest.fixture
def block(tally):
    fitted = temperature.fit(tally, scored.VALIDATION)
    return temperature.assemble(tally, fitted, scored.TEST)


def _pages(run):
    content = build.content(run)
    return [page.render(content, form) for form in ("md", "html")]


def _split(run, block, name="test"):
    run["splits"][name]["result"]["calibration"] = block
    return run["splits"][name]


def test_it_is_shown_only_where_it_was_scored(run, undrawn, block):
    for text in _pages(run):
        assert "reliability" not in text and "Temperature" not in text
    _split(run, block)
    markdown, html = _pages(run)
    assert "## Calibration" in markdown and 'href="#calibration"' in html
    assert markdown.count("](figures/reliability.png)") == 1
    assert "](figures/image_reliability.png)" in markdown
    pixel, after = block["pixel"], block["after_temperature"]["pixel"]
    for level in (pixel, after):
        for name in ("ece", "brier", "nll"):
            bound = f"{level[f'{name}_error_bound']:.2g}"
            assert f"| {level[name]:.4g} (± {bound}) |" in markdown, name
    assert f"{pixel['support']:,} pixels" in markdown
    assert "15 rows of equal width" in markdown
    assert "| test | " in markdown and "(optimistic) | " not in markdown


@pytest.mark.parametrize("lacking", ["temperature", "positives", "everything", "k > 2"])
def test_what_a_run_does_not_have_is_not_guessed(run, undrawn, tally, lacking):
    block = None
    if lacking == "temperature":
        block = temperature.assemble(tally, None, scored.TEST)
    elif lacking != "k > 2":
        split, predictions = scored.make(1)
        if lacking == "everything":
            split[0]["mask"][:] = 255
        empty = count.count_split(predictions, split, to_native=scored.keep)
        fitted = temperature.fit(empty, scored.VALIDATION)
        block = temperature.assemble(empty, fitted, scored.TEST)
    _split(run, block)
    markdown, _ = _pages(run)
    section = re.search(r"## Calibration.*?(?=\n## )", markdown, re.DOTALL)
    if lacking == "k > 2":
        assert section is None
        return
    assert not re.search(r"\b(None|nan|inf)\b", section[0])
    assert ("n/a" in section[0]) == (lacking != "temperature")
    assert ("| 0 pixels (0 of foreground)" in section[0]) == (lacking == "everything")
    assert ("Temperature" in section[0]) == (lacking != "temperature")


def test_claims_turn_when_their_numbers_turn(run, block):
    first, second = calibration.claims(_split(run, block))
    assert (first["answer"], second["answer"]) == ("no", "yes")
    assert "do NOT say more" in first["text"]
    pixel, after = block["pixel"], block["after_temperature"]["pixel"]
    assert f"NLL {pixel['nll']:.4g} (±" in first["text"]
    assert f"becomes {after['nll']:.4g} (±" in second["text"]
    for change, answer, words in [
        (-1e-9, "unclear", "may lower"),
        (0.1, "no", "does NOT lower"),
    ]:
        turned = copy.deepcopy(block)
        turned["after_temperature"]["pixel"]["nll"] = pixel["nll"] + change
        claim = list(calibration.claims(_split(run, turned)))[1]
        assert claim["answer"] == answer and words in claim["text"]
    turned = copy.deepcopy(block)
    turned["pixel"]["of_prevalence"]["nll"] = pixel["nll"] * 2
    claim = next(calibration.claims(_split(run, turned)))
    assert claim["answer"] == "yes" and "say more than" in claim["text"]


def test_on_the_images_it_was_fitted_on_nothing_is_proven(run, undrawn, tally):
    fitted = temperature.fit(tally, scored.VALIDATION)
    itself = temperature.assemble(tally, fitted, scored.VALIDATION)
    split = _split(run, itself, "validation")
    assert list(calibration.claims(split))[1]["answer"] == "unclear"
    assert "| validation (optimistic) |" in _pages(run)[0]


def test_diagrams_are_drawn_from_the_rows(run, block):
    pictures = calibration.blocks([_split(run, block)])[-1]
    names = [p["name"] for p in pictures["pictures"]]
    assert names == ["reliability", "image_reliability"]
    for picture in pictures["pictures"]:
        assert (
            picture["png"].startswith(b"\x89PNG")
            and "var(--series-1)" in picture["svg"]
        )
    counts = [row["count"] for row in block["pixel"]["rows"] if row["count"]]
    caption = pictures["pictures"][0]["caption"]
    assert f"{min(counts):,} to {max(counts):,} as predicted" in caption


def test_wilson_interval_of_published_shares():
    """Newcombe 1998, Statistics in Medicine 17, table I, method 3."""
    share, n = np.array([81 / 263, 15 / 148, 0.0, 1 / 29]), np.array([263, 148, 20, 29])
    low, high = calibration._wilson(share, n)
    np.testing.assert_allclose(low, [0.2553, 0.0624, 0.0, 0.0061], atol=6e-5)
    np.testing.assert_allclose(high, [0.3662, 0.1605, 0.1611, 0.1718], atol=6e-5)
