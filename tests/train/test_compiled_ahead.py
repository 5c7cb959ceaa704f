"""What is compiled ahead is what runs: the shapes are those of real batches."""

import threading

import jax
import numpy as np
import pytest
from support import runs

from jaxseg.errors import ConfigError
from jaxseg.experiment import build
from jaxseg.inference import whole_split
from jaxseg.train import compiled_ahead, epoch_loss, loop
from jaxseg.train_step import step

_DISTANCE = {"target.name": "distance", "loss.distance.weight": 1.0}
RUNS = {
    "whole": ("pneumothorax", "smoke", {}),
    "without the loss": ("pneumothorax", "smoke", {"eval.loss": False}),
    "sixteen bits": ("pneumothorax", "smoke", {"data.bits": 16}),
    "windows": ("microbeads", "smoke", {"data.fit": "crop"}),
    "windows without the loss": ("microbeads", "smoke", {"eval.loss": False}),
    "objects": ("microbeads", "smoke", _DISTANCE),
    "clicks": ("clicks", "smoke", {}),
    "images with labels alone": ("cracks", "smoke", {}),
    "classes of images": ("covid", "classify_smoke", {}),
}


class _Scored(Exception):
    """Raised with the batch that is scored first."""


def _told(variables, batch):
    raise _Scored(batch)


def _shapes(batch):
    return {name: (np.shape(v), np.dtype(v.dtype)) for name, v in batch.items()}


@pytest.mark.parametrize("name", RUNS)
def test_the_shapes_are_those_of_the_batches_that_come(name):
    recipe, variant, changes = RUNS[name]
    config = runs.config(recipe, variant, **changes)
    experiment = build.load(config, batch_size=config.batch_size)
    with_loss = experiment.predict_with_loss is not None
    batch = next(build.train_batches(experiment, steps=1))
    assert _shapes(batch) == _shapes(compiled_ahead.train_shapes(experiment))
    scorer = experiment.scorer._replace(predict=_told)
    if with_loss:
        scorer, _ = epoch_loss.listening(experiment._replace(predict_with_loss=_told))
    with pytest.raises(_Scored) as error:
        list(whole_split.channels(scorer, {}, experiment.splits["validation"]))
    (batch,) = error.value.args
    expected = compiled_ahead.validation_shapes(experiment)
    assert _shapes(batch) == _shapes(expected)
    assert all(v.sharding == expected[k].sharding for k, v in batch.items())
    assert with_loss == bool(changes.get("eval.loss", True))
    if bits := changes.get("data.bits"):
        assert expected["image"].dtype == f"uint{bits}"


def test_step_and_scoring_are_traced_once(tmp_path, monkeypatch, caplog):
    traced = []
    of_step, of_scoring = step.train_step, build.validation_loss.of_images
    monkeypatch.setattr(
        step, "train_step", lambda *a, **k: traced.append("step") or of_step(*a, **k)
    )

    def scoring(*arguments, **named):
        traced.append("scoring")
        return of_scoring(*arguments, **named)

    monkeypatch.setattr(build.validation_loss, "of_images", scoring)
    config = runs.config("pneumothorax", **runs.SMALL, epochs=2)
    with caplog.at_level("INFO"):
        loop.train_and_evaluate(config, tmp_path / "run")
    assert sorted(traced) == ["scoring", "step"]
    for words in ("making the first weights", "compiling the step"):
        assert caplog.text.count(f"{words}: ") == 1
    assert caplog.text.count("compiling the scoring of validation: ") == 1


def _wrong(logits, mask):
    return logits.sum()  # one number for all images


def test_what_compiling_finds_is_raised_before_the_first_step(tmp_path, monkeypatch):
    config = runs.config("pneumothorax", **runs.SMALL)
    load = build.load

    def broken(*arguments, **named):
        experiment = load(*arguments, **named)
        settings = experiment.settings._replace(losses={"odd": (_wrong, 1.0)})
        return experiment._replace(
            train_step=step.compile_step(settings, experiment.abstract)
        )

    monkeypatch.setattr(build, "load", broken)
    with pytest.raises(ConfigError, match="a loss returns one number an image"):
        loop.train_and_evaluate(config, tmp_path / "run")


def test_a_gpu_compiles_nothing_beside_what_runs(monkeypatch):
    config = runs.config("pneumothorax", **runs.SMALL)
    experiment = build.load(config, batch_size=config.batch_size)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    with compiled_ahead.programs(experiment) as programs:
        assert programs is None


def test_an_error_is_told_before_compiling_ends(monkeypatch):
    config = runs.config("pneumothorax", **runs.SMALL)
    experiment = build.load(config, batch_size=config.batch_size)
    told, compiled = threading.Event(), []

    def slow(experiment):
        compiled.append(told.wait(20))

    monkeypatch.setattr(compiled_ahead, "_step", slow)
    with pytest.raises(ZeroDivisionError):
        with compiled_ahead.programs(experiment) as programs:
            raise ZeroDivisionError
    assert not compiled and programs.scoring.cancelled()
    told.set()
    assert programs.step.result() is None and compiled == [True]
