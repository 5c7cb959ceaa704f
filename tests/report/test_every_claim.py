"""Every tested sentence is seen to pass where it is true and not to where it is false.

The places that say one are read from the source of the report: one without a row fails.
"""

import ast
import collections
import copy
import pathlib
import shutil

import pytest
from support import fake_image_classes, fake_images
from support.false_comparisons import (
    FOLDS,
    PAIRS,
    STUDY,
    budgets,
    budgets_told,
    folds_of,
    folds_told,
    pair,
    told,
)
from support.false_sentences import CASES

from jaxseg import report
from jaxseg.report.read import read
from jaxseg.report.run import claims

OF_RUNS = [(case, copy.deepcopy, claims.claims) for case in CASES]
OF_PAIRS = [(case, pair, told) for case in PAIRS]
OF_FOLDS = [(case, folds_of, folds_told) for case in FOLDS]
OF_STUDIES = [(case, budgets, budgets_told) for case in STUDY]
EVERY = OF_RUNS + OF_PAIRS + OF_STUDIES + OF_FOLDS
_NEVER_PASSED = ("no", "unclear")


def _sentences(function):
    """How many calls in a function make a claim that may pass."""
    calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
    count = 0
    for call in calls:
        name = getattr(call.func, "id", getattr(call.func, "attr", ""))
        answers = [k.value for k in call.keywords if k.arg == "answer"]
        fixed = [getattr(value, "value", None) in _NEVER_PASSED for value in answers]
        count += name == "in_each" or (name == "Claim" and not any(fixed))
    return count


def _places():
    """{package.module.function: sentences that it may say} of the whole report."""
    places = {}
    for folder in ("run", "comparison"):
        root = pathlib.Path(report.__file__).parent / folder
        for path in sorted(root.glob("*.py")):
            for node in ast.parse(path.read_text()).body:
                if isinstance(node, ast.FunctionDef) and (count := _sentences(node)):
                    places[f"{folder}.{path.stem}.{node.name}"] = count
    del places["run.class_claims.in_each"]  # says what its callers tell it to
    return places


def test_every_place_that_says_a_sentence_has_its_rows():
    rows = collections.Counter(case.of for case, *_ in EVERY)
    places = _places()
    assert len(places) > 35
    lacking = {place: n for place, n in places.items() if rows[place] < n}
    assert not lacking, f"add a row to tests/support/false_sentences.py: {lacking}"
    assert not set(rows) - set(places)


@pytest.fixture(scope="module")
def kinds(binary, classes, beads, tmp_path_factory):
    """{kind: a run as read}. Do not change them."""
    heads = tmp_path_factory.mktemp("heads") / "run"
    shutil.copytree(binary, heads, ignore=shutil.ignore_patterns("report*", "figures"))
    fake_image_classes.add(fake_images.add(heads))
    roots = {"binary": binary, "classes": classes, "beads": beads, "heads": heads}
    return {kind: read(root) for kind, root in roots.items()} | {"": None}


def _telling(listed, words):
    return [claim for claim in listed if words in claim["text"]]


@pytest.mark.parametrize(
    ("case", "subject_of", "claims_of"),
    EVERY,
    ids=[f"{case.of}: {case.failed}" for case, *_ in EVERY],
)
def test_a_false_sentence_does_not_pass(kinds, case, subject_of, claims_of):
    subject = subject_of(kinds[case.kind])
    case.true(subject)
    before = _telling(claims_of(subject), case.passed)
    assert [claim["answer"] for claim in before] == ["yes"], before
    case.false(subject)
    after = claims_of(subject)
    passed = [c for c in _telling(after, case.passed) if c["answer"] == "yes"]
    assert not passed
    failed = _telling(after, case.failed)
    assert failed and all(claim["answer"] != "yes" for claim in failed)
