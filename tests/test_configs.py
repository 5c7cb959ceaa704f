"""Every recipe is data, and its smallest form trains, scores and reports."""

import ast
import json
import pathlib

import pytest
from support import real_images, runs

from jaxseg.config import check
from jaxseg.report.run import build
from jaxseg.train import loop

NAMES = sorted(p.stem for p in (runs.ROOT / "configs").glob("*.py"))


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_imports_nothing_of_jaxseg_and_says_its_command(name):
    text = (runs.ROOT / f"configs/{name}.py").read_text()
    tree = ast.parse(text)
    assert f"--config=configs/{name}.py" in ast.get_docstring(tree)
    for node in ast.walk(tree):
        modules = [a.name for a in getattr(node, "names", []) if hasattr(a, "name")]
        modules.append(getattr(node, "module", None) or "")
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            assert not any(m.startswith("jaxseg") for m in modules)


@pytest.mark.parametrize("name", NAMES)
def test_the_smallest_form_runs_to_its_report(name, tmp_path):
    config = runs.config(name)
    if config.data.raw and not config.data.demo.images:
        real_images.bbbc007(tmp_path / "images")
        config.data.dir = str(tmp_path / "images")
    json.dumps(config.to_dict())
    check.check(config)
    known = loop.train_and_evaluate(config, tmp_path / "run")
    assert known["status"] == "finished" and known["total_steps"] <= 4
    paths = build.build(tmp_path / "run")
    report = pathlib.Path(paths["html"]).read_text()
    assert known["dataset"]["name"] in report
