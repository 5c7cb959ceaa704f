"""Folds are trained one by one, and each image is scored once, all of them together."""

import csv
import json
import shutil

import numpy as np
import pytest
from support import grouped_folder, runs

from jaxseg import errors
from jaxseg.data import prepared
from jaxseg.data.preparation import folds as dealt
from jaxseg.experiment import finished_run, from_config, other_data
from jaxseg.metrics import overlap
from jaxseg.report import __main__ as report_door
from jaxseg.report import figures
from jaxseg.sweep import folds
from jaxseg.train import dry_run

FOLDS = 3
NAMES = tuple(f"fold{k}" for k in range(FOLDS))
# two steps, which learn little: only who scores what is looked at
QUICK = runs.SMALL | {
    "folds": FOLDS,
    "steps": 2,
    "data.image_size": (16, 16),
    "eval.surface": False,
    "operating_point.rule": "argmax",
    "loss.cross_entropy.class_weights": "none",
}


def config(data, **changes):
    return runs.config("folder", **QUICK | {"data.dir": str(data)} | changes)


@pytest.fixture(scope="module", autouse=True)
def undrawn():
    """Plots of the members cost nothing: only words are looked at here."""

    def plot(name, title, caption, draw, **_):
        words = {"name": name, "alt": title, "caption": caption}
        return words | {"png": b"", "svg": "<svg></svg>"}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "plot", plot)
        yield


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(the folder of images, the workdir of three folds). Do not change them."""
    root = tmp_path_factory.mktemp("folds")
    data = grouped_folder.make(root / "data")
    assert folds.main(config(data), root / "runs") == 0
    return data, root / "runs"


def table(path) -> dict[str, dict[str, str]]:
    with open(path, newline="") as file:
        lines = list(csv.DictReader(file))
    rows = {line["id"]: line for line in lines}
    assert len(rows) == len(lines)
    return rows


def result(place, name="test") -> dict:
    return json.loads((place / "eval" / f"{name}.json").read_text())


def test_every_image_is_tested_once_and_chosen_on_another_fold(trained):
    data, workdir = trained
    tested = [table(workdir / n / "eval/test_per_image.csv") for n in NAMES]
    chosen = [table(workdir / n / "eval/validation_per_image.csv") for n in NAMES]
    assert sorted(name for rows in tested for name in rows) == [
        f"{k:02d}" for k in range(14)
    ]
    for k in range(FOLDS):
        assert chosen[k].keys() == tested[(k + 1) % FOLDS].keys()
        record = json.loads((workdir / NAMES[k] / "run.json").read_text())
        sizes = {n: s["images"] for n, s in record["dataset"]["splits"].items()}
        assert sizes["train"] == 14 - len(tested[k]) - len(chosen[k])
        assert f"fold {k} of 3" in record["dataset"]["split_rule"]
        report = (workdir / NAMES[k] / "report.md").read_text()
        assert f"tests fold {k} of 3, from 0" in report
    pooled = table(workdir / "eval/out_of_fold_per_image.csv")
    for name, row in pooled.items():
        fold = int(row.pop("fold"))
        assert row == tested[fold][name]


def test_pooled_scores_are_those_of_the_counts_of_all_folds(trained):
    _, workdir = trained
    pooled = result(workdir, "out_of_fold")
    confusion = sum(np.array(result(workdir / n)["confusion"]) for n in NAMES)
    assert confusion.sum() == pooled["pixels"] == 14 * 16 * 16
    for c, name in enumerate(pooled["classes"]):
        hits, truth, predicted = (
            confusion[c, c],
            confusion[c].sum(),
            confusion[:, c].sum(),
        )
        rows = {r["name"]: r for r in pooled["metrics"] if r["class"] == name}
        for metric, formula in (
            ("dice_pooled", 2 * hits / (truth + predicted)),
            ("iou_pooled", hits / (truth + predicted - hits)),
            ("accuracy_pooled", 1 - (truth + predicted - 2 * hits) / confusion.sum()),
        ):
            assert rows[metric]["value"] == pytest.approx(formula, abs=1e-12)
        assert rows["dice_pooled"]["support_pixels"] == truth
    rows = {(r["name"], r["class"]): r for r in pooled["metrics"]}
    mean = rows["dice_positives", "mean"]
    assert mean["low"] <= mean["value"] <= mean["high"]
    assert pooled["groups"] == 8 and pooled["images"] == 14
    assert {*overlap.METRICS} == {name for name, kind in rows if kind == "mean"}


def test_the_page_says_what_the_folds_were_and_how_far_they_spread(trained, capsys):
    _, workdir = trained
    pooled = result(workdir, "out_of_fold")
    text = (workdir / "report.md").read_text()
    before = {p: p.read_bytes() for p in workdir.glob("report.*")}
    assert report_door.main(["report", str(workdir)]) == 0
    assert {p: p.read_bytes() for p in before} == before
    assert str(workdir / "report.html") in capsys.readouterr().out
    assert "3 folds by group, stratified by the rarest class shown, seed 0" in text
    row = next(r for r in pooled["metrics"] if r["class"] == "mean")
    own = [m["metrics"][0]["value"] for m in pooled["members"]]
    assert row["name"] == pooled["members"][0]["metrics"][0]["name"] == "dice_pooled"
    for number in (row["value"], row["low"], row["high"], *own):
        assert (f"{number:.3f}" if number >= 0.01 else f"{number:.2g}") in text
    for name in NAMES:
        assert f"({name}/report.html)" in text and (workdir / name / "report.html")


def test_what_is_missing_is_trained_and_pooled_again(trained, tmp_path, capsys):
    data, before = trained
    workdir = tmp_path / "runs"
    shutil.copytree(before, workdir)
    shutil.rmtree(workdir / "fold1")
    shutil.rmtree(workdir / "eval")
    kept = (workdir / "fold0" / "run.json").read_bytes()
    assert folds.main(config(data), workdir) == 0
    assert (workdir / "fold0" / "run.json").read_bytes() == kept
    assert (
        result(workdir, "out_of_fold")["metrics"]
        == (result(before, "out_of_fold")["metrics"])
    )
    out = capsys.readouterr().out.splitlines()
    assert out[0] == f"3 of 3 folds finished in {workdir}"
    members = [line.split()[0] for line in out[3:8]]
    assert members == [*NAMES, "mean", "pooled"]
    assert any(line.startswith("predict    python -m jaxseg.predict") for line in out)
    with pytest.raises(errors.ConfigError, match="holds runs of 3 folds, and"):
        folds.main(config(data, folds=4), workdir)


def test_longer_training_sets_the_old_scores_aside(trained, tmp_path, monkeypatch):
    data, before = trained
    workdir = tmp_path / "runs"
    shutil.copytree(before, workdir)
    old = (workdir / "eval/out_of_fold.json").read_bytes()
    monkeypatch.setattr(folds.run_members, "here", lambda *_, **__: {"fold0": "why"})
    assert folds.main(config(data, **{"data.workers": 1}), workdir) == 1
    assert (workdir / "eval/out_of_fold.json").read_bytes() == old
    with pytest.raises(errors.ConfigError, match="give --config.steps_per_epoch="):
        folds.main(config(data, steps=4), workdir)  # what members refuse moves nothing
    assert (workdir / "eval/out_of_fold.json").read_bytes() == old
    record = json.loads((workdir / "fold0/run.json").read_text())
    longer = {"steps": 4, "steps_per_epoch": record["steps_per_epoch"]}
    assert folds.main(config(data, **longer), workdir) == 1
    assert (workdir / "before_2/eval/out_of_fold.json").read_bytes() == old
    assert (workdir / "before_2/report.html").is_file()
    assert not (workdir / "eval").exists() and not (workdir / "report.md").exists()


def test_an_image_that_was_not_scored_once_is_refused(trained, tmp_path):
    data, before = trained
    workdir = tmp_path / "runs"
    shutil.copytree(before, workdir)
    for name in NAMES:
        runs.edit_record(workdir / name, digests={})
    directory = from_config.dataset(config(data))
    first, second = (workdir / n / "eval/test_per_image.csv" for n in NAMES[:2])
    lines = first.read_text().splitlines(keepends=True)
    first.write_text("".join(lines[:-1]))
    with pytest.raises(errors.DataError, match="1 of 14 images were scored in no fold"):
        folds.pool(config(data), workdir, directory)
    first.write_text("".join([*lines, lines[1]]))
    with pytest.raises(errors.DataError, match="scored in fold 0 and in fold 0"):
        folds.pool(config(data), workdir, directory)
    first.write_text("".join(lines))
    second.write_text(second.read_text() + lines[1])
    with pytest.raises(errors.DataError, match="scored in fold 0 and in fold 1"):
        folds.pool(config(data), workdir, directory)


def test_one_member_that_fails_is_named_and_nothing_is_pooled(
    trained, tmp_path, monkeypatch, capsys
):
    data, before = trained
    workdir = tmp_path / "runs"
    shutil.copytree(before, workdir)
    stored = json.loads((workdir / "fold2" / "config.json").read_text())
    (workdir / "fold2" / "config.json").write_text(json.dumps(stored | {"seed": 9}))
    monkeypatch.setattr(folds, "pool", None)
    assert folds.main(config(data), workdir) == 1
    out = capsys.readouterr().out
    assert "FAILED     fold2: " in out and "no pooled scores: they need every" in out


def test_the_directory_of_folds_names_its_ensemble(trained):
    _, workdir = trained
    runs_of = ",".join(str(workdir / name) for name in NAMES)
    with pytest.raises(errors.ConfigError, match=f"predict --ensemble={runs_of} gives"):
        finished_run.load(workdir)


def test_a_member_is_scored_again_on_its_fold_and_knows_its_images(trained):
    _, workdir = trained
    run = finished_run.with_data(workdir / "fold1", "test")
    images = table(workdir / "fold1" / "eval/test_per_image.csv")
    assert {*run.experiment.splits["test"].ids} == {*images}
    own = other_data._own_splits(finished_run.load(workdir / "fold1"))
    assert {*own["test"].ids} == {*images}


def test_a_dry_run_shows_the_first_fold(trained):
    data, _ = trained
    text = dry_run.describe(config(data))
    assert '"folds": 3' in text and "splits     fold 0 of 3 (counted from 0)" in text


def test_data_with_splits_of_its_own_is_refused_before_anything_is_trained(tmp_path):
    data = grouped_folder.make(tmp_path / "data", split="given")
    with pytest.raises(errors.ConfigError, match="brought splits of its own"):
        folds.main(config(data), tmp_path / "runs")
    data = grouped_folder.make(tmp_path / "few", groups=4)
    with pytest.raises(errors.ConfigError, match="folds is 5, but .* of 4 groups"):
        folds.main(config(data, folds=5), tmp_path / "runs")
    with pytest.raises(errors.ConfigError, match="no loss of this config learns pixel"):
        terms = {"dice_batch": 0.0, "cross_entropy": 0.0}
        terms["image_class_cross_entropy"] = 1.0
        weights = {f"loss.{name}.weight": w for name, w in terms.items()}
        folds.main(config(data, **weights), tmp_path / "runs")
    assert not (tmp_path / "runs" / "fold0").exists()


def test_a_fold_is_a_view_of_what_is_stored(trained):
    data, _ = trained
    directory = from_config.dataset(config(data))
    splits = dealt.open_splits(directory, folds=FOLDS, fold=2)
    stored = {
        name: part[i]
        for part in (prepared.open_split(directory, n) for n in splits)
        for i, name in enumerate(part.ids)
    }
    for split in splits.values():
        for i, name in enumerate(split.ids):
            assert np.array_equal(split[i]["image"], stored[name]["image"])
            assert split.pixels[i].sum() == split[i]["mask"].size
            assert split.groups[i] == stored[name]["group"]
