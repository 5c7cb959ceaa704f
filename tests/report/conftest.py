"""Runs made once and reported once for all tests of the report."""

import shutil

import pytest
from support import fake_objects, fake_run

from jaxseg.report import figures
from jaxseg.report.read import read
from jaxseg.report.run import build


@pytest.fixture(scope="session")
def binary(tmp_path_factory):
    """A built report of two classes: its run directory. Do not change it."""
    root = fake_run.make(tmp_path_factory.mktemp("binary") / "ptx")
    build.build(root)
    return root


@pytest.fixture(scope="session")
def beads(binary, tmp_path_factory):
    """A built report of a run that looks for objects. Do not change it."""
    root = tmp_path_factory.mktemp("beads") / "beads"
    shutil.copytree(binary, root, ignore=shutil.ignore_patterns("report*", "figures"))
    build.build(fake_objects.add(root))
    return root


@pytest.fixture(scope="session")
def several(tmp_path_factory):
    """A built report of four classes, one never seen, and a single epoch."""
    root = fake_run.make(tmp_path_factory.mktemp("several") / "c", classes=4, epochs=1)
    build.build(root)
    return root


@pytest.fixture(scope="session")
def classes(tmp_path_factory):
    """Six classes, decided by offsets: 3 is not in the truth, 4 is never predicted.

    Its report is not built. Do not change it.
    """
    root = tmp_path_factory.mktemp("classes") / "six"
    offsets = [0.0, 0.5, -0.25, 0.0, 0.0, 0.75]
    return fake_run.make(root, classes=6, silent=(4,), offsets=offsets)


@pytest.fixture
def run(binary):
    """The binary run as read, fresh for every test to change."""
    return read(binary)


@pytest.fixture
def undrawn(monkeypatch):
    """Plots that cost nothing, for tests of the words around them."""

    def plot(name, title, caption, draw, **_):
        words = {"name": name, "alt": title, "caption": caption}
        return words | {"png": b"", "svg": "<svg></svg>"}

    monkeypatch.setattr(figures, "plot", plot)
