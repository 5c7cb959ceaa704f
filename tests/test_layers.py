"""The house stands: imports point down, files are short, names are looked up."""

import ast
import pathlib
from collections.abc import Iterator

import pytest

from jaxseg import errors, lookup

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "jaxseg"
# a wing imports wings of lower layers only, never one of its own layer
LAYERS = (
    {"labels", "errors", "types", "lookup", "schedule", "bounded_zip", "atomic"}
    | {"interrupts", "distances", "cores"},
    {"models", "losses", "regularisers", "targets", "data", "metrics", "postprocess"}
    | {"devices", "run_directory", "pictures"},
    {"config", "train_step", "inference", "weights", "report"},
    {"evaluation"},
    {"experiment"},
    {"doctor", "click", "export", "predict"},
    {"train"},
    {"sweep"},
    {"main", "prepare", "evaluate", "model_table", "recipes"},
)
LEVEL = {name: i for i, names in enumerate(LAYERS) for name in names}
# each may use those left of it
GROUND = ("labels", "errors", "types", "lookup", "schedule", "bounded_zip", "atomic")
GROUND += ("interrupts", "distances", "cores")
PARTS = {  # inside two wings, first to last
    "data": ("files", "records", "prepared", "phantoms", "preparation", "datasets"),
    "report": ("", "run", "comparison", "__main__"),  # "": the files of the wing
}
ROOMS = {  # a third party, and the wings that may import it
    "flax": {"models", "train_step", "types", "sweep"},
    "grain": {"data"},
    "tensorflow_datasets": {"data"},
    "orbax": {"run_directory"},
    "fsspec": {"run_directory"},
    "clu": {"train"},
    "tensorboard": {"train"},
}


def _imports() -> Iterator[tuple[pathlib.Path, tuple[str, ...], str]]:
    """(file, its parts below jaxseg, what it imports), from the syntax tree."""
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = ["relative import"]
            else:
                continue
            yield from ((path, parts, name) for name in names)


def _internal() -> Iterator[tuple[pathlib.Path, tuple[str, ...], list[str]]]:
    for path, parts, name in _imports():
        if name.startswith("jaxseg.") and parts[0] != "__init__":
            yield path, parts, name.split(".")[1:]


def test_every_wing_has_a_layer():
    for path in PACKAGE.glob("*"):
        name = path.stem
        if name[0] != "_" and (path.suffix == ".py" or path.is_dir()):
            assert name in LEVEL, f"{path.name} stands in no layer: add it to LAYERS"


def test_imports_point_down():
    for path, (wing, *_), (to, *_) in _internal():
        if wing in GROUND and to in GROUND:
            assert GROUND.index(to) < GROUND.index(wing), f"{path} imports {to}"
        elif wing != to:
            assert LEVEL[to] < LEVEL[wing], f"{path}: {wing} must not import {to}"


def test_imports_point_down_inside_data_and_report():
    for path, parts, to in _internal():
        if parts[0] != to[0] or parts[0] not in PARTS:
            continue
        order = PARTS[parts[0]]
        mine = parts[1] if parts[1] in order else ""
        other = to[1] if to[1] in order else ""
        if mine in order and other in order:
            assert order.index(other) <= order.index(mine), f"{path}: {'.'.join(to)}"


def _modules() -> dict[str, set[str]]:
    """{module: modules it imports, lazily or not}, all named below jaxseg."""
    names = {
        ".".join(p.relative_to(PACKAGE).with_suffix("").parts)
        for p in PACKAGE.rglob("*.py")
    }
    edges: dict[str, set[str]] = {name: set() for name in names}
    for _, parts, to in _internal():
        longest = [".".join(to[:n]) for n in range(len(to), 0, -1)]
        edges[".".join(parts)] |= set([n for n in longest if n in names][:1])
    return edges


def test_no_module_imports_itself_in_a_circle():
    """A circle inside a wing is as bad as one between wings."""
    edges, done = _modules(), set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, " -> ".join((*above, name))
        if name not in done:
            for other in edges[name]:
                visit(other, (*above, name))
            done.add(name)

    for name in edges:
        visit(name, ())


def test_what_a_typing_error_needs_imports_no_jax():
    """A mistake on the command line is answered at once."""
    edges = _modules()
    reached = {name for name in edges if name.startswith("config.")}
    reached |= {"lookup", "errors", "labels", "schedule"}
    while more := set().union(*(edges[name] for name in reached)) - reached:
        reached |= more
    for path, parts, name in _imports():
        if ".".join(parts) in reached:
            assert name.split(".")[0] not in ("jax", "flax", "optax"), path


def test_a_recipe_imports_the_base_and_nothing_else_of_the_package():
    for path in (ROOT / "configs").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("jaxseg"):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
                assert names == ["jaxseg.config.base"], f"{path} imports {names}"
            if isinstance(node, ast.Import):
                assert not any("jaxseg" in alias.name for alias in node.names), path


def test_no_relative_imports_and_third_parties_stay_in_their_rooms():
    for path, parts, name in _imports():
        assert name != "relative import", path
        rooms = ROOMS.get(name.split(".")[0])
        assert rooms is None or parts[0] in rooms, f"{path} must not import {name}"


def test_models_and_terms_import_only_their_own_private_parts():
    for path, parts, to in _internal():
        if parts[0] in ("models", "losses", "regularisers"):
            own = to[0] == parts[0] and any(part.startswith("_") for part in to[1:])
            ground = ("types", "errors", "labels", "distances")
            assert own or to[0] in ground, f"{path}: {to}"


@pytest.mark.parametrize("folder", ["jaxseg", "tests", "configs", "launch"])
def test_files_are_short(folder):
    for path in (ROOT / folder).rglob("*.py"):
        lines = len(path.read_text().splitlines())
        assert lines <= 400, f"{path} has {lines} lines: two ideas in one file?"


def test_a_wrong_name_gets_the_nearest_right_one():
    assert "uniform" in lookup.names("data/samplers")
    with pytest.raises(errors.ConfigError, match="did you mean 'uniform'"):
        lookup.check("data/samplers", "unifrom")
