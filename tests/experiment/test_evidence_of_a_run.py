"""A run that is asked what its answers rest on, from its config to its files."""

import json

import pytest
from support import fake_run
from support import image_class_data as data

from jaxseg.errors import ConfigError
from jaxseg.experiment import build
from jaxseg.report.run import build as report
from jaxseg.run_directory import files, schemas
from jaxseg.train import loop

ASKED = {
    "eval.shortcut": True,
    "eval.localise.image_class": "level",
    "eval.localise.mask_class": "square",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("stripes")
    (root / "images").mkdir()
    return root


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    """A finished run that learned classes of images alone, and its report."""
    workdir = tmp_path_factory.mktemp("runs") / "classify"
    before = fake_run.make(workdir.parent / "before", epochs=1)
    why = {"parent": str(before), "parent_step": "none", "note": "without masks"}
    config = data.config(folder, **data.CLASSIFY | ASKED | why)
    loop.train_and_evaluate(config, workdir)
    report.build(workdir)
    return workdir


def test_both_questions_are_answered_in_the_result(run):
    for split in ("validation", "test"):
        result = files.read(run / f"eval/{split}.json", schemas.Result)
        assert result["pixels_trained"] is False
        block = result["shortcut"]
        assert block["erased"] == ["square"]
        # a square is in every second image; the others have nothing to cover
        assert (block["images"], block["left_out"]) == (4, 5)
        block = result["localisation"]
        assert (block["image_class"], block["mask_class"]) == ("level", "square")
        assert block["images"] == 1 or block["images"] == 2
        assert block["tolerance"] == 2.0


def test_its_record_says_what_it_comes_after_and_why(run):
    record = json.loads((run / "run.json").read_text())
    assert record["parent"]["name"] == "before" and record["note"] == "without masks"
    top = (run / "report.md").read_text().split("## What was tested")[0]
    assert "after before" in top and "without masks" in top
    assert "The classifier of whole images" in top


def test_its_surest_answers_are_kept_as_pictures(run):
    for split in ("validation", "test"):
        rows = json.loads((run / f"eval/{split}_class_examples.json").read_text())
        assert rows
        for row in rows:
            for kind in ("image", "attention"):
                path = run / f"eval/{split}_class_examples" / row[kind]
                assert path.read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"eval.shortcut_classes": ("lung",)}, "'lung', which is no pixel class"),
        ({"eval.shortcut_classes": ("background",)}, "is no pixel class: .*square"),
        ({"eval.localise.image_class": "levl"}, "no output of the head: did you mean"),
        ({"eval.localise.image_class": ""}, "'', which is no output"),
        ({"eval.localise.mask_class": "squares"}, "mask_class is 'squares'"),
    ],
)
def test_names_that_are_none_are_one_sentence(folder, changes, words):
    config = data.config(folder, **data.CLASSIFY | ASKED | changes)
    with pytest.raises(ConfigError, match=words):
        build.load(config, batch_size=8)
