"""The learning benchmark: its sets, its judge, its tables, and one tiny run."""

import csv
import functools
import importlib
import json
import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scipy import stats

from jaxseg.config import check
from jaxseg.data.phantoms import tissue_tree
from jaxseg.models import unet
from jaxseg.run_directory import older_configs

FOLDER = pathlib.Path(__file__).parent


@pytest.fixture(scope="module")
def learning():
    before = list(sys.path)
    sys.path.insert(0, str(FOLDER))
    yield importlib.import_module("learning")
    sys.path[:] = before


@pytest.fixture(scope="module")
def sets(learning):
    return learning.learning_sets


@pytest.fixture(scope="module")
def sides(learning):
    return importlib.import_module("learning_sides")


def _splits(folder):
    rows = csv.reader((folder / "splits.csv").read_text().splitlines())
    return dict(list(rows)[1:])


def test_a_whole_acquisition_is_held_back(sets, tmp_path):
    folder = sets.write("bbbc007", tmp_path / "bbbc007")
    splits = _splits(folder)
    test = {stem for stem, split in splits.items() if split == "test"}
    assert len(splits) == 14 and len(test) == 5
    assert test == {stem for stem in splits if stem.startswith("20P1")}
    assert sum(split == "validation" for split in splits.values()) == 2
    for stem in splits:
        assert (folder / "images" / f"{stem}.tif").exists()
        assert (folder / "masks" / f"{stem}.tif").exists()


def test_slices_of_two_splits_are_never_neighbours(sets, tmp_path):
    rng = np.random.default_rng(0)
    volume = rng.random((24, 28, 80)).astype(np.float32)
    brain = np.zeros(volume.shape, bool)
    brain[6:18, 8:20] = True
    grey, white = (0.5 * rng.random(volume.shape) * brain for _ in range(2))
    sets.mni152_slices(tmp_path, volume, grey, white, brain)
    splits = {int(stem): split for stem, split in _splits(tmp_path).items()}
    assert set(splits.values()) == {"train", "validation", "test"}
    for z, split in splits.items():
        for other in range(z - 3, z + 4):
            assert splits.get(other, split) == split
    stored = np.asarray(Image.open(tmp_path / "images" / "008.png"))
    expected = np.rint(255 * volume[2:22, 4:24, 8].T[::-1])
    np.testing.assert_array_equal(stored, expected)
    mask = np.asarray(Image.open(tmp_path / "masks" / "008.png"))
    np.testing.assert_array_equal(
        mask, sets.tissues(grey, white, brain)[2:22, 4:24, 8].T[::-1]
    )
    names = (tmp_path / "classes.txt").read_text().split()
    assert names == ["background", "fluid", "grey", "white"]


def test_a_tissue_is_the_likeliest_and_fluid_is_the_rest(sets):
    grey = np.array([0.0, 0.1, 0.6, 0.3, 0.6])
    white = np.array([0.0, 0.2, 0.3, 0.6, 0.3])
    brain = np.array([False, True, True, True, False])
    assert sets.tissues(grey, white, brain).tolist() == [0, 1, 2, 3, 0]


def test_a_set_is_written_once_and_whole(sets, tmp_path, monkeypatch):
    calls = []

    def make(folder):
        calls.append(folder)
        folder.mkdir()
        if len(calls) == 1:
            raise OSError("disk full")

    monkeypatch.setitem(sets.SETS, "made", make)
    with pytest.raises(OSError, match="disk full"):
        sets.write("made", tmp_path / "made")
    assert not (tmp_path / "made").exists()
    for _ in range(2):
        assert sets.write("made", tmp_path / "made").is_dir()
    assert len(calls) == 2


def test_every_lever_is_a_config_that_can_start(learning, sides, tmp_path):
    for levers in (*learning.LEVERS, learning.NNUNET, "head_small+weights_none"):
        config = learning.recipe("tissue", tmp_path, seed=1, steps=40)
        keys, starts = learning.changes(levers)
        config.update_from_flattened_dict(keys)
        check.check(older_configs.complete(config))
        assert set(starts.values()) <= {"", *sides.STARTS}


def test_a_setting_is_a_lever(learning):
    keys, starts = learning.changes("optim.learning_rate=0.005+head_torch")
    assert keys == {"optim.learning_rate": 0.005} and starts["head"] == "torch"


def test_the_other_side_has_no_levers(learning):
    todo = learning.jobs(
        ["a", "b"],
        ["jaxseg", "monai"],
        ["default", "rotation"],
        seeds=2,
        steps=4,
        quick=False,
    )
    names = [learning.label(job) for job in todo]
    assert len(set(names)) == len(names) == 2 * 2 * 3
    assert not any(j["side"] == "monai" and j["levers"] != "default" for j in todo)
    assert [job["seed"] for job in todo] == [0] * 6 + [1] * 6
    small = learning.jobs(
        ["a"], ["jaxseg", "monai"], ["default"], seeds=1, steps=4, quick=True
    )
    assert [job["side"] for job in small] == ["jaxseg"]


def test_finished_runs_are_not_repeated(learning, tmp_path, monkeypatch):
    started = []

    def start(command, *, check, env):
        job = json.loads(command[-1].removeprefix("--one="))
        started.append(learning.label(job))
        if len(started) == 3:
            raise KeyboardInterrupt
        with open(tmp_path / "results.jsonl", "a") as file:
            file.write(json.dumps(job) + "\n")

    monkeypatch.setattr(learning.subprocess, "run", start)
    todo = learning.jobs(["a"], ["jaxseg"], ["default"], seeds=4, steps=4, quick=False)
    with pytest.raises(KeyboardInterrupt):
        learning.run(todo, tmp_path)
    learning.run(todo, tmp_path)
    names = [learning.label(job) for job in todo]
    assert started == [*names[:3], *names[2:]]


def test_the_judge_counts_over_the_split(sides):
    truth = [np.array([[0, 0, 1, 2]], np.uint8), np.array([[1, 1, 255, 2]], np.uint8)]
    guess = [np.array([[0, 1, 1, 0]], np.uint8), np.array([[1, 0, 2, 1]], np.uint8)]

    class Split(list):
        classes = ["background", "a", "b", "absent"]

    split = Split({"mask": t} for t in truth)
    out = sides.judged(lambda _, index: {"argmax": guess[index]}, split)
    # a: truth 3, predicted 4, both 2; b is predicted on the unlabelled pixel alone
    assert out["argmax"]["dice"]["a"] == pytest.approx(2 * 2 / (3 + 4))
    assert out["argmax"]["dice"]["b"] == 0.0
    assert out["argmax"]["dice"]["absent"] is None
    assert out["argmax"]["never"] == ["b"]


def test_flips_move_image_and_mask_alike(sides):
    mask = np.arange(400, dtype=np.uint8).reshape(100, 2, 2)
    image = mask[..., None].astype(np.float32)
    for _ in range(2):
        moved, labels = sides.flipped(np.random.default_rng(3), image, mask)
        np.testing.assert_array_equal(moved[..., 0], labels)
    kinds = {tuple((m - m.min()).ravel()) for m in labels}
    assert len(kinds) == 4
    assert (labels == mask).all((1, 2)).mean() == pytest.approx(0.25, abs=0.12)
    np.testing.assert_array_equal(mask.ravel(), np.arange(400, dtype=np.uint8))


def test_the_start_of_the_head_is_a_lever(sides, monkeypatch):
    drawn = []

    def start(key, shape, dtype):
        drawn.append(shape)
        return jnp.zeros(shape, dtype)

    monkeypatch.setitem(sides.STARTS, "zeros", start)
    model, image = unet.Model(5, widths=(16, 8)), np.zeros((1, 8, 8, 3), np.float32)
    for name, times in (("", 0), ("zeros", 1), ("", 1)):
        with sides.started(name):
            jax.eval_shape(
                functools.partial(model.init, train=False), jax.random.key(0), image
            )
        assert drawn == [(16, 5)] * times
    for name, spread in {"small": 0.01, "lecun": 0.25, "torch": 0.25 / 3**0.5}.items():
        kernel = sides.STARTS[name](jax.random.key(0), (16, 50), jnp.float32)
        assert float(kernel.std()) == pytest.approx(spread, rel=0.1)


def test_the_start_of_all_convolutions_is_a_lever(sides):
    model, image = unet.Model(5, widths=(64, 8)), np.zeros((1, 8, 8, 3), np.float32)

    def spreads(**starts):
        with sides.started(**starts):
            params = model.init(jax.random.key(0), image, train=False)["params"]
        kernels = jax.tree_util.tree_leaves_with_path(params)
        kernels = [(str(path), x) for path, x in kernels if x.ndim == 4]
        assert len(kernels) > 4
        return {p: float(x.std()) * (x.size / x.shape[-1]) ** 0.5 for p, x in kernels}

    he, torch = spreads(convolutions="he"), spreads(convolutions="torch")
    assert torch == spreads()  # as U-Nets start
    for path, spread in he.items():
        if "transposed" in path or "up" in path:
            continue  # of another fan-in, and of another start
        assert spread == pytest.approx(2**0.5, rel=0.2), path
        assert torch[path] == pytest.approx(3**-0.5, rel=0.2), path


def test_intervals_are_those_of_scipy(learning):
    a, b = [0.81, 0.84, 0.80], [0.70, 0.79, 0.73, 0.71]
    mean, half = learning.interval(a)
    low, high = stats.t.interval(0.95, 2, np.mean(a), stats.sem(a))
    assert (mean - half, mean + half) == pytest.approx((low, high))
    apart, half = learning.difference(a, b)
    expected = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    assert (apart - half, apart + half) == pytest.approx(tuple(expected))
    assert learning.shown(*learning.interval([0.5])) == "0.500"
    assert np.isnan(learning.difference([0.5], b)[1])
    assert learning.difference([0.5, 0.5], [0.25, 0.25]) == (0.25, 0.0)


def _row(side, seed, dice, *, levers="default", name="tissue"):
    found = {"dice": {"background": 0.9, "a": dice, "b": None}, "never": ["b"]}
    return {
        "set": name,
        "side": side,
        "levers": levers,
        "seed": seed,
        "steps": 400,
        "quick": False,
        "classes": ["background", "a", "b"],
        "support": [0.9, 0.1, 0.0],
        "result": {"argmax": found},
        "parameters": 1000,
        "date": "2026-11-28",
        "versions": {"jax": "1.0"} | ({"torch": "2.0"} if side == "monai" else {}),
        "processor": "a processor",
    }


def test_the_table_has_a_row_for_every_class(learning):
    rows = [_row("jaxseg", s, 0.8 + 0.01 * s) for s in range(3)]
    rows += [_row("monai", s, 0.7 + 0.01 * s) for s in range(3)]
    rows += [_row("jaxseg", 0, 0.1, levers="rotation"), _row("monai", 0, 1.0, name="x")]
    lines = learning.table(rows)
    assert len(lines) == 2 + 3 + 2  # a, b and their mean; a footnote
    cells = [cell.strip() for cell in lines[2].split("|")[1:-1]]
    assert cells[:4] == ["tissue", "a", "10.00%", "0.810 [0.785, 0.835]"]
    assert cells[4] == "0.710 [0.685, 0.735]"
    assert cells[5].startswith("+0.100 [+0.07") and cells[7] == "3"
    assert cells[6] == cells[3]  # no operating point in these rows
    assert "| tissue | mean |" in lines[4]
    assert lines[-1].startswith("2026-11-28; a processor; jax 1.0, torch ")
    assert learning.table([]) == []


def test_the_table_of_levers_compares_with_the_default(learning):
    rows = [_row("jaxseg", s, 0.8 + 0.01 * s) for s in range(3)]
    rows += [_row("jaxseg", s, 0.6, levers="rotation") for s in range(3)]
    rows += [_row("monai", 0, 0.9)]
    assert learning.ablation_table(rows[:3]) == []
    lines = learning.ablation_table(rows)
    assert lines[0] == "tissue, 400 steps:"
    default, rotation = (line for line in lines if line.startswith(("| def", "| rot")))
    assert "| 0.810 [0.785, 0.835] |  |" in default
    assert "| 0.600 [0.600, 0.600] | -0.210 [" in rotation
    assert "| 1.0 |" in rotation  # b is never predicted


def test_a_run_is_trained_and_judged(learning, sets, tmp_path, monkeypatch):
    def few(folder):
        tissue_tree.write(folder, images=20, size=48)

    tiny = {"model.unet.widths": (4, 4, 6, 6), "data.image_size": (32, 32)}
    monkeypatch.setitem(sets.SETS, "few", few)
    monkeypatch.setitem(learning.LEVERS, "tiny", tiny)
    (job,) = learning.jobs(["few"], ["jaxseg"], ["tiny"], seeds=1, steps=2, quick=True)
    row = learning.one(job, tmp_path)
    assert row["classes"][-1] == "ganglion" and sum(row["support"]) == pytest.approx(1)
    assert set(row["result"]) == {"argmax", "operating_point"}
    dice = row["result"]["argmax"]["dice"]
    assert any(value for value in dice.values())
    assert row["parameters"] > 1000 and json.loads(json.dumps(row)) == row
    assert not list((tmp_path / "runs").iterdir())
    assert learning.ablation_table([row])
