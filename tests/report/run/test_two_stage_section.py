"""What a report says of two stages: its tables, and a claim that can fail."""

import json

import numpy as np
import pytest
from support import fake_run

from jaxseg.evaluation import two_stage as scoring
from jaxseg.report import page
from jaxseg.report.read import read
from jaxseg.report.run import build, two_stage

TRUTH = np.array([1, 1, 0, 0], np.int8)


def block(probability, **changes):
    segmented = {"tp": [8, 6, 0, 0], "fp": [1, 0, 50, 30], "fn": [2, 4, 0, 0]}
    emptied = {"tp": [0] * 4, "fp": [0] * 4, "fn": [10, 10, 0, 0]}
    pair = [
        {k: np.array(v, np.int64) for k, v in one.items()}
        | {"tn": np.full(4, 40, np.int64)}
        for one in (segmented, emptied)
    ]
    frozen = {"threshold": 0.5, "objective": "dice_pooled", "value": 0.8}
    frozen |= {"image_class": "covid19", "pixel_class": "infection"}
    frozen |= {"source_split": "validation", "split_hash": "x"}
    record = scoring.assemble(
        np.array(probability),
        TRUTH,
        *pair,
        ["a", "b", "c", "d"],
        frozen,
        compute={"classify": 1e6, "segment": 4e6},
        resamples=100,
    )
    return record | changes


@pytest.fixture
def run(tmp_path, undrawn):
    root = fake_run.make(tmp_path / "x", epochs=4)

    def make(record):
        path = root / "eval" / "test.json"
        path.write_text(
            json.dumps(json.loads(path.read_text()) | {"two_stage": record})
        )
        return read(root)

    return make


def test_the_page_shows_ways_flow_and_compute(run):
    content = build.content(run(block([0.9, 0.2, 0.6, 0.1])))
    words = page.render(content, "md")
    assert "## Classify, then segment" in words
    assert "| Those that the first stage calls for" in words
    assert "| truly covid19 | 1 | 1 |" in words
    assert "| of another class | 1 | 1 |" in words and "of unknown class" not in words
    assert "50% of the images are segmented" in words
    assert "compute 0.750 times what segmenting" in words
    assert "probability of covid19 of 0.500 on, which validation chose" in words


@pytest.mark.parametrize(
    "value,p,answer,words",
    [
        (0.1, 0.01, "yes", "is better than segmenting every image"),
        (-0.1, 0.01, "no", "is WORSE than segmenting every image"),
        (0.1, 0.2, "unclear", "are NOT told apart"),
        (0.1, None, "unclear", "are NOT told apart"),
    ],
)
def test_the_claim_turns_with_the_numbers(run, value, p, answer, words):
    gain = [{"name": "dice_pooled", "value": value, "low": -0.2, "high": 0.2, "p": p}]
    record = block([0.9, 0.2, 0.6, 0.1], gain=gain)
    (claim,) = two_stage.claims(run(record)["splits"]["test"])
    assert claim["answer"] == answer and words in claim["text"]


def test_a_run_of_one_stage_says_nothing_of_two(tmp_path, undrawn):
    alone = read(fake_run.make(tmp_path / "x", epochs=4))
    assert two_stage.blocks(alone) == []
    assert [*two_stage.claims(alone["splits"]["test"])] == []
