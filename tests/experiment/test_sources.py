"""A run records the content of what no revision tells: own modules, and the recipe."""

import hashlib
import subprocess
import sys

import pytest
from support import runs

from jaxseg.experiment import sources
from jaxseg.run_directory import environment
from jaxseg.train import run_record


def git(folder, *words):
    who = ["-c", "user.name=n", "-c", "user.email=e"]
    subprocess.run(["git", "-C", str(folder), *who, *words], check=True)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A repository with a committed model and helper, and a loss that is not."""
    lab = tmp_path / "its_lab"
    lab.mkdir()
    (lab / "helper.py").write_text("WIDTH = 4\n")
    (lab / "model.py").write_text("from its_lab import helper\n\nModel = helper\n")
    (tmp_path / "mine.py").write_text("def get_config(arg=''):\n    return None\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "m")
    (lab / "loss.py").write_text("def loss(logits, mask):\n    return 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "argv", ["main", f"--config={tmp_path / 'mine.py'}:full"])
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "its_lab"]:
        del sys.modules[name]


def config():
    out = runs.config("folder", **{"model.name": "its_lab.model"})
    with out.unlocked():
        out.loss.mine = {"module": "its_lab.loss", "weight": 1.0}
        out.loss.unused = {"module": "its_lab.unused", "weight": 0.0}
    return out


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_own_modules_and_the_recipe_are_listed_with_their_content(project):
    __import__("its_lab.model")
    used = run_record.sources_of(config(), {})
    recipe = str(project / "mine.py")
    own = {n: r for n, r in used.items() if not n.startswith("jaxseg.")}
    assert {*own} == {recipe, "its_lab.model", "its_lab.helper", "its_lab.loss"}
    for name, row in own.items():
        path = project / f"{name.replace('.', '/')}.py"
        path = project / "mine.py" if name == recipe else path
        assert row["file"] == str(path) and row["sha256"] == digest(path)
        assert row["tracked"] is (name != "its_lab.loss") and not row["changed"]
    assert [own[n]["kind"] for n in (recipe, "its_lab.model", "its_lab.loss")] == [
        "recipe",
        "models",
        "losses",
    ]


def test_what_is_changed_or_not_committed_makes_the_run_dirty(project):
    clean = {"git": {"revision": "0" * 40, "dirty": False}}
    committed = run_record.sources_of(config(), {})
    loss = committed.pop("its_lab.loss")
    committed = {n: r for n, r in committed.items() if not n.startswith("jaxseg.")}
    assert not any(map(run_record.is_uncommitted, committed.values()))
    assert run_record.with_sources(clean, committed)["git"]["dirty"] is False
    mixed = run_record.with_sources(clean, committed | {"its_lab.loss": loss})
    assert mixed["git"] == {"revision": "0" * 40, "dirty": True}
    assert clean["git"]["dirty"] is False
    (project / "its_lab" / "model.py").write_text("Model = None\n")
    changed = run_record.sources_of(config(), {})["its_lab.model"]
    assert changed["tracked"] and changed["changed"]
    assert run_record.with_sources(clean, {"m": changed})["git"]["dirty"] is True
    assert run_record.with_sources({"git": None}, {"m": changed})["git"] is None


def test_a_run_that_goes_on_with_its_stored_config_keeps_its_recipe(
    project, monkeypatch
):
    first = run_record.sources_of(config(), {})
    monkeypatch.setattr(sys, "argv", ["main", f"--config={project}/config.json"])
    assert run_record.sources_of(config(), {"sources": first}) == first
    (project / "mine.py").unlink()
    assert run_record.sources_of(config(), {"sources": first}) == first
    assert sources.recipe(["main"]) is None
    assert sources.recipe(["pytest", "--config=no_such_thing"]) is None


def test_a_file_of_the_package_that_is_not_committed_is_listed(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["main"])
    plain = runs.config("folder")
    state = environment.source
    assert all(part.file.is_file() for part in sources.parts(plain))

    def untracked(file):
        own = file.name == "swin_upernet.py"
        return state(file) | {"tracked": not own, "changed": False}

    monkeypatch.setattr(environment, "source", untracked)
    monkeypatch.setattr(run_record, "_in_checkout", lambda: True)
    used = run_record.sources_of(plain, {})
    assert {*used} == {"jaxseg.models.swin_upernet"}
    monkeypatch.setattr(run_record, "_in_checkout", lambda: False)
    assert run_record.sources_of(plain, {}) == {}
