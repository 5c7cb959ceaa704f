"""Benchmarks run; what they measure is printed, never judged by a clock."""

import importlib.util
import json
import pathlib

import cv2
import pytest

from jaxseg.config import check
from jaxseg.run_directory import older_configs
from jaxseg.sweep import members

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def evaluation():
    path = ROOT / "tests" / "benchmarks" / "evaluation.py"
    spec = importlib.util.spec_from_file_location("evaluation_benchmark", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_evaluation_prints_both_sides_and_keeps_its_bounds(evaluation, monkeypatch):
    def here(images, size, kind, threads):
        return evaluation.measured(kind, images, size, threads)

    monkeypatch.setattr(evaluation, "apart", here)
    monkeypatch.setattr(evaluation.sys, "path", list(evaluation.sys.path))
    monkeypatch.setattr(cv2, "setNumThreads", lambda number: None)
    lines = evaluation.table(4, 64)
    for name in (*evaluation.SIDES, "average_precision", "roc_auc", "best_f1"):
        assert any(line.startswith(f"| {name} |") for line in lines), name
    assert "4 images of 64x64: 16,384 pixels" in lines[0]

    def wrong(images, size, kind, threads):
        row = here(images, size, kind, threads)
        return row | {"roc_auc": 0.5} if kind == "scikit_learn" else row

    monkeypatch.setattr(evaluation, "apart", wrong)
    with pytest.raises(SystemExit, match="roc_auc: .* more than the bound"):
        evaluation.table(4, 64)


def test_a_side_runs_in_a_process_of_its_own(evaluation):
    row = evaluation.apart(3, 32, "jaxseg", 1)
    assert row["support"] == 3 * 32 * 32
    assert 0 < row["bytes"] < 2**30 and row["cpu_seconds"] > 0
    assert row["point"]["source_split"] == "validation"


def test_drawn_images_have_all_kinds_of_pixels(evaluation):
    image, mask, probability = evaluation.draw(0, 64)
    assert (image.shape, mask.shape) == ((64, 64, 1), (64, 64))
    assert set(mask.ravel().tolist()) == {0, 1} and probability.dtype.name == "float32"
    assert 0 < probability.min() < 0.1 and 0.5 < probability.max() < 1
    assert not evaluation.draw(1, 64)[1].any()
    again = evaluation.draw(0, 64)[2]
    assert (again == probability).all()


def test_the_comparison_of_terms_is_a_sweep_and_a_table(tmp_path):
    path = ROOT / "tests" / "benchmarks" / "weak_losses.py"
    spec = importlib.util.spec_from_file_location("weak_losses", path)
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    config = older_configs.complete(recipe.get_config())
    configs = members.members(config, members.changes(config, str(path), seeds=3))
    assert len(configs) == 3 * len(recipe.TERMS) and config.recipe == "5+5"
    for name, member in configs.items():
        check.check(member)
        assert member.seed == int(name[-1])
    for name, values in {"clicks_alone": (0.8, 0.9), "entropy": (0.85, 0.93)}.items():
        for seed, value in enumerate(values):
            folder = tmp_path / f"{name}-seed{seed}" / "eval"
            folder.mkdir(parents=True)
            dice = {"name": "dice_pooled", "class": "cell", "value": value}
            rows = [dice | {"class": "background", "value": 0.5}, dice]
            found = {"metrics": rows, "classes": ["background", "cell"]}
            (folder / "test.json").write_text(json.dumps(found))
    lines = recipe.table(tmp_path)
    assert lines[2] == "| clicks_alone | 0.8500 | 0.8000 to 0.9000 |  |"
    assert lines[3].endswith("| 0.8900 | 0.8500 to 0.9300 | +0.0400 |")
    assert len(lines) == 4


def test_every_target_of_objects_is_tried_on_the_nuclei(tmp_path):
    path = ROOT / "tests" / "benchmarks" / "nuclei.py"
    spec = importlib.util.spec_from_file_location("nuclei", path)
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    config = older_configs.complete(recipe.get_config())
    config.data.dir = str(tmp_path)
    configs = members.members(config, members.changes(config, str(path), seeds=2))
    assert len(configs) == 2 * len(recipe.TARGETS) and config.data.demo.images == 0
    for name, member in configs.items():
        check.check(member)
        assert name == f"{member.target.name}-seed{member.seed}"
    learns_objects = {p.stem for p in (ROOT / "jaxseg" / "targets").glob("[a-z]*.py")}
    assert {*recipe.TARGETS} == learns_objects - {"regions"}
