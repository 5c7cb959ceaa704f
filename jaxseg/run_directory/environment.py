"""Describes what a run ran on: versions, platform, git revision, command line."""

import hashlib
import importlib.metadata
import pathlib
import platform
import re
import shlex
import subprocess
import sys
from typing import Any

PACKAGES = (
    "jaxseg jax jaxlib flax optax numpy grain tensorflow-datasets orbax-checkpoint"
).split()
_SECRET = re.compile(r"key|token|secret|passw|credential", re.IGNORECASE)


def environment() -> dict[str, Any]:
    """{versions, platform, git: {revision, dirty} or None, command}, JSON as it is.

    The git revision is that of the checkout this package is tracked in, if any.
    Values of arguments whose name speaks of a secret, and passwords in addresses,
    are written as "***".
    """
    return {
        "versions": {"python": platform.python_version()} | _versions(),
        "platform": platform.platform(),
        "git": git_state(pathlib.Path(__file__)),
        "command": command_line(sys.orig_argv),
    }


def git_state(file: pathlib.Path) -> dict[str, Any] | None:
    """{revision, dirty} of the checkout that tracks `file`; None when none does."""
    if _git(file.parent, "ls-files", "--error-unmatch", file.name) is None:
        return None  # an installed copy may lie inside someone else's checkout
    revision = _git(file.parent, "rev-parse", "HEAD")
    status = _git(file.parent, "status", "--porcelain", "--untracked-files=no")
    return {"revision": revision, "dirty": bool(status)}


def source(file: pathlib.Path) -> dict[str, Any]:
    """{file, sha256, tracked, changed} of a file that a run was made with.

    `tracked` says whether a checkout tracks it, `changed` whether it then differs from
    what was committed there.
    """
    file = file.resolve()
    tracked = _git(file.parent, "ls-files", "--error-unmatch", file.name) is not None
    only = ("--porcelain", "--untracked-files=no", "--", file.name)
    return {
        "file": str(file),
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "tracked": tracked,
        "changed": tracked and bool(_git(file.parent, "status", *only)),
    }


def command_line(arguments: list[str]) -> str:
    """The command for a shell, without secrets and the interpreter's folder.

    A secret is recognised as `--name=value` and as `--name value`.
    """
    shown, hide = [], False
    for argument in [pathlib.Path(arguments[0]).name, *arguments[1:]]:
        name, equals, _ = argument.partition("=")
        if hide and not argument.startswith("-"):
            argument, hide = "***", False
        elif equals and _SECRET.search(name):
            argument = f"{name}=***"
        hide = not equals and argument.startswith("-") and bool(_SECRET.search(name))
        shown.append(re.sub(r"://[^/@\s]+@", "://***@", argument))
    return shlex.join(shown)


def _versions() -> dict[str, str]:
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def _git(folder, *arguments) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=20,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
