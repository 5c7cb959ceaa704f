"""The frame of every door: one clear line and one exit code for what goes wrong.

Exit codes: 0 done, 2 bad config or flag, or a place that cannot be written, 3 bad data,
69 other processes of the run are missing, 74 no room to write, 75 stopped by SIGTERM,
or by Ctrl-C while a run is trained or scored (start the same command again), 130 any
other Ctrl-C, 1 anything else.
Nothing here imports JAX, so a typing error is answered at once.
"""

import difflib
import math
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from absl import app, flags
from ml_collections import ConfigDict, config_dict, config_flags

from jaxseg import atomic, interrupts, lookup
from jaxseg.config import base, console, explain, recipe_file, stored
from jaxseg.devices import peers
from jaxseg.errors import ConfigError, Preempted
from jaxseg.run_directory import bucket, files

BAD_CONFIG = ConfigError.exit_code
_KEY = re.compile(r"--?(?:no)?config\.([^=]+)")
LONGEST_FLAG = 200  # characters; no key of a config has half as many
# what others call a key
SHORT = {
    "lr": "optim.learning_rate",
    "learning_rate": "optim.learning_rate",
    "wd": "optim.weight_decay",
    "bs": "batch_size",
    "batch": "batch_size",
    "optimizer": "optim.name",
    "model": "model.name",
    "dataset": "data.name",
    "data": "data.dir",
    "data_dir": "data.dir",
    "img_size": "data.image_size",
    "num_workers": "data.workers",
    "num_epochs": "epochs",
    "max_epochs": "epochs",
    "weights": "pretrained.path",
}
ASKS = ("--help", "-help", "-h", "--helpfull", "--helpshort", "--config.help")
_WRONG_KINDS = {
    "invalid literal for int": "give a whole number.",
    "could not convert string to float": "give a number.",
    "Non-boolean argument": "give true or false.",
    "as a ConfigDict": "give a dict, or set one of its keys by its own name.",
}


def define_config() -> flags.FlagHolder:
    """The flag `--config=RECIPE[:variant]` with overrides `--config.key=value`."""
    holder = config_flags.DEFINE_config_file(
        "config", None, "Recipe: pneumothorax, pneumothorax:demo, or my_folder/mine.py"
    )
    flags.FLAGS["config"].parser = _RecipeParser()
    return holder


def define_verify() -> flags.FlagHolder:
    """The flag `--verify`, how many images and masks are compared with their digests.

    Its values are those of `data/content.py`.
    """
    return flags.DEFINE_enum(
        "verify", "sample", ["sample", "all"], "Images and masks compared at the start."
    )


def run(main: Callable[[Sequence[str]], int | None]) -> None:
    """Runs a door, and turns known errors into one line and their exit code."""

    def guarded(argv: Sequence[str]) -> int | None:
        if len(argv) > 1:
            fail(f"unknown arguments {' '.join(argv[1:])!r}; options start with --.", 2)
        console.start()
        try:
            code = main(argv)
            sys.stdout.flush()
            return code
        except Preempted as stop:
            fail(str(stop), stop.exit_code)
        except Exception as error:
            if hasattr(error, "exit_code"):
                fail(str(error), error.exit_code)
            told = atomic.told(error) if isinstance(error, OSError) else None
            if told is None:
                raise
            fail(str(told), told.exit_code)

    if any(word in ASKS for word in sys.argv[1:]):
        _print(help_lines(main))
        sys.exit(0)
    with interrupts.leaving_at_once(), peers.farewell():
        app.run(guarded, flags_parser=_parse)


def help_lines(main: Callable) -> list[str]:
    """What `--help` of a door says, or with `--config.help` every key of the config.

    With a recipe on the command line the values are those of the recipe.
    """
    takes_config = "config" in flags.FLAGS
    if takes_config and "--config.help" in sys.argv:
        recipe = config_value(sys.argv)
        return explain.lines(recipe and recipe_file.load(recipe))
    lines = [*(sys.modules[main.__module__].__doc__ or "").strip().splitlines(), ""]
    for module, own in sorted(flags.FLAGS.flags_by_module_dict().items()):
        if module == "__main__" or "jaxseg" in module or module == sys.argv[0]:
            lines += [_flag_line(flag) for flag in own]
    lines.append(
        "  --verbosity=LEVEL: without it, lines of this program alone; 0 brings back "
        "prefixes and lines of other libraries, 1 says more, -1 warnings alone"
    )
    if takes_config:
        lines += [
            "",
            f"Recipes: {', '.join(recipe_file.names())}; or the path of your own.",
            "Settings are typed as --config.KEY=VALUE; --config.help lists every key "
            "with its default and what it means.",
        ]
    return lines


def _flag_line(flag: flags.Flag) -> str:
    default = "" if flag.default is None or flag.name == "config" else flag.default
    return f"  --{flag.name}={default}: {flag.help}"


def _print(lines: Sequence[str]) -> None:
    try:
        print("\n".join(lines), flush=True)
    except BrokenPipeError:  # somebody reads the first lines only
        sys.stdout = open(os.devnull, "w")


def fail(message: str, code: int) -> None:
    """Says why, in one line, and ends the program with `code`."""
    for name, text in (("stdout", ""), ("stderr", f"jaxseg: {message}\n")):
        stream = getattr(sys, name)
        try:
            stream.write(text)
            stream.flush()
        except OSError:  # it may lie on the disk that is full
            setattr(sys, name, open(os.devnull, "w"))  # Python flushes it at the end
    sys.exit(code)


def config_value(argv: Sequence[str]) -> str | None:
    """What --config names, with its variant; None when there is none."""
    return _value(argv, "config")


class _RecipeParser(flags.ArgumentParser):
    """The config of a recipe, with the keys that the command line may add to it."""

    def parse(self, argument: str) -> ConfigDict:
        """The locked config; ConfigError for no such recipe, and for unknown keys."""
        kept = argument.endswith(files.CONFIG)
        config = (stored if kept else recipe_file).load(argument)
        typed = overrides(sys.argv)
        with config.unlocked():
            for key in typed:
                _open(config, key, typed)
            if config.get("auto", {}).get("on"):
                own = [key for key in typed if not key.startswith("auto.")]
                config.auto.keep = (*config.auto.keep, *own)
        return config.lock()

    def flag_type(self) -> str:
        """For --help."""
        return "recipe"


def overrides(argv: Sequence[str]) -> list[str]:
    """The keys of --config.key=value."""
    words = [_KEY.match(word) for word in argv]
    return [match[1] for match in words if match]


def _open(config: ConfigDict, key: str, typed: Sequence[str]) -> None:
    """Adds `key` where it may be new: in an open block, in a term of the user's own.

    Raises ConfigError for a key that is none.
    """
    parent, _, last = key.rpartition(".")
    block = _block(config, parent)
    own = re.fullmatch(r"loss\.(\w+)", parent)
    if own and f"{parent}.module" in typed:
        if block is None:
            block = config.loss[parent.removeprefix("loss.")] = ConfigDict()
        addable = True
    else:
        addable = parent in base.OPEN
    if own and block is None and not addable:
        near = lookup.hint(own[1], config.get("loss", {}))
        if not near.startswith("did you mean"):
            raise ConfigError(
                f"config.loss has no term {own[1]!r}: of a term of your own name the "
                f"module too, --config.{parent}.module=my_lab.my_loss; or {near}"
            )
    if block is None or (last not in block and not addable):
        raise ConfigError(base.no_key(key, base.keys(config)))
    if isinstance(block.get(last), ConfigDict) and key not in base.OPEN:
        raise ConfigError(
            f"config.{key} is a block of keys; set one of them by its own name, such "
            f"as config.{key}.{next(iter(block[last]), 'NAME')}."
        )
    if last not in block:
        block[last] = config_dict.FieldReference(None, field_type=object)


def _block(config: ConfigDict, parent: str) -> ConfigDict | None:
    """The block with this dotted name, "" being the config itself."""
    for part in filter(None, parent.split(".")):
        config = config.get(part) if isinstance(config, ConfigDict) else None
    return config if isinstance(config, ConfigDict) else None


def _value(argv: Sequence[str], flag: str) -> str | None:
    """What follows --flag= or --flag."""
    for i, word in enumerate(argv):
        match = re.fullmatch(rf"--?{re.escape(flag)}(?:=(.*))?", word)
        if match:
            return match[1] if match[1] is not None else "".join(argv[i + 1 : i + 2])
    return None


def last_ones(argv: Sequence[str]) -> list[str]:
    """The words without those that a later --config.key=value replaces.

    ml_collections would join the values of a key that holds several.
    """
    kept: list[str] = []
    later: set[str] = set()
    for i, word in reversed([*enumerate(argv)]):
        match = _KEY.match(word)
        if match and match[1] in later:
            value_apart = "=" not in word and kept and not _is_flag(kept[-1])
            if value_apart and kept[-1] is argv[i + 1]:
                kept.pop()  # its value, the next word
            continue
        if match:
            later.add(match[1])
        kept.append(word)
    return kept[::-1]


def _is_flag(word: str) -> bool:
    return re.match(r"--?[a-zA-Z]", word) is not None


def _parse(argv: Sequence[str]) -> list[str]:
    if data := _value(argv, "config.data.dir"):
        os.environ["JAXSEG_DATA"] = data  # a recipe asks there where the data lies
    try:
        if "config" in flags.FLAGS and "workdir" in flags.FLAGS:
            workdir = _value(argv, "workdir")
            argv = stored.words(argv, config_value(argv), workdir)
            sys.argv[:] = argv  # what the doors read of it is what was meant
        _refuse_buckets(argv)
        rest = flags.FLAGS(last_ones(argv))
        _check_values()
        return rest
    except (flags.Error, ValueError, TypeError, KeyError, AttributeError) as error:
        cause = error.__context__  # absl wraps it in the name of the flag
        own = cause if isinstance(cause, ConfigError) else error
        text = " ".join(str(own).replace("\\n", " ").split())
        if isinstance(error, flags.UnrecognizedFlagError):
            text += _meant(error.flagname)
        fail(_plain_words(text), BAD_CONFIG)
    except RecursionError:  # absl compares a flag that is none with every other
        words = [word.split("=")[0] for word in argv if word.startswith("-")]
        flag = max(words, key=len, default="")
        if len(flag) < LONGEST_FLAG:
            raise
        text = f"{flag[:40]}... of {len(flag)} characters is no flag of this command"
        fail(f"{text}; --help lists them.", BAD_CONFIG)


def _refuse_buckets(argv: Sequence[str]) -> None:
    """Raises ConfigError for a bucket as the value of a flag that takes a path."""
    for i, word in enumerate(argv[1:], 1):
        match = re.fullmatch(r"--?(\w+)(?:=(.*))?", word)
        if not match or (match[1], stored.door(argv)) == ("workdir", "jaxseg.main"):
            continue
        value = match[2] if match[2] is not None else "".join(argv[i + 1 : i + 2])
        if value.split("://")[0] in ("s3", "gs"):
            bucket.refuse(f"--{match[1]}", value)


def _check_values() -> None:
    """Raises ConfigError for a number that nothing here can count with, and for blocks.

    No bound of absl refuses them; numbers of a config are looked at by `limits`.
    """
    for name in flags.FLAGS:
        value = flags.FLAGS[name].value
        own = not name.startswith("config.")
        if own and isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"--{name}={value}: give a finite number.")
        if own and isinstance(value, int) and abs(value) >= 2**63:
            raise ConfigError(f"--{name}={value}: give a number of 18 digits at most.")
        if not own and isinstance(value, Mapping):
            _check_block(name, value)


def _check_block(name: str, block: Mapping[str, Any]) -> None:
    """Raises ConfigError for several values by name where one belongs."""
    key = name.removeprefix("config.")
    if not f"{key}.".startswith(tuple(f"{block}." for block in base.OPEN)):
        raise ConfigError(f"--{name} is {dict(block)}: give one value, without names.")
    for inner, value in block.items():
        if not isinstance(inner, str) or "." in inner:
            raise ConfigError(
                f"--{name} has the name {inner!r}: give one without dots."
            )
        if isinstance(value, Mapping):
            _check_block(f"{name}.{inner}", value)


def _meant(name: str) -> str:
    """The key that somebody who typed --NAME may have meant; "" where there is none."""
    if "config" not in flags.FLAGS:
        return ""
    keys = base.defaults()
    wanted = [key for key in keys if key == name or key.endswith(f".{name}")]
    wanted += [SHORT[name]] if name in SHORT else []
    wanted += difflib.get_close_matches(name, keys, n=1)
    if not wanted:
        return ""
    key = min(wanted, key=lambda key: (key != SHORT.get(name), key.count("."), key))
    return f"; a setting is typed as --config.{key}=..."


def _plain_words(text: str) -> str:
    """What absl says of a value of the wrong kind, in words of the command line."""
    for python, words in _WRONG_KINDS.items():
        match = re.match(rf"flag --(\S+?)=(.*?): .*{python}", text)
        if match:
            return f"--{match[1]}={match[2]}: {words}"
    return text
