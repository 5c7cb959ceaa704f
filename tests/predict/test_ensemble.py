"""Several runs, several turns of an image, and what joins in after them."""

import json
import types

import jax
import numpy as np
import pytest
import tifffile
from scipy import ndimage
from support import predicting

import jaxseg
from jaxseg import errors
from jaxseg.data.files import images
from jaxseg.evaluation.objects.finding import Finding
from jaxseg.experiment import finished_run
from jaxseg.predict import objects


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return predicting.shared(tmp_path_factory)


@pytest.fixture
def few(home, tmp_path):
    return predicting.one_of_each_kind(home, tmp_path / "few")


def test_an_ensemble_is_the_mean_of_its_members(home, few, tmp_path):
    """Once in one stack, and once as groups that see images in different ways."""
    image = images.read_image(next(few.glob("*.png")))
    run = home / "run"
    learned = finished_run.load(run)
    want = learned.predict(image).probability
    shifted = learned._replace(
        variables=jax.tree.map(lambda a: a * np.float32(1.1), learned.variables)
    )
    both = (want + shifted.predict(image).probability) / 2
    assert abs(both - want).max() > 1e-3
    load = finished_run.load

    def probability(runs, loaded, output):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(finished_run, "load", lambda w: loaded.get(str(w)) or load(w))
            predicting.predict(
                runs, next(few.glob("*.png")), output, probabilities=True
            )
        return tifffile.imread(next(output.rglob("probabilities/*.tif")))

    other = tmp_path / "other"
    got = probability((run, other), {str(other): shifted}, tmp_path / "a")
    np.testing.assert_allclose(np.moveaxis(got, 0, -1), both, atol=1e-6)
    wide = shifted._replace(
        parts=shifted.parts._replace(
            view=finished_run.tiled(shifted.parts.view, (24, 40))
        )
    )
    both = (want + wide.predict(image).probability) / 2
    got = probability((run, other), {str(other): wide}, tmp_path / "b")
    np.testing.assert_allclose(np.moveaxis(got, 0, -1), both, atol=1e-6)
    other_classes = shifted._replace(
        record={
            **shifted.record,
            "dataset": {**shifted.record["dataset"], "channels": 3},
        }
    )
    with pytest.raises(errors.ConfigError, match="trained on channels 3, and"):
        probability((run, other), {str(other): other_classes}, tmp_path / "c")
    marker = json.loads((tmp_path / "a/predict.json").read_text())
    assert len(set(marker["run_sha256"])) == 2
    assert marker["operating_point"] == learned.operating_point["operating_point"]


@pytest.mark.parametrize("name", ["flips", "rot90"])
def test_augmentation_is_the_mean_over_the_turned_images(home, few, tmp_path, name):
    image = images.read_image(next(few.glob("*.png")))[:32, :32]  # one tile
    source = predicting.write(tmp_path / "square.png", image[..., 0])
    run = jaxseg.load(home / "run")
    ways = {
        "flips": [(lambda a, x=x: np.flip(a, x)) for x in ((), (0,), (1,), (0, 1))],
        "rot90": [(lambda a, k=k: np.rot90(a, k)) for k in range(4)],
    }[name]
    back = ways if name == "flips" else [ways[-k] for k in range(4)]
    each = [
        undo(run.predict(way(image).copy()).probability)
        for way, undo in zip(ways, back, strict=True)
    ]
    assert abs(each[1] - each[0]).max() > 1e-4
    predicting.predict(
        home / "run", source, tmp_path / "o", augmentation=name, probabilities=True
    )
    got = tifffile.imread(tmp_path / "o/probabilities/square.tif")
    np.testing.assert_allclose(np.moveaxis(got, 0, -1), np.mean(each, 0), atol=1e-6)


def test_tiles_are_joined_exactly_where_it_is_asked_for(home, few, tmp_path):
    run = jaxseg.load(home / "run")
    outcome = predicting.predict(
        home / "run", few, tmp_path / "out", exact=True, probabilities=True
    )
    assert not outcome.problems
    for path in few.iterdir():
        image = images.read_image(path)
        got = tifffile.imread(tmp_path / f"out/probabilities/{path.stem}.tif")
        want = run.predict(image, exact=True).probability
        np.testing.assert_array_equal(np.moveaxis(got, 0, -1), want)
        whole = run.predict(image, tile=image.shape[:2]).probability
        np.testing.assert_allclose(want, whole, atol=2e-6)
    with pytest.raises(errors.ConfigError, match="cannot be joined exactly"):
        predicting.predict(
            home / "run", few, tmp_path / "small", exact=True, tile=(2, 2)
        )


def test_a_label_map_becomes_two_tables_and_a_file(home, few, tmp_path, monkeypatch):
    def find(maps, scale):
        assert maps.shape[-1] == 2 and scale == 1
        return ndimage.label(maps[..., 1] > 0.5)[0].astype(np.int32)

    rule = objects.Rule("components", find, margin=7)
    monkeypatch.setattr(objects, "rule_of", lambda run: rule)
    predicting.predict(home / "run", few, tmp_path / "out")
    counts = {r["id"]: r for r in predicting.table(tmp_path / "out/counts.csv")}
    rows = predicting.table(tmp_path / "out/objects.csv")
    for path in few.iterdir():
        labels = tifffile.imread(tmp_path / f"out/instances/{path.stem}.tif")
        mine = [row for row in rows if row["id"] == path.stem]
        assert labels.dtype == np.uint16 and labels.max() == len(mine) > 0
        assert counts[path.stem]["objects"] == str(len(mine))
        for row in mine:
            inside = labels == int(row["object"])
            assert int(row["area_px"]) == inside.sum() and row["class"] == "class_1"
            centre = ndimage.center_of_mass(inside)
            assert [float(row[c]) for c in "yx"] == pytest.approx(centre)
            pixels = images.read_image(path)[inside]
            assert float(row["intensity_0"]) == pytest.approx(pixels.mean())
            assert 0.4 < float(row["confidence"]) <= 1
            edge = np.pad(~inside[1:-1, 1:-1], 1, constant_values=True)
            assert int(row["touches_border"]) == (inside & edge).any() * (
                inside.any(1)[[0, -1]].any() or inside.any(0)[[0, -1]].any()
            )
            assert (row["area_um2"] == "") == (path.suffix != ".dcm")


def test_a_rule_without_settings_of_validation_is_refused():
    finding = Finding("watershed", "f1_50", {}, num_classes=2)
    run = types.SimpleNamespace(finding=finding, operating_point={}, workdir="runs/x")
    with pytest.raises(errors.ConfigError, match="'watershed', but no settings"):
        objects.rule_of(run)
