"""Runs that come after one another, told in order with what changed and what it did."""

import hashlib
import json
import shutil

import pytest
from support import fake_image_classes as fake
from support import fake_run

from jaxseg.report.comparison import build, group_runs, iterations, paired_tests

METRIC = "dice_pooled"


def _edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def _after(root, name, parent, day, note="", **config):
    """Makes a run the child of another, or the first of all."""
    _edit(root / f"{name}/config.json", **config)
    link = None
    if parent:
        content = (root / f"{parent}/config.json").read_bytes()
        before = json.loads((root / f"{parent}/run.json").read_text())
        link = {
            "name": parent,
            "created": before["created"],
            "config_sha256": hashlib.sha256(content).hexdigest(),
        }
    created = f"2026-01-{day:02d}T00:00:00+00:00"
    _edit(root / f"{name}/run.json", created=created, note=note, parent=link)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """first -> worse -> back, and aside, a second child of first; of four classes."""
    root = tmp_path_factory.mktemp("chain")
    noise = {"first": 0.7, "worse": 3.0, "back": 0.7, "aside": 0.75}
    for name, level in noise.items():
        silent = (2,) if name == "worse" else ()
        fake_run.make(root / name, classes=4, epochs=3, noise=level, silent=silent)
    fake.add(root / "first", noise=0.3)
    fake.add(root / "worse", noise=2.0, absent=("non_covid",))
    _after(root, "first", "", 1, "a plain start")
    _after(root, "worse", "first", 2, "weights for the rare class", batch_size=9)
    _after(root, "back", "worse", 3, epochs=5)
    optim = {"learning_rate": 1e-2, "clip": None, "betas": [0.9, 0.999]}
    _after(root, "aside", "first", 4, "faster", optim=optim)
    return root


def _steps(runs, *names):
    units = group_runs.units([runs / name for name in names])
    return iterations.order(units)


def _names(steps):
    return [step.unit["name"].split("/")[-1] for step in steps]


def _told(runs, *names):
    units = group_runs.units([runs / name for name in names])
    tests = paired_tests.test_pairs(units, METRIC)
    blocks = iterations.blocks(units, tests, METRIC)
    return [b["text"] for b in blocks if b["kind"] == "text"], blocks


def test_runs_come_after_their_parents_whatever_the_order_of_the_call(runs):
    assert _names(_steps(runs, "back", "aside", "worse", "first")) == [
        "first",
        "worse",
        "back",
        "aside",
    ]


def test_the_narrative_says_what_changed_and_what_it_did(runs, undrawn):
    told, blocks = _told(runs, "first", "worse", "back")
    text = "\n".join(told)
    assert "1. `first`: a plain start" in text
    assert "2. `worse` after `first`: weights for the rare class" in text
    assert "Changed: `batch_size` 4 → 9." in text
    assert "3. `back` after `worse`." in text
    assert "Changed: `batch_size` 9 → 4; `epochs` 3 → 5." in text
    result = [line for line in told if line.startswith("Result")]
    assert "before" not in result[0]
    assert ": WORSE, decided (difference -" in result[1] and "Holm p" in result[1]
    assert ": better, decided (difference +" in result[2]
    names = [p["name"] for p in blocks[-1]["pictures"]]
    assert "iterations_effusion" in names


def test_the_absent_the_unpredicted_and_the_rarest_class_are_followed(runs, undrawn):
    told, _ = _told(runs, "first", "worse")
    text = "\n".join(told)
    assert "Absent: `never seen` is in no truth of test, n/a (support 0)" in text
    assert "`effusion` is NEVER PREDICTED" in told[-1]
    assert "NEVER PREDICTED" not in "\n".join(told[:4])
    assert "Absent: no image of test shows `non_covid`, n/a." in told[-1]
    assert "Rarest of whole images: `" in told[-1]
    rare = next(line for line in told[-1].split("Rarest: ") if line.startswith("`"))
    assert "Dice 0 before" not in rare and " before." in rare


@pytest.mark.parametrize(
    "answer, words",
    [
        ("yes", ": better, decided (difference +0.0100"),
        ("no", ": WORSE, decided"),
        ("tie", ": equal"),
        ("unclear", ": n.s. (difference +0.0100 [-0.0100, +0.0300], Holm p = 0.4"),
    ],
)
def test_what_a_step_did_is_what_its_test_says(runs, answer, words):
    step = next(s for s in _steps(runs, "first", "aside") if s.before)
    test = {"value": 0.01, "low": -0.01, "high": 0.03, "adjusted": 0.4, "seeds": None}
    test |= {"answer": answer, "values": (0.5, 0.49)}
    tests = {METRIC: {(step.ranked, step.before.ranked): test}}
    assert words in iterations.did(step, tests, METRIC)
    assert "not tested" in iterations.did(step, {}, METRIC)


def test_a_repeat_with_another_seed_is_no_change_to_be_tested(runs, tmp_path, undrawn):
    for name in ("first", "back"):
        shutil.copytree(runs / name, tmp_path / name)
    _after(tmp_path, "back", "first", 3, batch_size=4, epochs=3, seed=7)
    told, _ = _told(tmp_path, "first", "back")
    assert "Changed: `seed` 0 → 7." in told
    assert "a repeat with another seed, so not tested" in told[-2]


def test_a_parent_that_is_not_here_is_named(runs, undrawn):
    told, _ = _told(runs, "worse", "back")
    assert any("after `first`, which is not among these runs" in t for t in told)


def test_a_parent_is_known_by_its_config_where_it_was_renamed(runs, tmp_path):
    for name in ("first", "worse"):
        shutil.copytree(runs / name, tmp_path / f"moved_{name}")
    steps = _steps(tmp_path, "moved_first", "moved_worse")
    assert steps[1].before is steps[0]
    _edit(tmp_path / "moved_first/config.json", log_every=3)
    assert _steps(tmp_path, "moved_first", "moved_worse")[1].before is None


def test_a_circle_loses_no_run(runs, tmp_path):
    for name in ("first", "worse"):
        shutil.copytree(runs / name, tmp_path / name)
    _after(tmp_path, "first", "worse", 2)
    _after(tmp_path, "worse", "first", 2)
    _after(tmp_path, "first", "worse", 2)
    assert sorted(_names(_steps(tmp_path, "first", "worse"))) == ["first", "worse"]


def test_runs_on_other_images_are_not_compared(runs, tmp_path, undrawn):
    for name in ("first", "worse"):
        shutil.copytree(runs / name, tmp_path / name)
    for split in ("test", "validation"):
        _edit(tmp_path / f"worse/eval/{split}.json", split_hash="elsewhere")
    told, _ = _told(tmp_path, "first", "worse")
    assert any("on other images, so not compared" in line for line in told)


def test_the_comparison_has_the_section_where_a_run_tells_anything(
    runs, tmp_path, undrawn
):
    units = group_runs.units([runs / "first", runs / "worse"])
    content = build.content(units, output=tmp_path)
    titles = [s["title"] for s in content["sections"]]
    assert titles.index("Iterations") == 1
    for unit in units:
        for run in unit["runs"]:
            run["info"].update(parent=None, note="")
    content = build.content(units, output=tmp_path)
    assert "Iterations" not in [s["title"] for s in content["sections"]]
