"""A new user's afternoon: the cells of the walk-through, and what one tries besides.

Only documented commands are typed. Each step is a fixture that stands on the one before
it; its test looks at the exit code, at what is said and at the files.
"""

import contextlib
import csv
import io
import json
import pathlib
import shlex
import subprocess
import types

import cv2
import numpy as np
import page
import pytest
from safetensors.numpy import load_file
from support import commands, runs

SOURCE = page.SCRIPT.read_text()


class User:
    """Somebody in a folder of their own, who runs the cells and types commands."""

    def __init__(self, folder: pathlib.Path, typed: commands.Commands) -> None:
        self.folder, self.typed = folder, typed
        self.names: dict = {}  # the variables of the cells
        self._ended: list[commands.Done] = []

    def type(self, line: str) -> commands.Done:
        """The outcome of one command."""
        return self.typed.run(line)

    def cell(self, number: int) -> commands.Done:
        """What a cell printed, and its commands with it; each must end well."""
        cell, printed = page.cells(SOURCE)[number - 1], io.StringIO()
        assert cell.title.startswith(f"{number}. ")
        self._ended = []
        with contextlib.chdir(self.folder), contextlib.redirect_stdout(printed):
            exec(compile(cell.code, f"cell {number}", "exec"), self.names)
        self.names["subprocess"] = types.SimpleNamespace(run=self._run)
        texts = ["\n".join(parts) for parts in zip(*self._ended, strict=True)]
        out, err = texts if texts else ("", "")
        return commands.Done(0, out + printed.getvalue(), err)

    def _run(self, words: list[str], *, check: bool) -> None:
        done = self.type(shlex.join(words))
        if check and done.code:
            raise subprocess.CalledProcessError(done.code, words, done.out, done.err)
        self._ended.append(done[1:])

    def json(self, name: str) -> dict:
        return json.loads((self.folder / name).read_text())

    def text(self, name: str) -> str:
        return (self.folder / name).read_text()


@pytest.fixture(scope="module")
def user(tmp_path_factory):
    folder = tmp_path_factory.mktemp("user")
    with commands.Commands(folder) as typed:
        user = User(folder, typed)
        user.cell(1)
        yield user


@pytest.fixture(scope="module")
def refused(user):
    """What the doctor says of painted masks before their colours have names."""
    return user.type(
        "python -m jaxseg.doctor --config=folder --config.data.dir=my_cells"
    )


@pytest.fixture(scope="module")
def examined(user, refused):
    user.cell(2)
    return user.cell(3)


@pytest.fixture(scope="module")
def trained(user, examined):
    return user.cell(4), user.cell(5)


@pytest.fixture(scope="module")
def longer(user, trained):
    return user.cell(6)


@pytest.fixture(scope="module")
def child(user, longer):
    return user.cell(7)


def test_the_page_is_made_of_the_script():
    assert page.PAGE.read_text() == page.page(SOURCE), (
        "the page is older than the script: python tests/walk_through/page.py"
    )
    titles = [cell.title.partition(".")[0] for cell in page.cells(SOURCE)]
    assert titles == [str(k) for k in range(1, 11)]
    assert all(cell.text and cell.code for cell in page.cells(SOURCE))


def test_painted_masks_are_refused_with_the_lines_to_write(refused):
    assert refused.code == 3 and refused.out.count("Traceback") == 0
    assert "40 of 40 masks are in colour" in refused.err
    for line in ("background 0,0,0", "class_1 255,0,0", "class_2 0,0,255"):
        assert f"    {line}\n" in refused.err
    assert "my_cells/classes.txt" in refused.err


def test_the_doctor_shows_the_colours_and_the_next_command(examined, user):
    words = " ".join(examined.out.split())
    assert "colours of the masks: background 0,0,0 on" in words
    assert "cell 255,0,0 on" in words and "Ready to train" in words
    assert "Next: python -m jaxseg.main --config=folder" in words
    assert not (user.folder / "runs").exists()


def test_training_ends_with_scores_and_a_report(trained, user):
    done, scores = trained
    assert "scores     final scores" in done.out and "my_cells" in user.names["recipe"]
    assert "epoch 6/6" in done.err and "Traceback" not in done.err
    record = user.json("runs/first/run.json")
    assert record["dataset"]["classes"] == ["background", "cell", "nucleus"]
    for name in ("report.html", "eval/test.json", "eval/test_per_image.csv"):
        assert (user.folder / "runs/first" / name).exists()
    lines = scores.out.splitlines()
    assert [line.split()[0] for line in lines] == ["cell", "nucleus"]
    assert all(0 <= float(line.split()[1]) <= 1 for line in lines)


def test_a_run_goes_on_to_nine_epochs(longer, user):
    assert "goes on from step 42" in longer.err and "epoch 9/9" in longer.err
    record = user.json("runs/first/run.json")
    assert record["status"] == "finished" and record["total_steps"] == 63
    (change,) = record["changes"]
    assert (change["key"], change["before"], change["after"]) == ("epochs", "6", "9")
    assert len(runs.history(user.folder / "runs/first")) == 9
    assert (user.folder / "runs/first/before_42/eval/test.json").exists()
    result = user.json("runs/first/eval/test.json")
    (dice,) = (
        row["value"]
        for row in result["metrics"]
        if (row["name"], row["class"]) == ("dice_pooled", "mean")
    )
    assert dice > 0.6, "these drawings are easy to learn"


def test_a_child_begins_with_what_the_run_learned(child, user):
    record = user.json("runs/second/run.json")
    assert record["parent"]["name"] == "first" and record["note"] == "a lower rate"
    assert record["parent"]["left"] == [], "everything fits"
    first = float(runs.history(user.folder / "runs/second")[0]["validation/loss"])
    assert first < float(runs.history(user.folder / "runs/first")[0]["validation/loss"])


def test_both_are_compared(child, user):
    done = user.cell(8)
    assert "compared/report.html" in done.out
    report = user.text("compared/report.md")
    assert "first" in report and "second" in report and "a lower rate" in report
    assert "optim.learning_rate" in report


def test_the_run_is_scored_on_another_folder(child, user):
    done = user.cell(9)
    assert "no scores of this name were there before" in done.out
    assert "scores in runs/first/eval/other.json, report in runs/first" in done.out
    result = user.json("runs/first/eval/other.json")
    assert result["classes"] == ["background", "cell", "nucleus"]
    assert "other" in user.text("runs/first/report.md")


def test_a_folder_and_an_image_are_predicted(longer, user):
    done = user.cell(10)
    assert "8 images predicted" in done.out
    out = user.folder / "predicted"
    with open(out / "predictions.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == 8
    assert len(list((out / "overlays").iterdir())) == 8
    prediction = user.names["prediction"]
    mask = cv2.imread(str(out / "masks/cell_00.png"), cv2.IMREAD_UNCHANGED)
    assert np.mean(mask != prediction.classes) < 0.01  # of one device, and of four
    assert prediction.probability.shape == (48, 48, 3)
    counts = [int(line.split()[1]) for line in done.out.splitlines()[-3:]]
    assert sum(counts) == 48 * 48 and min(counts) > 0


def test_a_run_that_learns_no_more_stops_early(longer, user):
    done = user.type(
        f"python -m jaxseg.main {user.names['recipe']} --config.epochs=40 "
        "--config.parent=runs/first --config.optim.learning_rate=1e-9 "
        "--config.eval.patience=2 --workdir=runs/early"
    )
    assert done.code == 0, done.err
    record = user.json("runs/early/run.json")
    assert record["early_stop"]["words"] in done.out
    assert len(runs.history(user.folder / "runs/early")) < 40


def test_the_weights_are_exported(longer, user):
    line = "python -m jaxseg.export --run=runs/first --format=jaxseg"
    done = user.type(line)
    assert done.code == 0 and "runs/first/jaxseg.safetensors: " in done.out, done.err
    arrays = load_file(user.folder / "runs/first/jaxseg.safetensors")
    assert f"{len(arrays)} arrays" in done.out and arrays
    again = user.type(line)
    assert again.code == 2 and "jaxseg.safetensors" in again.err
    assert len(again.err.splitlines()) == 1


def test_three_folds_test_every_image_once(examined, user):
    done = user.type(
        f"python -m jaxseg.main {user.names['recipe']} --config.folds=3 "
        "--config.steps=2 --config.steps_per_epoch=2 --config.eval.surface=False "
        "--workdir=runs/folds"
    )
    assert done.code == 0, done.err
    for k in range(3):
        assert user.json(f"runs/folds/fold{k}/run.json")["status"] == "finished"
        assert f"fold{k}" in done.out
    home = user.folder / "runs/folds"
    with open(home / "eval/out_of_fold_per_image.csv", newline="") as file:
        names = [row["id"] for row in csv.DictReader(file)]
    assert sorted(names) == [f"cell_{k:02}" for k in range(40)]
    result = user.json("runs/folds/eval/out_of_fold.json")
    assert result["classes"] == ["background", "cell", "nucleus"]
    assert (home / "report.html").exists()
