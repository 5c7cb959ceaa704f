"""A run names the run before it, and what it is for: its record says both."""

import hashlib

import pytest
from support import fake_run, runs

from jaxseg.errors import ConfigError
from jaxseg.report.read import read
from jaxseg.report.run import build
from jaxseg.run_directory import course_schemas, schemas
from jaxseg.train import open_run, run_record


@pytest.fixture
def first(tmp_path):
    return fake_run.make(tmp_path / "first", epochs=2)


def _config(parent, **changes):
    return runs.config("pneumothorax", parent=str(parent), **changes)


def test_a_parent_is_told_from_others_by_name_time_and_config(first, tmp_path):
    link = run_record.parent(tmp_path / "second", _config(first), {})
    assert link == {
        "name": "first",
        "created": "2026-01-02T03:04:05",
        "config_sha256": hashlib.sha256(
            (first / "config.json").read_bytes()
        ).hexdigest(),
    }
    schemas.check(link, course_schemas.Parent, "run.json")
    assert run_record.parent(tmp_path / "second", _config(""), {}) is None


def test_a_directory_without_a_run_is_no_parent(first, tmp_path):
    (tmp_path / "empty").mkdir()
    for place in ("empty", "nowhere"):
        with pytest.raises(ConfigError, match=f"{place}, which holds no run"):
            run_record.parent(tmp_path / "second", _config(tmp_path / place), {})
    (first / "config.json").unlink()
    with pytest.raises(ConfigError, match="holds no run"):
        run_record.parent(tmp_path / "second", _config(first), {})


def test_a_run_is_not_its_own_parent(first):
    with pytest.raises(ConfigError, match="this very run"):
        run_record.parent(first, _config(first), {})


def test_a_parent_that_was_moved_since_stays_what_it_was(first, tmp_path):
    second, config = tmp_path / "second", _config(first)
    link = run_record.parent(second, config, {})
    first.rename(tmp_path / "elsewhere")
    assert run_record.parent(second, config, {"parent": link}) == link


def test_parent_and_note_may_change_when_a_run_goes_on():
    assert {"parent", "note"} <= {*open_run.FREE}


def test_the_page_of_a_run_says_both(first, undrawn_page):
    run = read(first)
    run["info"].update(note="heavier weights", parent={"name": "zero"})
    facts = build.content(run)["facts"]
    assert "after zero" in facts and "heavier weights" in facts
    assert "after" not in " ".join(build.content(read(first))["facts"])


@pytest.fixture
def undrawn_page(monkeypatch):
    """Plots that cost nothing."""
    from jaxseg.report import figures

    def plot(name, title, caption, draw, **_):
        words = {"name": name, "alt": title, "caption": caption}
        return words | {"png": b"", "svg": "<svg></svg>"}

    monkeypatch.setattr(figures, "plot", plot)
