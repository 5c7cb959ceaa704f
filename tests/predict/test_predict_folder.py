"""A folder of images becomes a folder of masks, whatever happens on the way."""

import json
import os
import re
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pydicom
import pytest
import tifffile
from support import predicting, runs

import jaxseg
from jaxseg import atomic, errors
from jaxseg.data.files import images
from jaxseg.predict import ensemble, outputs, packs
from jaxseg.run_directory import files


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return predicting.shared(tmp_path_factory)


@pytest.fixture(scope="module")
def predicted(home, tmp_path_factory):
    """The output folder for the test images, without a stop."""
    out = tmp_path_factory.mktemp("predicted") / "out"
    outcome = predicting.predict(home / "run", home / "images", out)
    assert not outcome.problems and outcome.skipped == 0
    return out


@pytest.fixture
def few(home, tmp_path):
    return predicting.one_of_each_kind(home, tmp_path / "few")


def counted(mask, truth, k=2):
    """Pixels by truth and prediction [k, k]."""
    return np.bincount(truth.ravel() * k + mask.ravel(), minlength=k * k).reshape(k, k)


def test_the_masks_of_the_test_split_are_those_that_were_scored(home, predicted):
    assert ensemble.load([home / "run"]).groups[0].block == 3  # eval.per_device_batch
    rows = predicting.table(home / "run/eval/test_per_image.csv")
    paths = predicting.test_files(home / "data")
    assert {p.suffix[1:] for p in paths.values()} == {*predicting.KINDS}
    table = {r["id"]: r for r in predicting.table(predicted / "predictions.csv")}
    assert {row["id"] for row in rows} == table.keys() == paths.keys()
    for row in rows:
        mask = images.read_mask(predicted / f"masks/{row['id']}.png")
        truth = images.read_mask(home / f"data/masks/{row['id']}.png")
        counts = counted(mask, truth)
        want = [[row[key] for key in pair] for pair in (("tn", "fp"), ("fn", "tp"))]
        np.testing.assert_array_equal(counts, np.array(want, int))
        mine = table[row["id"]]
        assert mine["score"] == row["max_probability"]
        assert mine["area_px/class_1"] == row["predicted_pixels"]
        assert (int(mine["height"]), int(mine["width"])) == mask.shape
        micrometres = paths[row["id"]].suffix == ".dcm"
        assert mine["pixel_size_um"] == ("500.0" if micrometres else "")
        assert bool(mine["area_um2/class_1"]) == micrometres
    ranks = sorted(table.values(), key=lambda r: int(r["look_at_first"]))
    sure = [float(r["confidence"]) for r in ranks]
    assert sure == sorted(sure) and 0 < sure[0] < sure[-1] < 1


def test_one_array_is_predicted_as_its_file_is(home, predicted):
    run = jaxseg.load(home / "run")
    for name, path in list(predicting.test_files(home / "data").items())[:4]:
        answer = run.predict(images.read_image(path))
        mask = images.read_mask(predicted / f"masks/{name}.png")
        np.testing.assert_array_equal(answer.classes, mask)
    image = images.read_image(path)
    other = run.predict(image, tile=(16, 24))
    assert 0 < abs(other.probability - answer.probability).max() < 0.2
    exact = run.predict(image, exact=True)
    whole = run.predict(image, tile=image.shape[:2])
    np.testing.assert_array_equal(exact.classes, whole.classes)
    np.testing.assert_allclose(exact.probability, whole.probability, atol=2e-6)
    with pytest.raises(errors.ConfigError, match="a tile is at least 1x1"):
        run.predict(image, tile=(0, 16))


def test_names_sizes_and_orientation_come_back(home, predicted, tmp_path):
    name = next(iter(predicting.test_files(home / "data")))
    image, _ = predicting.example(int(name[2:]))
    stored = predicting.turned(tmp_path / "turned.png", image)
    formats = ("png", "tif")
    predicting.predict(
        home / "run", stored, tmp_path / "o", formats=formats, probabilities=True
    )
    for suffix, flag in (("png", cv2.IMREAD_UNCHANGED), ("tif", None)):
        path = tmp_path / f"o/masks/turned.{suffix}"
        labels = images.read_labels(path)
        want = images.read_mask(predicted / f"masks/{name}.png")
        np.testing.assert_array_equal(labels.values, want)
        flat = cv2.imread(str(path), flag) if flag else tifffile.imread(path)
        assert flat.shape == image.shape[::-1] and labels.orientation == 6
        drawn = images.read_picture(stored)
        assert images.different(stored, drawn, path, labels) == ""
    planes = tifffile.imread(tmp_path / "o/probabilities/turned.tif")
    assert planes.shape == (2, *image.shape[::-1]) and planes.dtype == np.float32
    np.testing.assert_allclose(planes.sum(0), 1, atol=1e-6)
    overlay = cv2.imread(str(tmp_path / "o/overlays/turned.png"))
    assert overlay.shape == (*image.shape, 3)
    assert (overlay != image[..., None]).any(-1)[want > 0].all()
    assert (overlay == image[..., None]).all(-1)[want == 0].all()


class Killed(BaseException):
    """As SIGKILL: nothing in the code may handle it."""


def test_killed_at_any_moment_it_ends_with_the_same_bytes(
    home, predicted, few, tmp_path, monkeypatch
):
    predicting.predict(home / "run", few, tmp_path / "whole")
    want, replace = predicting.contents(tmp_path / "whole"), atomic.replace
    append = outputs.Journal._append

    def killed_after(count, torn):
        left = [count]

        def counted(function, *args):
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return function(*args)

        def half(journal, line):
            if left[0] == 0 and torn:
                with open(journal.folder / outputs.JOURNAL, "ab") as file:
                    file.write(json.dumps(line).encode()[:20])
            counted(append, journal, line)

        monkeypatch.setattr(atomic, "replace", lambda *a: counted(replace, *a))
        monkeypatch.setattr(outputs.Journal, "_append", half)

    for count in (0, 1, 2, 5, 8, 13, 17):
        out = tmp_path / f"killed{count}"
        killed_after(count, torn=count % 2)
        with pytest.raises(Killed):
            predicting.predict(home / "run", few, out)
        monkeypatch.undo()
        predicting.predict(home / "run", few, out)
        assert predicting.contents(out) == want, count


def test_what_is_finished_stays_and_what_changed_is_said(
    home, few, tmp_path, monkeypatch, caplog
):
    out = tmp_path / "out"
    ask = {"run": home / "run", "source": few, "output": out}
    predicting.predict(**ask)
    before = predicting.contents(out)
    monkeypatch.setattr(packs, "_read", None)  # nothing is computed
    assert predicting.predict(**ask).skipped == 4
    assert predicting.contents(out) == before
    monkeypatch.undo()
    first, second, *_ = sorted(few.iterdir())
    mask = out / f"masks/{first.stem}.png"
    mask.unlink()
    predicting.write(second.with_suffix(".bmp"), np.zeros((9, 9), np.uint8))
    with pytest.raises(errors.DataError, match="have one name, so one mask would"):
        predicting.predict(**ask)
    second.with_suffix(".bmp").unlink()
    image = images.read_image(second)[..., 0]
    predicting.write(second, image[::-1].copy())
    caplog.clear()
    assert predicting.predict(**ask).skipped == 2
    assert any("has changed since: it is predicted" in m for m in caplog.messages)
    after = predicting.contents(out)
    assert after[f"masks/{first.stem}.png"] == before[f"masks/{first.stem}.png"]
    assert after[f"masks/{second.stem}.png"] != before[f"masks/{second.stem}.png"]
    assert not list(out.rglob("*.tmp"))

    for options, what in [
        ({"augmentation": "flips"}, "made otherwise .*tta"),
        ({"tile": (16, 16)}, 'tile: "auto" -> '),
        ({"formats": ("tif",)}, "format: "),
    ]:
        with pytest.raises(errors.ConfigError, match=what):
            predicting.predict(**ask, **options)
    mask.write_bytes(before[f"overlays/{first.stem}.png"])
    with pytest.raises(errors.DataError, match="was changed after it was written"):
        predicting.predict(**ask)
    assert predicting.predict(**ask, overwrite=True).skipped == 0
    assert predicting.contents(out) == after


def test_an_image_that_cannot_be_used_costs_a_line_and_no_other(
    home, predicted, few, tmp_path
):
    names = [path.stem for path in few.iterdir()]
    kept = {path.stem: path for path in predicted.rglob("masks/*/*.png")}
    (few / "broken.png").write_bytes((few / f"{_png(few).name}").read_bytes()[:300])
    predicting.write(few / "colour.png", np.zeros((8, 8, 3), np.uint8))
    predicting.write(few / "deep.tif", np.zeros((8, 8), np.uint16))
    tifffile.imwrite(few / "float.tif", np.zeros((8, 8), np.float32))
    shutil.copy(next(few.glob("*.dcm")), few / "film")
    (few / "notes.txt").write_text("left out")
    os.symlink("nowhere.png", few / "gone.png")
    outcome = predicting.predict(home / "run", few, tmp_path / "out")
    said = {
        "broken": "cannot be read, it is damaged",
        "colour": "has 3 channel.s., and the run was trained on images of 1",
        "deep": "holds uint16 numbers, and the run was trained on uint8",
        "float": "holds float32 numbers",
        "film": "is DICOM; give its name the suffix .dcm",
        "gone": "is a link to nowhere.png",
    }
    lines = predicting.table(tmp_path / "out/errors.csv")
    assert [row["id"] for row in lines] == sorted(said) == sorted(outcome.problems)
    for row in lines:
        assert re.search(said[row["id"]], row["error"])
        assert (few / row["file"]).is_symlink() or (few / row["file"]).exists()
    for name in names:
        mask = tmp_path / f"out/masks/{name}.png"
        assert mask.read_bytes() == kept[name].read_bytes()
    for name in said:
        (few / f"{name}{_suffix(few, name)}").unlink()
    predicting.predict(home / "run", few, tmp_path / "out")
    assert not (tmp_path / "out/errors.csv").exists()


def _png(folder):
    return next(folder.glob("*.png"))


def _suffix(folder, name):
    return next(p.suffix for p in folder.iterdir() if p.stem == name)


def test_dicom_gives_dicom_and_other_files_a_sentence(home, few, tmp_path):
    ask = {"formats": ("dicom_seg", "png"), "overlays": False}
    outcome = predicting.predict(home / "run", few, tmp_path / "out", **ask)
    (film,) = few.glob("*.dcm")
    assert outcome.rows.keys() == {film.stem} and len(outcome.problems) == 3
    assert all("is not DICOM, so a DICOM" in text for text in outcome.problems.values())
    read = pydicom.dcmread(tmp_path / f"out/segmentations/{film.stem}.dcm")
    mask = images.read_mask(tmp_path / f"out/masks/{film.stem}.png")
    np.testing.assert_array_equal(read.pixel_array, mask)
    assert [path.stem for path in (tmp_path / "out/masks").iterdir()] == [film.stem]
    outcome = predicting.predict(home / "run", _png(few), tmp_path / "page", page=1)
    assert "is no TIFF and has page 0 alone" in outcome.problems[_png(few).stem]


def test_a_folder_that_cannot_be_used_is_refused_before_anything(home, few, tmp_path):
    run, out = home / "run", tmp_path / "out"
    (tmp_path / "empty").mkdir()
    ours = tmp_path / "theirs"
    ours.mkdir()
    (ours / "thesis.txt").write_text("mine")
    for source, output, what in [
        (tmp_path / "empty", out, "holds no image: no file of png, jpg"),
        (tmp_path / "nothing", out, "there is no such file"),
        (home / "data", out, "is a data set with images/ and masks/; predict"),
        (few, few / "out", "lies inside the input"),
        (few, few.parent, "the input .* lies inside --output"),
        (few, ours, "holds files that are no predictions .'thesis.txt'."),
        (_png(few), ours / "thesis.txt", "is a file: name a folder"),
        (_png(few), few, "holds files that are no predictions"),
    ]:
        with pytest.raises((errors.ConfigError, errors.DataError), match=what):
            predicting.predict(run, source, output)
    with pytest.raises(errors.ConfigError, match="did you mean 'png'"):
        predicting.predict(run, few, out, formats=("pgn",))
    assert not out.exists() and sorted(os.listdir(ours)) == ["thesis.txt"]
    predicting.predict(run, _png(few), ours, overwrite=True)
    assert (ours / "thesis.txt").read_text() == "mine"
    name = next(few.glob("*.dcm")).stem
    predicting.write(ours / f"masks/{name}.png", np.ones((3, 3), np.uint8))
    with pytest.raises(errors.ConfigError, match="was not written by this command"):
        predicting.predict(run, next(few.glob("*.dcm")), ours)
    with files.lock(ours):
        with pytest.raises(errors.ConfigError, match="is in use by another run"):
            predicting.predict(run, _png(few), ours)


def test_the_door_goes_on_and_says_what_could_not_be_used(home, few, tmp_path):
    (few / "broken.jpg").write_bytes(b"\xff\xd8\xffnothing")
    own = {"JAX_PLATFORMS": "cpu", "JAXSEG_CACHE": os.environ["JAXSEG_CACHE"]}
    own["PYTHONPATH"] = os.pathsep.join([str(runs.ROOT), str(runs.ROOT / "tests")])

    def door(*words):
        call = [sys.executable, "-m", "jaxseg.predict", *map(str, words)]
        return subprocess.run(
            call, env=runs.OUTSIDE | own, capture_output=True, text=True, cwd=tmp_path
        )

    ask = [f"--run={home / 'run'}", f"--input={few}", "--output=out"]
    done = door(*ask, "--format=png,geojson", "--nooverlays")
    assert done.returncode == 3 and "Traceback" not in done.stderr, done.stderr
    assert (
        done.stdout.splitlines()[0]
        == "4 images predicted, 0 of them by an earlier start"
    )
    assert "look at these first (confidence, image):" in done.stdout
    assert "1 images could not be used: out/errors.csv" in done.stdout
    assert len(list((tmp_path / "out/outlines").iterdir())) == 4
    for words, what in [
        (ask[1:], "jaxseg: name the run, for example --run=runs/ptx"),
        (ask[:1] + ask[2:], "jaxseg: name the input: --input=..."),
        ([*ask, "--tile=64"], "jaxseg: --tile=64: give auto, or HEIGHTxWIDTH"),
    ]:
        done = door(*words)
        assert done.returncode == 2 and done.stderr.startswith(what)
