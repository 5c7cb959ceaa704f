"""The house stands: imports point down, files are short, names are found."""

import ast
import pathlib

import pytest

from jaxseg import errors, lookup

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "jaxseg"
LAYERS = [
    {"labels", "errors"},
    {"types"},
    {"lookup", "schedule", "checks", "defaults"},
    {"models", "losses", "regularisers", "metrics", "data", "sharding", "optim"}
    | {"postprocess", "panels", "digests", "transfer", "layouts"}
    | {"torch_files"},
    {"state", "step", "checkpoint", "writers", "formats", "weights"}
    | {"rundir", "progress", "environment", "feed", "hold", "unrolled"},
    {"meter", "stop", "pretrained", "grid", "label_pictures"},
    {"score", "operating_point", "finetune", "supervision"},
    {"boundaries"},
    {"config_check", "evaluation", "assemble"},
    {"runtime", "setup", "trained"},
    {"epoch", "doctor", "members"},
    {"train", "report", "dry_run", "rescore", "summary"},
    {"together", "rounds"},
    {"campaign"},
    {"main", "prepare", "evaluate", "export", "model_table", "sweep", "cli"}
    | {"click"},
]
LEVEL = {name: i for i, names in enumerate(LAYERS) for name in names}
ONLY = {
    "flax": {"models", "state", "types", "hold", "members", "unrolled"},
    "grain": {"data"},
    "orbax": {"checkpoint"},
    "clu": {"writers"},
}


def _imports():
    """(file, its top-level name, what it imports) for every line, from the AST."""
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                found = [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                found = ["relative import"]
            else:
                continue
            yield from ((path, parts[0], name) for name in found)


def _internal():
    for path, me, name in _imports():
        if name.startswith("jaxseg."):
            yield path, me, name.split(".")[1]


def test_every_module_has_a_layer():
    for path in PACKAGE.glob("*"):
        name = path.stem
        if name[0] != "_" and (path.suffix == ".py" or path.is_dir()):
            assert name in LEVEL, f"{path.name} stands in no layer: add it to LAYERS"


def test_imports_point_down():
    for path, me, to in _internal():
        if me == to or me == "__init__":
            continue
        if (me in LAYERS[-1] or path.name == "__main__.py") and to == "cli":
            continue  # the doors share their frame
        assert LEVEL[to] < LEVEL[me], f"{path}: {me} must not import {to}"


def test_no_relative_imports_and_third_parties_stay_in_their_rooms():
    for path, me, name in _imports():
        assert name != "relative import", path
        top = name.split(".")[0]
        assert me in ONLY.get(top, {me}), f"{path}: {me} must not import {top}"


def test_models_and_terms_import_only_their_own_private_parts():
    for path, me, name in _imports():
        if me in ("models", "losses", "regularisers") and name.startswith("jaxseg."):
            parts = name.split(".")
            own = parts[1] == me and any(p.startswith("_") for p in parts[2:])
            assert own or parts[1] in ("types", "errors"), f"{path} imports {name}"


@pytest.mark.parametrize("folder", ["jaxseg", "tests", "configs", "launch"])
def test_files_are_short(folder):
    for path in (ROOT / folder).rglob("*.py"):
        lines = len(path.read_text().splitlines())
        assert lines <= 250, f"{path} has {lines} lines: two ideas in one file?"


def test_a_wrong_name_gets_the_nearest_right_one():
    assert "uniform" in lookup.names("data/samplers")
    with pytest.raises(errors.ConfigError, match="did you mean 'uniform'"):
        lookup.check("data/samplers", "unifrom")
