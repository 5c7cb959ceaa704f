"""The frame of every door: one clear line and one exit code for what goes wrong.

Exit codes: 0 done, 2 bad config or flag, 3 bad data, 75 stopped after saving (start
the same command again), 1 anything else. Nothing here imports JAX, so a typing error
is answered at once.
"""

import difflib
import os
import re
import sys
from collections.abc import Callable, Sequence

from absl import app, flags
from ml_collections import config_flags

from jaxseg.errors import ConfigError, Preempted

BAD_CONFIG = ConfigError.exit_code


def define_config() -> flags.FlagHolder:
    """The flag `--config=path.py[:recipe]` with overrides `--config.key=value`."""
    return config_flags.DEFINE_config_file(
        "config", None, "Recipe, for example configs/pneumothorax.py or ...py:demo"
    )


def run(main: Callable[[Sequence[str]], int | None]) -> None:
    """Runs a door, and turns known errors into one line and their exit code."""

    def guarded(argv: Sequence[str]) -> int | None:
        if len(argv) > 1:
            fail(f"unknown arguments {' '.join(argv[1:])!r}; options start with --.", 2)
        try:
            return main(argv)
        except Preempted as stop:
            fail(str(stop), stop.exit_code)
        except Exception as error:
            if not hasattr(error, "exit_code"):
                raise
            fail(str(error), error.exit_code)

    app.run(guarded, flags_parser=_parse)


def fail(message: str, code: int) -> None:
    """Says why, in one line, and ends the program with `code`."""
    sys.stderr.write(f"jaxseg: {message}\n")
    sys.stderr.flush()
    sys.exit(code)


def config_path(argv: Sequence[str]) -> str | None:
    """The file named by --config, without its recipe; None when there is none."""
    value = _value(argv, "config")
    return value.split(":")[0] if value else None


def _value(argv: Sequence[str], flag: str) -> str | None:
    """What follows --flag= or --flag."""
    for i, word in enumerate(argv):
        match = re.fullmatch(rf"--?{re.escape(flag)}(?:=(.*))?", word)
        if match:
            return match[1] if match[1] is not None else "".join(argv[i + 1 : i + 2])
    return None


def _parse(argv: Sequence[str]) -> list[str]:
    path = config_path(argv)
    if path is not None and not os.path.isfile(path):
        fail(_no_config(path), BAD_CONFIG)
    if data := _value(argv, "config.data.dir"):
        os.environ["JAXSEG_DATA"] = data  # a recipe asks there where the data lies
    try:
        return flags.FLAGS(list(argv))
    except (flags.Error, ValueError, TypeError, KeyError, AttributeError) as error:
        fail(_one_line(error, argv), BAD_CONFIG)
    except SyntaxError as error:
        fail(f"{path} is not valid Python: {error}", BAD_CONFIG)


def _no_config(path: str) -> str:
    folder = os.path.dirname(path) or "."
    files = [f for f in os.listdir(folder) if f.endswith(".py")] if _is(folder) else []
    near = difflib.get_close_matches(os.path.basename(path), files, n=1)
    hint = f" Did you mean {os.path.join(folder, near[0])}?" if near else ""
    return f"there is no config file {path}.{hint}"


def _is(folder: str) -> bool:
    return os.path.isdir(folder)


def _one_line(error: Exception, argv: Sequence[str]) -> str:
    """The error in a line; for a mistyped config key, with the nearest right key."""
    text = " ".join(str(error).replace("\\n", " ").split())
    if "Traceback" in text:  # ml_collections wraps what the recipe raised
        text = re.split(r"\b\w*(?:Error|Exception): ", text)[-1]
    near = re.search(r'Did you mean "(\w+)" instead of "(\w+)"', text)
    for word in argv:
        match = re.match(r"--?config\.([\w.]+)", word)
        if match and near and near[2] in match[1].split("."):
            right = re.sub(rf"\b{near[2]}\b", near[1], match[1])
            return f"the config has no key config.{match[1]}; use config.{right}."
        if (
            match
            and isinstance(error, (KeyError, AttributeError))
            and text.strip("'\"") in match[1]
        ):
            return f"the config has no key config.{match[1]}; see {config_path(argv)}."
    return text
