"""The short form of the endurance measurement: one kill, and damage of every file.

`python tests/endurance/run.py` is the long form; README.md says what it does.
"""

import pathlib
import shutil

import pytest

from endurance import damage, doors, interruptions, ledger, mutations, run, twins
from jaxseg.data import prepared, sparse_labels
from jaxseg.errors import ConfigError, DataError
from jaxseg.report import read
from jaxseg.run_directory import files, schemas, seal

# shorter than in the long form
SHORT = ("--config.epochs=3", "--config.log_every=1", "--config.checkpoint.keep=2")
SHORT += ("--config.model.unet.widths=(4, 6)", "--config.checkpoint.every_steps=0")


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    """A finished run that nothing happened to."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(twins, "RECIPE", twins.RECIPE + SHORT)
        yield twins.make(tmp_path_factory.mktemp("twin"))


def test_a_killed_run_equals_its_twin_and_leaves_nothing_behind(twin, tmp_path):
    outcome = interruptions.interrupt(
        "workers=0 seed=4", twin, tmp_path / "case", interruptions.kill_door, ["step"]
    )
    assert not outcome.fault and outcome.tries == 1


def _read_run(workdir: pathlib.Path) -> None:
    """Everything that a report reads of a run, and the labels that it drew."""
    read.read(workdir)
    seal.check(workdir, seal.read(workdir))
    files.read(workdir / files.OPERATING_POINT, schemas.OperatingPoint)
    sparse_labels.read(workdir / "supervision.npz")


def _read_data(folder: pathlib.Path) -> None:
    """Every example of every split of a prepared data set."""
    prepared.source.cache_clear()
    for name in ("train", "validation", "test"):
        split = prepared.open_split(folder, name)
        for i in range(len(split)):
            split[i]


def _run_of(twin: twins.Twin) -> pathlib.Path:
    return twin.workdir


def _data_of(twin: twins.Twin) -> pathlib.Path:
    return next(twin.cache.glob("demo/*/phc/1.0.0"))


@pytest.mark.parametrize(
    "folder_of, reader", [(_run_of, _read_run), (_data_of, _read_data)]
)
def test_a_damaged_file_is_read_or_refused_in_words(twin, tmp_path, folder_of, reader):
    folder = shutil.copytree(folder_of(twin), tmp_path / "copy")
    whole = [name for name in mutations.files_of(folder) if _is_stable(name)]
    refused, wrong = 0, []
    for each in damage.plan(whole, 3 * len(whole), "short form", kinds=_KINDS):
        content = (folder / each.file).read_bytes()
        damage.apply(each, folder, folder)
        try:
            reader(folder)
        except (DataError, ConfigError):
            refused += 1
        except Exception as error:
            wrong.append(f"{each.kind} {each.file}: {error!r}")
        (folder / each.file).write_bytes(content)
    assert not wrong
    assert refused > len(whole) / 2


_KINDS = ("flip", "truncate", "delete", "empty", "zeros")


def _is_stable(name: str) -> bool:
    """Whether a file has this name in every run; arrays are named by digests."""
    parts = pathlib.Path(name).parts
    return parts[0] not in ("tb", "figures") and len(parts) < 3


def test_what_no_twin_has_is_a_difference(twin, tmp_path):
    """The comparison itself can fail: in a score, a point, an array and a file."""
    workdir = shutil.copytree(twin.workdir, tmp_path / "run")
    assert not twins.differences(workdir, twin)
    (workdir / "left.tmp").touch()
    history = (workdir / "history.csv").read_text()
    (workdir / "history.csv").write_text(history.replace("0.", "1.", 1))
    shutil.rmtree(workdir / "tb")
    step = str(twins.steps(workdir)[-1])
    state = workdir / "checkpoints" / step / "state"
    before = workdir / "checkpoints" / str(twins.steps(workdir)[0]) / "state"
    shutil.rmtree(state)
    shutil.copytree(before, state)
    said = " ".join(twins.differences(workdir, twin))
    for word in ("history.csv differs", f"arrays of step {step}", "no point loss"):
        assert word in said
    assert "litter left.tmp" in said


def test_damage_goes_through_every_file_and_changes_it(tmp_path):
    for k, name in enumerate(("a.json", "b.json", "inner/c.npz")):
        path = tmp_path / "run" / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(bytes([k]) * 700)
    shutil.copytree(tmp_path / "run", tmp_path / "other")
    (tmp_path / "other/a.json").write_bytes(b"another")
    names = mutations.files_of(tmp_path / "run")
    planned = damage.plan(names, 6, "0")
    assert sorted({d.file for d in planned[:3]}) == names
    assert planned == damage.plan(names, 6, "0") != damage.plan(names, 6, "1")
    for number, kind in enumerate(damage.KINDS):
        copy = shutil.copytree(tmp_path / "run", tmp_path / f"copy{number}")
        one = damage.Damage(kind, "a.json", seed=number)
        expected = kind != "zeros"  # this file holds nothing but zeros
        assert damage.apply(one, copy, tmp_path / "other") == expected


@pytest.mark.parametrize(
    "code, err, fault",
    [
        (0, "a warning", ""),
        (3, "jaxseg: a.png is empty.", ""),
        (3, "no sentence", "exit code 3 without a sentence: no sentence"),
        (-9, "", "killed by SIGKILL"),
        (1, "Traceback (most recent call last):\nKeyError: 'a'\n", "KeyError: 'a'"),
    ],
)
def test_an_end_without_a_sentence_is_a_fault(code, err, fault):
    assert fault in doors.Ended(code, "", err).fault
    assert bool(doors.Ended(code, "", err).fault) == bool(fault)


def test_a_measurement_goes_on_where_it_stopped(tmp_path, monkeypatch, capsys):
    tried = []

    def one(case, twin, place):
        tried.append(case)
        return ledger.Outcome("equal", "broken" if case == "b 1" else "", tries=2)

    part = run.Part(lambda count, seed: ["a 0", "a 1", "b 1"][:count], one, 3)
    monkeypatch.setattr(run, "PARTS", {"toy": part})
    monkeypatch.setattr(run.twins, "make", lambda out: None)
    for count in (2, 3):
        run.measure("toy", count, 0, tmp_path, "")
    assert tried == ["a 0", "a 1", "b 1"]
    rows = ledger.Ledger(tmp_path / "results.jsonl").rows()
    assert ledger.table(rows)[2:] == [
        "| toy | a | 2 | 4 | 2 equal | 0 |",
        "| toy | b | 1 | 2 |  | 1 |",
    ]
    assert ledger.faults(rows) == ["- toy, b 1: broken"]


def test_every_part_names_its_cases_by_count_and_seed():
    for name, part in run.PARTS.items():
        cases = part.cases(part.count, 0)
        assert len(set(cases)) == len(cases) > 0, name
        assert cases == part.cases(part.count, 0)
