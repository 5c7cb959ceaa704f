"""What is said of a conformal threshold: its promise, what came of it, its refusal."""

import pytest

from jaxseg.report import page
from jaxseg.report.run import build, claims, conformal

RECORD = {
    "alpha": 0.1,
    "threshold": 0.31,
    "images": 12,
    "needed": 9,
    "source_split": "validation",
    "optimistic": False,
    "realised": 0.07,
    "realised_images": 13,
    "detail": "The highest threshold whose corrected mean is at most alpha.",
}


def _claims(run, record):
    run["splits"]["test"]["result"]["conformal"] = record
    return list(conformal.claims(run["splits"]["test"]))


@pytest.mark.parametrize(
    ("change", "answer", "words"),
    [
        ({}, "yes", "on the 13 images of test with foreground it was 7.0 %."),
        ({"realised": 0.1}, "yes", "it was 10.0 %."),
        ({"realised": 0.14}, "unclear", "14.0 %, MORE than promised, which so few"),
        ({"realised": 0.6}, "no", "60.0 %, MORE than promised and too much for chance"),
        ({"optimistic": True}, "unclear", "7.0 %, but OPTIMISTIC: these images chose"),
        ({"realised": None, "realised_images": 0}, "unclear", "so it was not tried"),
    ],
)
def test_the_answer_is_that_of_the_images(run, change, answer, words):
    (claim,) = _claims(run, RECORD | change)
    assert claim["answer"] == answer and words in claim["text"]
    start = "At threshold 0.310 at most 10 % of the foreground pixels of a new image "
    start += "are missed on average (conformal risk control on 12 validation images "
    assert claim["text"].startswith(start)
    assert claim in claims.claims(run)


def test_too_few_images_are_a_refusal(run):
    (claim,) = _claims(run, RECORD | {"threshold": None, "images": 6})
    assert claim["answer"] == "unclear"
    assert "No threshold can promise" in claim["text"]
    assert (
        "it rests on 6 validation images with foreground and needs 9" in claim["text"]
    )


def test_no_threshold_that_is_low_enough_is_a_refusal_too(run):
    (claim,) = _claims(run, RECORD | {"threshold": None})
    words = "even the lowest misses too much on 12 validation images with foreground ("
    assert claim["answer"] == "unclear" and words in claim["text"]


def test_images_of_one_patient_are_one_of_chance(run):
    (claim,) = _claims(run, RECORD | {"realised": 0.6})
    assert claim["answer"] == "no"
    for row in run["splits"]["test"]["images"]:
        row["group"] = "one patient"
    (claim,) = _claims(run, RECORD | {"realised": 0.6})
    assert claim["answer"] == "unclear" and "which so few images" in claim["text"]


@pytest.mark.parametrize("record", [None, "absent"])
def test_nothing_is_said_without_a_record(run, undrawn, record):
    before = page.render(build.content(run), "md")
    if record is None:
        assert _claims(run, None) == []
    assert page.render(build.content(run), "md") == before
    assert "onformal" not in before


def test_how_it_was_computed_stands_with_the_calibration(run, undrawn):
    _claims(run, RECORD)
    words = page.render(build.content(run), "md")
    _, section = words.split("## Calibration")
    assert "Conformal risk control. The highest threshold whose" in section
    assert "at most alpha.\n" in section


def test_chance_is_the_bound_of_hoeffding():
    # (0.1 / 0.5)^(0.5 n) (0.9 / 0.5)^(0.5 n) of n = 2 images
    assert conformal.chance(0.5, 2, 0.1) == pytest.approx(0.2 * 1.8)
    assert conformal.chance(1.0, 3, 0.1) == pytest.approx(0.001)
    assert conformal.chance(0.1, 3, 0.1) == 1.0
    assert conformal.chance(0.1, 3, 0.0) == 0.0
