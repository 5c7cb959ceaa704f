"""Commands of the package as one types them, without the seconds of imports of each.

One process imports what all commands need, and each command runs in a fork of it: with
flags, a log, an exit code and files of its own, as in a process that was started anew.
"""

import importlib
import json
import os
import pathlib
import runpy
import shlex
import subprocess
import sys
import tempfile
from typing import NamedTuple

# none of them starts a thread or opens a device when it is imported
_IMPORTED = (
    "jaxseg.doctor.audit",
    "jaxseg.experiment.other_data",
    "jaxseg.predict.folder",
    "jaxseg.report.comparison.build",
    "jaxseg.train.loop",
    "matplotlib.pyplot",
)


class Done(NamedTuple):
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


class Commands:
    """Runs `python -m jaxseg.NAME ...` in a folder; a context that ends its process."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder

    def __enter__(self) -> "Commands":
        self._logs = tempfile.TemporaryDirectory()
        # one device, for which programs are compiled sooner than for the four of tests
        kept = os.environ.get("XLA_FLAGS", "").split()
        kept = [flag for flag in kept if "device_count" not in flag]
        self._process = subprocess.Popen(
            [sys.executable, __file__, *_IMPORTED],
            cwd=self.folder,
            env=os.environ | {"XLA_FLAGS": " ".join(kept)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *error: object) -> None:
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._logs.cleanup()

    def run(self, line: str) -> Done:
        """The outcome of one command line."""
        python, flag, module, *words = shlex.split(line)
        assert (python, flag) == ("python", "-m"), line
        logs = [pathlib.Path(self._logs.name, name) for name in ("out", "err")]
        request = [module, words, *map(str, logs)]
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, f"the process that forks has ended before {line}"
        return Done(int(answer), *(path.read_text() for path in logs))


def _serve() -> None:
    """Forks for each line of standard input, and answers with the exit code."""
    sys.path[0] = os.getcwd()  # as python -m has it
    for name in sys.argv[1:]:
        importlib.import_module(name)
    while line := sys.stdin.readline():
        module, words, *logs = json.loads(line)
        pid = os.fork()
        if not pid:
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            for number, path in enumerate(logs, 1):
                place = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
                os.dup2(place, number)
            sys.argv[:] = [module, *words]
            runpy.run_module(module, run_name="__main__", alter_sys=True)
            sys.exit()
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    _serve()
