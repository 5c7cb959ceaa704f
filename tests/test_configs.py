"""Every recipe is data, and its smallest form trains, scores and reports."""

import ast
import json
import pathlib
import re

import pytest
from support import real_images, runs

from jaxseg.config import check
from jaxseg.report.run import build
from jaxseg.train import loop

NAMES = sorted(p.stem for p in (runs.ROOT / "configs").glob("*.py"))


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_says_its_command_and_time_or_score_and_what_differs(name):
    text = (runs.ROOT / f"configs/{name}.py").read_text()
    tree = ast.parse(text)
    assert len(text.splitlines()) <= 130
    about = ast.get_docstring(tree)
    assert f"--config=configs/{name}.py" in about
    assert re.search(r"Dice 0\.\d+ \[0\.\d+,\s0\.\d+\]", about), "no expected score"
    assert re.search("minutes|steps", about)
    modules = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules += [f"{node.module}.{alias.name}" for alias in node.names]
    ours = [module for module in modules if module.startswith("jaxseg")]
    assert ours == ["jaxseg.config.base"]


# `hybrid_smoke`, which trains `classify_smoke` too, runs in tests/sweep/test_stages.py
SMALLEST = [(name, "smoke") for name in NAMES]
SMALLEST += [("covid", "joint_smoke"), ("covid", "regions_smoke")]


@pytest.mark.parametrize(("name", "recipe"), SMALLEST)
def test_the_smallest_form_runs_to_its_report(name, recipe, tmp_path):
    config = runs.config(name, recipe)
    if config.data.raw and not config.data.demo.images:
        real_images.nuclei(tmp_path / "images", numbered=False)
        config.data.dir = str(tmp_path / "images")
    json.dumps(config.to_dict())
    check.check(config)
    known = loop.train_and_evaluate(config, tmp_path / "run")
    assert known["status"] == "finished" and known["total_steps"] <= 4
    paths = build.build(tmp_path / "run")
    report = pathlib.Path(paths["html"]).read_text()
    assert known["dataset"]["name"] in report
