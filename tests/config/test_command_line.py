"""A mistake in a config is one sentence, with the nearest right word, without JAX."""

import errno
import subprocess
import sys

import pytest
from absl import app
from support import command_lines

from jaxseg.config import command_line
from jaxseg.errors import DataError, NotFinite, NotWritten, Preempted

SMOKE = "--config=pneumothorax:smoke"
MISTAKES = {
    (): "--config=configs/pneumothorax.py",
    ("--config.epochs=2",): "Unknown command line flag 'config.epochs'",
    (SMOKE, "--config.optim.learning_rat=1"): (
        "the config has no key config.optim.learning_rat; "
        "use config.optim.learning_rate."
    ),
    (SMOKE, "--config.optm.learning_rate=1"): "use config.optim.learning_rate.",
    (SMOKE, "--config.learning_rate=1"): "use config.optim.learning_rate.",
    (SMOKE, "--config.seed.x=1"): "no key config.seed.x; use config.seed.",
    (SMOKE, "--noconfig.eval.surfac"): "use config.eval.surface.",
    (SMOKE, "--config.loss.focl.weight", "1"): "use config.loss.focal.weight.",
    (SMOKE, "--config.model.unet.width=8"): "use config.model.unet.widths.",
    (SMOKE, "--config.optim.learning_rate=fast"): (
        "jaxseg: --config.optim.learning_rate=fast: give a number."
    ),
    (SMOKE, "--config.epochs=1.5"): "jaxseg: --config.epochs=1.5: give a whole number.",
    (SMOKE, "--config.eval.surface=maybe"): (
        "jaxseg: --config.eval.surface=maybe: give true or false."
    ),
    (SMOKE, "--config.model.unet.widths=8,x"): "such as 64,128,256,512,1024",
    (SMOKE, "--config.model.unet.widths=8.5"): "give whole numbers of at least 1",
    (SMOKE, "--config.model.unet.widths=8 16"): "Use commas",
    (SMOKE, "--config.model.name=swin_upernett"): "did you mean 'swin_upernet'",
    (SMOKE, "--config.loss=3"): "config.loss is a block of keys; set one of them by",
    (SMOKE, "--config.model.unet={1: 2}"): "such as config.model.unet.activation.",
    (SMOKE, "--config.sampler={1: 2}"): "config.sampler is a block of keys",
    (SMOKE, "--config.model.fields={1: 2}"): "model.fields has a key that is no text",
    (SMOKE, "--config.data.options={1: 2, 'a': 3}"): "data.options has a key that is",
    (SMOKE, "--config.data.options=3"): "config.data.options=3: give a dict, or set",
    (
        SMOKE,
        "--config.loss.mine.module=false",
    ): "loss.mine.module is False; name a",
    (SMOKE, "--config.doctor.ignore=1"): "config.doctor.ignore is (1,); give texts.",
    (SMOKE, "--config.supervision.paths=1"): "supervision.paths is (1,); give texts.",
    (SMOKE, "--config.loss.mine.weight=1"): "--config.loss.mine.module=my_lab.my_loss",
    (SMOKE, "--config.model.fields.width=3"): "set config.model.swin_upernet instead",
    (SMOKE, "--config.loss.dice.weight=fast"): "give a number, knots such as",
    (SMOKE, "--config.loss.focal.class_weights=aut"): "did you mean 'auto'",
    (SMOKE, "--config.loss.focal.class_weight_cap=9"): "whose weights it could bound",
    (SMOKE, "--config.eval.metric=dice"): "did you mean one of ['dice_pooled', 'dice_",
    (SMOKE, "--config.optim.learning_rate=nan"): "learning_rate is nan; give a finite",
    (SMOKE, "--config.data.image_size=64,x"): "give numbers, such as 256,256",
    (SMOKE, "--lr=1e-3"): "is typed as --config.optim.learning_rate=...",
    (SMOKE, "--optim.learning_rate=1"): "is typed as --config.optim.learning_rate=...",
    (SMOKE, "--batchsize=8"): "'batchsize'; a setting is typed as --config.batch_size=",
}


def test_a_mistake_is_one_sentence():
    answers = command_lines.answers(list(MISTAKES))
    for (words, message), answer in zip(MISTAKES.items(), answers, strict=True):
        assert message in answer.get("error", ""), (words, answer)
        assert answer["error"].startswith("jaxseg: ") and answer["code"] == 2, words
        assert "\n" not in answer["error"] and "Traceback" not in answer["error"]


def test_a_key_that_nothing_reads_in_a_recipe_of_ones_own(tmp_path):
    recipe = tmp_path / "mine.py"
    texts = {
        "c.optim.learning_rat = 1.0": "use config.optim.learning_rate",
        "c.epoch = 3": "no key config.epoch; use config.epochs",
        "c.loss.dice.smoth = 3": "use config.loss.dice.smooth",
        "c.loss.mine = {'module': 'email.mime', 'x': 2}": "loss.mine has no weight",
        "c.loss.mine = {'weight': 1.0}": "jaxseg/losses/ and jaxseg/regularisers/",
    }
    for text, message in texts.items():
        recipe.write_text(
            "from jaxseg.config import base\n"
            f"def get_config(arg=''):\n    c = base.base()\n    {text}\n    return c\n"
        )
        (answer,) = command_lines.answers([[f"--config={recipe}"]])
        assert message in answer["error"] and answer["code"] == 2, answer


def test_later_words_win_and_the_data_directory_reaches_the_recipe():
    data = ("--config.data.dir=/somewhere",)
    commands = [
        [SMOKE, "--config.epochs=3", "--config.epochs=5"],
        ["--config=clicks:5+5"],
        ["--config=clicks", *data],
        [SMOKE]
        + ["--config.model.unet.widths=4,5", "--config.epochs", "3"]
        + ["--config.model.unet.widths", "6,7", "--config.eval.surface"]
        + ["--config.model.unet.widths=8,9", "--config.epochs", "4"]
        + ["--noconfig.eval.surface"],
    ]
    answers = command_lines.answers(commands)
    last, phantoms, real, again = (answer["config"] for answer in answers)
    assert last["epochs"] == 5
    assert again["model"]["unet"]["widths"] == [8, 9] and again["epochs"] == 4
    assert again["eval"]["surface"] is False
    assert real["data"]["dir"] == "/somewhere" and real["data"]["image_size"][0] == 256
    assert phantoms["data"]["demo"]["images"] == 80


@pytest.mark.parametrize("block", ["data.options", "model.fields", "sampler.fields"])
def test_an_open_block_takes_any_key(block):
    words = [f"--config.{block}.number=3", f"--config.{block}.text=a b"]
    words += [f"--config.{block}.pair=(1,2)", f"--config.{block}.on"]
    # modules that are there, and are not imported
    words += ["--config.model.name=email.mime.text"] * block.startswith("model")
    words += ["--config.sampler.name=email.mime.text"] * block.startswith("sampler")
    (answer,) = command_lines.answers([[SMOKE, *words]])
    got = answer["config"]
    for part in block.split("."):
        got = got[part]
    assert got == {"number": 3, "text": "a b", "pair": [1, 2], "on": True}


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (OSError(errno.ENOSPC, "No space left", "/run/a.png"), 74, "to /run/a.png: No"),
        (
            OSError(errno.EROFS, "Read-only file system"),
            2,
            "a file cannot be opened",
        ),
        (
            OSError(errno.EACCES, "Denied", "/run/a"),
            2,
            "/run/a cannot be opened or w",
        ),
        (OSError(errno.ENOTDIR, "No directory", "/a/b"), 2, "the path is a file"),
        (NotWritten(errno.ENOSPC, "a needs 3 bytes"), 74, "jaxseg: a needs 3 bytes\n"),
        (DataError("a is damaged"), 3, "jaxseg: a is damaged\n"),
        (NotFinite("3 steps"), 1, "jaxseg: 3 steps\n"),
        (Preempted("stopped"), 75, "jaxseg: stopped\n"),
    ],
)
def test_an_error_is_one_line_and_its_exit_code(
    error, code, words, monkeypatch, capsys
):
    def main(argv):
        raise error

    monkeypatch.setattr(app, "run", lambda guarded, flags_parser: guarded(["door"]))
    with pytest.raises(SystemExit) as ended:
        command_line.run(main)
    assert ended.value.code == code
    err = capsys.readouterr().err
    assert words in err and err.count("\n") == 1


def test_an_error_of_the_program_is_not_hidden(monkeypatch):
    def main(argv):
        raise OSError(errno.ENOENT, "No such file", "a")

    monkeypatch.setattr(app, "run", lambda guarded, flags_parser: guarded(["door"]))
    with pytest.raises(FileNotFoundError):
        command_line.run(main)


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_the_end_is_told_by_its_code_where_nothing_can_be_printed(name):
    code = "from jaxseg.config import command_line\n"
    if name == "stdout":
        code += "command_line.run(lambda argv: print('done'))"
    else:
        code += "command_line.fail('no room', 74)"
    with open("/dev/full", "w") as full:
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, name: full}
        done = subprocess.run([sys.executable, "-c", code], text=True, **streams)
    assert done.returncode == 74
    if name == "stdout":
        assert done.stderr.startswith("jaxseg: nothing could be written: No space left")
