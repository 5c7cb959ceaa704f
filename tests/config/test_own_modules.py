"""A model, a loss and the rest may live in the user's project, outside the package."""

import hashlib
import json
import re
import shlex
import sys

import numpy as np
import optax
import pytest
from support import command_lines, commands, runs

from jaxseg import errors, lookup
from jaxseg.devices import sharding
from jaxseg.experiment import abstract_state, from_config

# the examples of README.md, as they stand there
_, MODEL, LOSS = re.findall(
    r"```python\n(.*?)```", (runs.ROOT / "README.md").read_text(), re.DOTALL
)
SAMPLER = """
from jaxseg.data.samplers import uniform


def epoch_size(present, *, times):
    return times * len(present)


def share(present, *, epoch, epochs, times):
    return uniform.share(present, epoch=epoch, epochs=epochs)


def order(present, *, seed, epoch, epochs, size, times):
    return uniform.order(present, seed=seed, epoch=epoch, epochs=epochs, size=size)
"""
SUPERVISION = """
SPARSE = True


def label(mask, *, rng, rows):
    out = mask.copy()
    out[rows:] = 255
    return out
"""
DATA = """
from jaxseg.data.datasets.phc import Builder, prepare, write_demo
"""
RULE = """
GRID = {"level": (0.3, 0.5), "border": (0, 2)}


def apply(probability, *, level, border):
    mask = probability[..., -1] > level
    mask[:border] = False
    return mask
"""
FILES = {"my_model": MODEL, "my_loss": LOSS, "my_sampler": SAMPLER}
FILES |= {"my_supervision": SUPERVISION, "my_data": DATA, "my_rule": RULE}
WORDS = (
    "--config=clicks:smoke",
    "--config.data.name=my_lab.my_data",
    "--config.model.name=my_lab.my_model",
    "--config.model.fields.width=6",
    "--config.loss.partial_cross_entropy.weight=0",
    "--config.loss.mine.module=my_lab.my_loss",
    "--config.loss.mine.weight=1.0",
    "--config.loss.mine.power=2.0",
    "--config.sampler.name=my_lab.my_sampler",
    "--config.sampler.fields.times=2",
    "--config.supervision.name=my_lab.my_supervision",
    "--config.supervision.fields.rows=20",
    "--config.operating_point.rule=my_lab.my_rule",
)


@pytest.fixture
def project(tmp_path):
    """A folder with my_lab/, in which a user would start the commands."""
    (tmp_path / "my_lab").mkdir()
    for name, text in FILES.items():
        (tmp_path / "my_lab" / f"{name}.py").write_text(text)
    return tmp_path


@pytest.fixture
def typed(project, monkeypatch):
    """Commands that are typed in the project."""
    monkeypatch.setenv("JAXSEG_DATA", "")
    with commands.Commands(project) as typed:
        yield typed


def _main(typed, *words: str) -> commands.Done:
    return typed.run(shlex.join(["python", "-m", "jaxseg.main", *words]))


def test_a_run_is_made_of_modules_of_the_project(project, typed):
    done = _main(typed, *WORDS, "--workdir=run")
    assert done.code == 0, done.err
    record = json.loads((project / "run" / "run.json").read_text())
    assert record["status"] == "finished"
    assert record["params"] == 3 * 3 * 6 + 6 + 3 * 3 * 6 * 2 + 2  # of grey images
    steps = 2 * record["dataset"]["splits"]["train"]["images"] // 8
    assert abs(record["total_steps"] - steps) <= 1
    own = {n: r for n, r in record["sources"].items() if n.startswith("my_lab.")}
    assert {*own} == {f"my_lab.{name}" for name in FILES}
    for name, text in FILES.items():
        row = own[f"my_lab.{name}"]
        assert row["sha256"] == hashlib.sha256(text.encode()).hexdigest()
        assert not row["tracked"]
    assert record["sources"]["clicks"]["kind"] == "recipe"
    assert record["git"] is None or record["git"]["dirty"]
    budget = record["supervision"]
    assert budget["options"]["rows"] == 20
    assert budget["share"] == 20 / 32
    header, row = (project / "run" / "history.csv").read_text().splitlines()
    assert "mine" in header
    result = json.loads((project / "run" / "eval" / "test.json").read_text())
    assert result["operating_point"]["rule"] == "my_lab.my_rule"
    assert set(result["operating_point"]["settings"]) == {"level", "border"}
    report = (project / "run" / "report.md").read_text()
    assert "rule `my_lab.my_rule`" in report
    digest = own["my_lab.my_model"]["sha256"][:12]
    assert re.search(rf"my_lab\.my_model.*{digest}.*not in git", report)
    again = _main(typed, *WORDS, "--workdir=run")
    assert again.code == 0 and "finished" in again.out, again.err


def test_settings_that_a_module_does_not_take_are_refused(typed):
    changes = {
        "--config.model.fields.depth=3": "config.model.fields: my_lab.my_m.*'depth'",
        "--config.loss.mine.colour=3": "config.loss.mine: .*'colour'",
        "--config.supervision.fields.columns=3": "columns, which my_lab.my_superv",
    }
    for word, message in changes.items():
        done = _main(typed, *WORDS, word, "--dry_run")
        assert done.code == 2 and re.search(message, done.err), done.err


@pytest.mark.parametrize("kind", [*lookup.CONTRACTS])
def test_a_missing_module_and_a_missing_part_say_what_must_be_there(
    kind, tmp_path, monkeypatch
):
    name = f"own_{kind.replace('/', '_')}"
    (tmp_path / f"{name}_lab").mkdir()
    (tmp_path / f"{name}_lab" / "empty.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    parts, contract = lookup.CONTRACTS[kind]
    for wrong in (f"{name}_lab.emty", f"{name}.empty", "os.path.x", "a..b", ".x"):
        with pytest.raises(errors.ConfigError, match="no module") as caught:
            lookup.check(kind, wrong)
        assert contract in str(caught.value) and kind in str(caught.value)
    assert lookup.check(kind, f"{name}_lab.empty") == kind
    assert f"{name}_lab.empty" not in sys.modules  # looked for, not imported
    first = parts[0].replace("|", " or ")
    with pytest.raises(errors.ConfigError, match=f"has no {first}") as caught:
        lookup.find(kind, f"{name}_lab.empty")
    assert contract in str(caught.value) and "empty.py" in str(caught.value)


@pytest.mark.parametrize("kind", [k for k in lookup.CONTRACTS if k != "postprocess"])
def test_every_file_of_the_package_keeps_its_contract(kind):
    for name in lookup.names(kind):
        assert lookup.find(kind, f"jaxseg.{kind.replace('/', '.')}.{name}")


def test_what_a_package_of_the_project_fails_to_import_is_not_hidden(
    tmp_path, monkeypatch
):
    (tmp_path / "broken_lab").mkdir()
    (tmp_path / "broken_lab" / "__init__.py").write_text("import not_installed\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="not_installed"):
        lookup.check("models", "broken_lab.my_model")


def test_a_name_is_checked_before_jax_starts(project):
    wrong = [
        ["--config.model.name=my_lab.my_modl"],
        ["--config.data.name=my_lab.x"],
        ["--config.sampler.name=my_lab.x"],
        ["--config.supervision.name=my_lab.x"],
        ["--config.loss.mine.module=my_lab.x", "--config.loss.mine.weight=1"],
        ["--config.loss.mine.module=my_lab.my_loss"],
    ]
    right = list(WORDS[1:])
    commands = [["--config=clicks:smoke", *words] for words in (*wrong, right)]
    *refused, made = command_lines.answers(commands, cwd=project)
    for answer, words in zip(refused[:-1], wrong, strict=False):
        name = words[0].partition("=")[2]
        assert f"no module {name}" in answer["error"] and answer["code"] == 2
        assert "must define" in answer["error"]
    assert "config.loss.mine has no weight" in refused[-1]["error"]
    mine = made["config"]["loss"]["mine"]
    assert mine == {"module": "my_lab.my_loss", "weight": 1.0, "power": 2.0}


MODELS = {
    "words": ("*, train: bool", r"'width': 'eight'\}: TypeError"),
    "no_train": ("", r"TypeError.*'train'.*__call__\(image, \*, train\)"),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_that_cannot_be_traced_is_one_sentence(name, tmp_path, monkeypatch):
    arguments, message = MODELS[name]
    (tmp_path / f"wrong_{name}").mkdir()
    (tmp_path / f"wrong_{name}" / "net.py").write_text(
        "import flax.linen as nn\n"
        "class Model(nn.Module):\n"
        "    num_classes: int\n    width: int = 4\n"
        "    @nn.compact\n"
        f"    def __call__(self, image, {arguments}):\n"
        "        return {'logits': nn.Dense(self.num_classes * self.width)(image)}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    config = runs.config("folder")
    config.model.name = f"wrong_{name}.net"
    with config.unlocked():
        config.model.fields = {"width": "eight"} if name == "words" else {}
    init = {"model": from_config.model(config, 2), "tx": optax.sgd(0.1), "ema": False}
    mesh = sharding.make_mesh(data=0, fsdp=1)
    with pytest.raises(errors.ConfigError, match=message) as told:
        abstract_state.of(config, mesh, init | {"image_shape": (8, 8, 1)})
    assert f"the model wrong_{name}.net cannot be built" in str(told.value)


MISTAKES = {
    "boom": ("1 / 0", "cannot be imported: ZeroDivisionError: division by zero"),
    "target": ("def loss(prediction, target): pass", "asks for 'prediction'; a step"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_loss_that_cannot_be_used_is_one_sentence(name, tmp_path, monkeypatch):
    text, message = MISTAKES[name]
    (tmp_path / f"wrong_{name}").mkdir()
    (tmp_path / f"wrong_{name}" / "term.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    config = runs.config("folder")
    config.loss = {"mine": {"module": f"wrong_{name}.term", "weight": 1.0}}
    with pytest.raises(errors.ConfigError, match=message):
        from_config.losses(config, np.ones((1, 2), int))
