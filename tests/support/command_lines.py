"""What the command line makes of words, in a process where JAX cannot be imported."""

import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from support import runs

_SCRIPT = """
import contextlib, io, json, sys
sys.modules["jax"] = None
from absl import flags
from jaxseg.config import check, command_line
from jaxseg.run_directory import older_configs
answers = []
for words in json.load(sys.stdin):
    sys.argv, flags.FLAGS.__dict__["__flags"] = ["door", *words], {}
    flag, err = command_line.define_config(), io.StringIO()
    try:
        with contextlib.redirect_stderr(err):
            command_line._parse(sys.argv)
            config = flag.value and older_configs.complete(flag.value)
            check.check(config)
        answers.append({"config": config.to_dict()})
    except SystemExit as end:
        answers.append({"error": err.getvalue().strip(), "code": end.code})
    except check.ConfigError as error:
        answers.append({"error": f"jaxseg: {error}", "code": error.exit_code})
json.dump(answers, sys.stdout)
"""


def answers(
    commands: Sequence[Sequence[str]], *, cwd: pathlib.Path = runs.ROOT, **environment
) -> list[dict[str, Any]]:
    """{"config"}, or {"error", "code"}, of each list of words, in order."""
    path = f"{runs.ROOT}{os.pathsep}{cwd}"
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT],
        input=json.dumps([*commands]),
        env=runs.OUTSIDE | {"JAXSEG_DATA": "", "PYTHONPATH": path} | environment,
        cwd=cwd,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
