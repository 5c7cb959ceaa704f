"""Every path that a text names is there: README, docstrings, errors, launch files."""

import ast
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[1]
TOP = "jaxseg|configs|tests|launch|docs"
# jaxseg/train/loop.py, tests/support/, configs/NAME.py; not the end of a longer path
PATH = re.compile(rf"(?<![\w/.]){'(?:' + TOP + ')'}/[\w./*-]*[\w/*]")
MODULE = re.compile(r"(?<![\w/.-])jaxseg(?:\.[a-z_][a-z_0-9]*)+")
PLACEHOLDER = re.compile(r"NAME|\*|\.\.\.")


@pytest.fixture(scope="module")
def texts():
    """(file, text) of every document, and of every string and comment in the code."""
    return list(_texts())


def _texts():
    for path in [*ROOT.glob("*.md"), *ROOT.glob("tests/benchmarks/*.md")]:
        yield path, path.read_text()
    for folder in ("jaxseg", "configs", "launch", "tests"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if path == pathlib.Path(__file__):
                continue
            text = path.read_text()
            tree = ast.parse(text)
            if folder == "tests":  # their other strings are mistakes made on purpose
                kinds = (ast.Module, ast.FunctionDef, ast.ClassDef)
                nodes = [node for node in ast.walk(tree) if isinstance(node, kinds)]
                strings = [ast.get_docstring(node) or "" for node in nodes]
            else:
                nodes = [n for n in ast.walk(tree) if isinstance(n, ast.Constant)]
                strings = [n.value for n in nodes if isinstance(n.value, str)]
            yield path, "\n".join([*strings, *re.findall(r"#.*", text)])


def _missing_paths(text):
    for word in PATH.findall(text):
        if not PLACEHOLDER.search(word) and not (ROOT / word).exists():
            yield word


def _missing_modules(text):
    for word in MODULE.findall(text):
        parts = word.split(".")
        # a name of a module, perhaps with an attribute behind it
        whole, shorter = (ROOT.joinpath(*parts[:n]) for n in (len(parts), -1))
        there = [
            p for p in (whole, shorter) if p.is_dir() or p.with_suffix(".py").exists()
        ]
        if not there or there == [ROOT / "jaxseg"] and parts[1] not in _NAMES:
            yield word


_NAMES = ("load", "__version__")


@pytest.mark.parametrize("find", [_missing_paths, _missing_modules])
def test_every_path_and_module_that_is_named_exists(texts, find):
    wrong = [
        f"{path.relative_to(ROOT)}: {word}"
        for path, text in texts
        for word in find(text)
    ]
    assert not wrong, "\n".join(wrong)
