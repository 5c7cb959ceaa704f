"""The door `python -m jaxseg.doctor`, and the quick part before a training."""

import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
from support import doctored, real_images, runs

from jaxseg import errors
from jaxseg.config import check, doctor_checks
from jaxseg.doctor import audit, page, pictures
from jaxseg.doctor.case import Finding
from jaxseg.run_directory import files, older_configs
from jaxseg.train import loop, open_run

SMOKE = "--config=configs/folder.py:smoke"


def _doctor(*arguments, command=("-m", "jaxseg.doctor")):
    return subprocess.run(
        [sys.executable, *command, *map(str, arguments)],
        cwd=runs.ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=500,
    )


def test_the_page_of_a_real_folder(tmp_path):
    data = real_images.bbbc007(tmp_path / "my_images")
    output = tmp_path / "out"
    focal = "--config.loss.focal.gamma=1.0"
    done = _doctor(SMOKE, focal, f"--config.data.dir={data}", f"--output={output}")
    assert done.returncode == 0, done.stderr
    assert "config.loss.focal.gamma has no effect" in done.stderr
    lines = done.stdout.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("doctor: "))
    end = next(i for i, line in enumerate(lines) if line.startswith("Next: "))
    shown = "\n".join(lines[start:end])
    assert all(len(line) <= 88 for line in lines[start:end])
    for name in doctor_checks.FAST + doctor_checks.FULL:
        assert f" {name} " in shown
    assert "\0" not in done.stdout and "100 % in train" in " ".join(shown.split())
    assert "error" not in shown and "Ready to train, with 2 warning(s)" in shown
    assert f"{SMOKE} {focal} --config.data.dir={data}" in lines[end]
    text = (output / "doctor.md").read_text()
    for file in pictures.CAPTIONS:
        assert f"]({file})" in text
        picture = cv2.imread(str(output / file))
        assert picture.std() > 10 and picture.shape[1] == 4 * 64
    pictures.check_free(output)  # it may write there again
    (output / "doctor.md").write_text("my own notes")
    with pytest.raises(errors.ConfigError, match=r"doctor\.md .* not replaced"):
        pictures.check_free(output)


def test_a_misspelt_mask_folder_ends_with_exit_code_3(tmp_path):
    data = doctored.folder(tmp_path / "my_images", masks="maks")
    done = _doctor(SMOKE, f"--config.data.dir={data}")
    assert done.returncode == 3 and "masks" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "words,said",
    [
        ((), "--config=configs/pneumothorax.py"),
        (
            (SMOKE, "--config.data.dir=x", "--config.doctor.ignore=('class_suport',)"),
            "did you mean 'class_support'?",
        ),
    ],
)
def test_a_mistake_is_answered_before_jax_starts(words, said):
    quick = "import sys; sys.modules['jax'] = None; import runpy; "
    quick += "runpy.run_module('jaxseg.doctor', run_name='__main__', alter_sys=True)"
    done = _doctor(*words, command=("-c", quick))
    assert done.returncode == 2 and said in done.stderr, done.stderr


@pytest.mark.parametrize(
    "key,value,said",
    [
        ("ignore", ("supervison",), "did you mean 'supervision'"),
        ("steps", 0, "at least 1"),
        ("prevalence", 22.0, "from -1 to 1"),
    ],
)
def test_wrong_settings_are_refused(key, value, said):
    config = runs.config("pneumothorax", **{f"doctor.{key}": value})
    with pytest.raises(errors.ConfigError, match=said):
        check.check(config)


def _leaking(tmp_path, **changes):
    image, mask = np.full((48, 40), 90, np.uint8), np.zeros((48, 40), np.uint8)
    image[5:20, 5:20], mask[5:20, 5:20] = 200, 255
    extra = [("x", "train", image, mask), ("y", "test", image, mask)]
    directory = doctored.folder(tmp_path / "my_images", extra=extra)
    return doctored.folder_config(directory, **changes)


def test_an_error_stops_training_unless_it_is_ignored(tmp_path, caplog):
    config = _leaking(tmp_path)
    with pytest.raises(errors.DataError, match="duplicates: 1 image") as raised:
        loop.train_and_evaluate(config, tmp_path / "run")
    assert "config.doctor.ignore: ('duplicates',)" in str(raised.value)
    assert not (tmp_path / "run" / "checkpoints").exists()
    config.doctor.ignore = ("duplicates",)
    case = doctored.case(config)
    audit.fast(config, case.experiment)
    findings = audit.run(case, ("duplicates", "total_steps"))
    assert audit.stopping(case, findings) == []
    shown = page.text(case, findings, [])
    assert "error (ignored)" in shown and "Ignored: duplicates." in shown


def test_errors_of_the_data_outrank_those_of_the_config():
    config = Finding("error", "", name="loss_weights")
    data = Finding("error", "", name="group_leak")
    assert audit.exit_code([]) == 0
    assert audit.exit_code([config]) == 2
    assert audit.exit_code([config, data]) == 3


def test_a_run_from_before_doctor_goes_on(phantoms, tmp_path):
    old = phantoms.config.copy_and_resolve_references()
    del old["doctor"]
    full = older_configs.complete(old)
    check.check(full)
    audit.fast(full, phantoms.experiment)
    files.check_config(tmp_path, old.to_dict())
    (tmp_path / "history.csv").write_text("step\n")
    files.write_json(tmp_path / "run.json", {})
    now = phantoms.config.to_dict()
    assert files.check_config(tmp_path, now, allowed=open_run.FREE) == "resume"


def test_the_page_says_what_to_do(phantoms):
    bad = Finding("error", "seen 1", "why 2", "fix 3", name="co_transform")
    mild = Finding("warning", "seen", "why", "fix", "a | b", name="total_steps")
    shown = page.text(phantoms, [mild, bad], [bad])
    assert "why: why 2" in shown and "fix: fix 3" in shown and "a | b" in shown
    assert "Do not train yet: 1 of 2 checks failed (co_transform)." in shown
    text = page.markdown(phantoms, [mild, bad], [bad], {"p.png": "What it is"})
    assert text.index("co_transform (error)") < text.index("total_steps (warning)")
    assert "![What it is](p.png)" in text and "```text\na | b\n```" in text
