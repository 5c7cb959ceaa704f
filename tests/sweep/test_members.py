"""Members of a sweep: their configs, and commands that give the very same ones."""

import functools
import json
import pathlib
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from ml_collections import ConfigDict, config_dict
from support import runs

from jaxseg import errors
from jaxseg.run_directory import older_configs
from jaxseg.sweep import members

CLICKS = str(runs.ROOT / "configs" / "clicks.py")
RECIPE = """
    from ml_collections import ConfigDict, config_dict

    def get_config(arg=""):
        c = ConfigDict(dict(seed=0, num_seeds=1, name="small"))
        c.on, c.pair, c.words = True, (1, 2), ("a",)
        c.rate, c.text, c.empty = 0.5, "plain", ()
        c.any = config_dict.FieldReference(1.0, field_type=object)
        c.low = config_dict.placeholder(float)
        c.width = 4
        c.twice = c.get_ref("width") * 2
        c.block = {"x": 1.0, "list": [1]}
        c.sampler, c.operating_point, c.eval = {}, {}, {}
        return c
"""
MEMBERS = {
    "numbers": {"seed": 7, "rate": 1e-05, "on": False, "block.x": -3.0},
    "whole": {"rate": 2, "low": None, "width": 9},
    "tuples": {"pair": (3, 4.5), "words": ("b", "c d"), "empty": ()},
    "one": {"words": ("it's; $HOME",), "empty": ((0.0, 1), (1.0, 0)), "pair": (5,)},
    "text": {"text": "two words, 'quoted' \"twice\" $x `y` #", "low": 0.25},
    "digits": {"text": "12", "any": "1e-3"},
    "knots": {"any": ((0.0, 1.0), (1.0, 0.2))},
    "nothing": {"any": None},
    "yes": {"any": True, "on": True},
    "listed": {"any": [None, True, "a"], "block": {"x": 2.0}},
    "numpy": {"rate": np.float64(0.1), "seed": np.int64(3), "low": np.float32(0.5)},
}


def recipe(tmp_path: pathlib.Path, more: str = "", text: str = RECIPE) -> str:
    path = tmp_path / "recipe.py"
    path.write_text(textwrap.dedent(text) + textwrap.dedent(more))
    return str(path)


DOOR = """
import json, sys
from absl import flags
from jaxseg.config import command_line
from jaxseg.run_directory import older_configs
out = []
for words in json.load(sys.stdin):
    assert words[:3] == ["python", "-m", "jaxseg.main"]
    sys.argv, flags.FLAGS.__dict__["__flags"] = words[2:], {}
    command_line.define_config()
    flags.DEFINE_string("workdir", "", "")
    assert flags.FLAGS(sys.argv) == sys.argv[:1]
    config = older_configs.complete(flags.FLAGS.config)
    out.append([repr(sorted(config.to_dict().items())), flags.FLAGS.workdir])
json.dump(out, sys.stdout)
"""


def parsed(commands: list[list[str]]) -> list[list[str]]:
    """[config as text, workdir] that `jaxseg.main` gets from each of the commands."""
    done = subprocess.run(
        [sys.executable, "-c", DOOR],
        input=json.dumps(commands),
        env=runs.OUTSIDE | {"JAXSEG_DATA": ""},
        cwd=runs.ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def as_text(config: ConfigDict) -> str:
    return repr(sorted(config.to_dict().items()))


def shell(line: str) -> list[str]:
    """The words a shell makes of a line."""
    script = f"printf '%s\\0' {line}"
    done = subprocess.run(["sh", "-c", script], capture_output=True, check=True)
    return done.stdout.decode().split("\0")[:-1]


def test_the_sweep_of_the_shipped_recipe():
    config = runs.config("clicks")
    changed = members.changes(config, CLICKS)
    assert len(changed) == 30 and changed["10+50-seed2"] == {
        "supervision.name": "clicks",
        "supervision.positive": 10,
        "supervision.negative": 50,
        "seed": 2,
    }
    assert len(members.changes(config, CLICKS, seeds=5)) == 50
    found = members.members(config, changed)
    assert found["masks-seed1"].supervision.name == "full"
    assert found["300+300-seed1"].supervision.negative == 300
    assert {c.num_seeds for c in found.values()} == {1}
    assert config == runs.config("clicks")  # and is left as it was


@pytest.mark.parametrize("name", ["clicks", "cracks", "microbeads"])
def test_a_door_makes_every_member_of_the_shipped_sweeps(name):
    """The door adds missing keys first; a number may still become a schedule."""
    config = older_configs.add_missing(runs.config(name))
    changed = members.changes(config, f"{runs.ROOT}/configs/{name}.py")
    for member, made in members.members(config, changed).items():
        flat = made.to_dict()
        for key, value in changed[member].items():
            *path, last = key.split(".")
            block = functools.reduce(lambda block, part: block[part], path, flat)
            assert block[last] == value, (member, key)


def test_blocks_of_changes_reach_open_blocks_and_no_new_key():
    config, key = runs.config("clicks"), "data"
    changed = {"a": {key: {"workers": 1, "options": {"mine": 2}}}}
    made = members.members(config, changed)["a"]
    assert made.data.workers == 1 and made.data.options.mine == 2
    assert config.data.options.to_dict() == {}
    with pytest.raises(errors.ConfigError, match="no key 'worker'"):
        members.members(config, {"a": {key: {"worker": 1}}})


def test_a_recipe_without_a_sweep_is_repeated_from_its_own_seed(tmp_path):
    path = recipe(tmp_path)
    config = runs.config("clicks", seed=4)
    three = members.changes(config, path)
    assert three == {"seed4": {"seed": 4}, "seed5": {"seed": 5}, "seed6": {"seed": 6}}
    assert list(members.changes(config, path, seeds=2)) == ["seed4", "seed5"]
    config.num_seeds = 3
    found = members.members(config, three)
    assert [(c.seed, c.num_seeds) for c in found.values()] == [(4, 1), (5, 1), (6, 1)]


@pytest.mark.parametrize(
    "sweep,message",
    [
        ("return {'a/b': {}}", "names a member 'a/b'"),
        ("return {'..': {}}", "names a member"),
        ("return {'-x': {}}", "names a member '-x'"),
        ("return {'a b': {}}", "names a member"),
        ("return {'': {}}", "names a member"),
        ("return {'report': {}}", "not 'report'"),
        ("return {3: {}}", "names a member 3"),
        ("return {}", "one member or more; it returned {}"),
        ("return ['a']", r"returned \['a'\]"),
        ("return {'a': 3}", "key of config: value"),
        ("\n    return {'a': 1 / 0}", r"recipe.py, line \d+: ZeroDivisionError"),
    ],
)
def test_a_bad_sweep_is_one_sentence(tmp_path, sweep, message):
    path = recipe(tmp_path, f"\ndef get_sweep(seeds=1): {sweep}\n")
    with pytest.raises(errors.ConfigError, match=message) as caught:
        members.changes(runs.config("clicks"), path, seeds=2)
    assert "\n" not in str(caught.value) and path in str(caught.value)


def test_seeds_that_cannot_be_had(tmp_path):
    path = recipe(tmp_path, "\ndef get_sweep(): return {'a': {}}\n")
    assert members.changes(runs.config("clicks"), path) == {"a": {}}
    with pytest.raises(errors.ConfigError, match="takes no seeds: leave --seeds out"):
        members.changes(runs.config("clicks"), path, seeds=2)
    with pytest.raises(errors.ConfigError, match="--seeds is -1"):
        members.changes(runs.config("clicks"), path, seeds=-1)


@pytest.mark.parametrize(
    "key,value,message",
    [
        ("optim.learning_rat", 1.0, "config.optim.learning_rat: .* use config.optim.l"),
        ("optimm.learning_rate", 1.0, "config.optimm.learning_rate"),
        ("seed.x", 1, "config.seed.x"),
        ("optim.learning_rate", "fast", "config.optim.learning_rate: .*'float'"),
        ("supervision.positive", 1.5, "config.supervision.positive: .*'int'"),
    ],
)
def test_what_a_member_cannot_set(key, value, message):
    with pytest.raises(errors.ConfigError, match=f"member 'm'.* {message}"):
        members.members(runs.config("clicks"), {"m": {key: value}})


@pytest.mark.parametrize(
    "argv,values",
    [
        ((), {}),
        (
            ("--config.seed=9", "--config.width=5", "--config.rate", "0.125"),
            {"seed": 9, "width": 5, "rate": 0.125},
        ),
        (
            ("--config.pair=(7,8)", "--config.words=('z',)", "--config.empty", "(1,)"),
            {"pair": (7, 8), "words": ("z",), "empty": (1,)},
        ),
        (
            ("--noconfig.on", "--config.any=5", "--config.block.x=8"),
            {"on": False, "any": 5, "block.x": 8.0},
        ),
        (
            ("--config.on", "--config.num_seeds=4", "--config.text", "it's"),
            {"on": True, "num_seeds": 4, "text": "it's"},
        ),
    ],
)
def test_a_command_gives_the_config_of_its_member(tmp_path, argv, values):
    path = recipe(tmp_path)
    space = {}
    exec(pathlib.Path(path).read_text(), space)
    config = space["get_config"]()
    for key, value in values.items():
        block, last = members._place(config, key, "the test")
        block[last] = value
    text = f"import numpy as np\n\ndef get_sweep(): return {MEMBERS!r}\n"
    changed = members.changes(config, recipe(tmp_path, text))
    found = members.members(config.lock(), changed)
    argv = ["sweep.py", f"--config={path}", "--workdir", "x", *argv]
    commands = members.commands(argv, config, changed, tmp_path / "the runs")
    assert found.keys() == commands.keys() == MEMBERS.keys()
    door = parsed([shell(members.text(command)) for command in commands.values()])
    for (name, config), (text, workdir) in zip(found.items(), door, strict=True):
        assert text == as_text(config), name
        assert workdir == str(tmp_path / "the runs" / name)
    assert found["whole"].twice == 18 and found["numbers"].on is False
    assert found["knots"].any == ((0.0, 1.0), (1.0, 0.2))


def test_commands_of_the_shipped_recipe():
    config = runs.config("clicks", "10+10", epochs=3)
    changed = members.changes(config, CLICKS)
    argv = ["sweep.py", f"--config={CLICKS}:10+10", "--config.epochs=3"]
    commands = members.commands(argv, config, changed, pathlib.Path("runs/x"))
    found = members.members(config, changed)
    names = ("5+5-seed0", "masks-seed2")
    for name, got in zip(names, parsed([commands[n] for n in names]), strict=True):
        assert got == [as_text(found[name]), f"runs/x/{name}"]


def test_options_of_the_sweep_itself_go_in_every_form(tmp_path):
    own = ["--workdir=a", "-workdir", "b", "--seeds=3", "--seeds", "2", "--together=4"]
    own += ["-together", "1", "--parallel", "2", "--parallel=3", "--commands"]
    own += ["--nocommands", "--commands=true", "-nocommands"]
    stay = ["--config", CLICKS, "--verbosity", "1", "--config.name", "seeds"]
    mixed = ["sweep.py", *stay[:2], *own[:4], *stay[2:4], *own[4:], *stay[4:]]
    command = members.commands(
        mixed, runs.config("clicks"), {"m": {"seed": 1}}, pathlib.Path("w")
    )["m"]
    more = ["--config.seed=1", "--config.num_seeds=1", "--workdir=w/m"]
    assert command[3:] == [*stay, *more]


def test_recipes_of_before_get_no_flag_they_have_not(tmp_path):
    old = ConfigDict({"seed": 0, "low": config_dict.placeholder(float)})
    command = members.commands(["s"], old, {"m": {"seed": 1}}, pathlib.Path("w"))["m"]
    assert command[3:] == ["--config.seed=1", "--workdir=w/m"]


def test_what_no_flag_can_say():
    config = ConfigDict({"list": [1], "rate": 0.5})
    for values in ({"list": [2]}, {"rate": None}):
        with pytest.raises(errors.ConfigError, match="without --commands"):
            members.commands(["s"], config, {"m": values}, pathlib.Path("w"))
