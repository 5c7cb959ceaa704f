"""Runs every door without a network, and under an audit hook of Python.

Without a network: in a network namespace of its own (`unshare -n`), where no other
machine can be reached. Under the hook: `audited/sitecustomize.py` notes what is
unpickled, executed, started and connected to. Pickles travel between the processes of
one run alone, code comes from files of Python's path and from the recipe, and no socket
leaves the machine.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sysconfig

from support import runs

from endurance import doors, twins
from endurance.ledger import Outcome

_HOOK = pathlib.Path(__file__).with_name("audited")
_LOOPBACK = re.compile(r"'(127\.[\d.]+|::1|localhost|)'|\('/|\(b?'\\x00")
# these make classes, functions and pages of their own text: no data reaches it
_GENERATORS = ("collections/__init__.py", "dataclasses.py", "attr/_make.py")
_GENERATORS += ("jinja2/environment.py", "prometheus_client/decorator.py", "six.py")
_GENERATORS += ("numpy/f2py/auxfuncs.py", "scipy/optimize/_nonlin.py")
_GENERATORS += ("array_api_compat/_internal.py", "multiprocessing/sharedctypes.py")
_PROGRAMS = re.compile(r"git|python|uname|lscpu|ldconfig|gcc|objdump|resource_tracker")


def cases(count: int, seed: int) -> list[str]:
    """The doors by themselves and with data workers."""
    kinds = ("network", "hook")
    return [f"{kind} workers={w}" for kind in kinds for w in (0, 2)][: max(count, 1)]


def run(case: str, twin: twins.Twin, place: pathlib.Path) -> Outcome:
    """What the doors of a whole run do where they are watched, or cut off."""
    kind, workers = case.split(" workers=")
    if kind == "network" and (reason := unusable()):
        return Outcome(f"not tried, {reason}", tries=0)
    events = place / "events"
    events.mkdir()
    options = {"cache": twins.fresh_cache(twin, place, data=False), "mark": case}
    if kind == "network":
        options["prefix"] = ("unshare", "-n")
    else:
        path = os.pathsep.join(map(str, (_HOOK, runs.ROOT)))
        options |= {"PYTHONPATH": path, "JAXSEG_AUDIT": str(events)}
    workdir = place / "run"
    arguments = twins.arguments(workdir, workers=int(workers))
    raw = str(next(twin.cache.glob("demo/*/raw")))
    tour = (
        ("prepare", "--dataset=phc", f"--source={raw}", f"--data_dir={place}/data"),
        ("doctor", *(x for x in arguments if not x.startswith("--workdir"))),
        ("main", *arguments),
        ("evaluate", f"--run={workdir}", "--split=test"),
        ("click", f"--run={workdir}", "--positive=1", "--negative=1")
        + (f"--output={place}/clicks.npz",),
        ("export", f"--run={workdir}", "--format=jaxseg", f"--output={place}/w.st"),
        ("main", *arguments[:-1], f"--config.pretrained.path={place}/w.st")
        + (f"--workdir={place}/again", "--config.supervision.name=stored")
        + (f"--config.supervision.paths=('{place}/clicks.npz',)",),
        ("report", str(workdir), str(place / "again"), f"--output={place}/report"),
    )
    wrong = []
    for name, *words in tour:
        end = doors.run(name, *words, **options)
        if end.code or end.fault:
            wrong.append(f"{name}: {end.fault or end.sentence}")
    if not wrong:
        wrong = twins.differences(workdir, twin)
    if kind == "hook":
        seen = list(_events(events))
        wrong += [] if seen else ["the hook noted nothing: it was not there"]
        wrong += dict.fromkeys(filter(None, map(_broken, seen)))
    return Outcome("as promised", "; ".join(wrong[:8]), tries=len(tour))


def unusable() -> str:
    """Why no network namespace can be made here; "" when one can."""
    if not shutil.which("unshare"):
        return "there is no unshare command"
    done = subprocess.run(["unshare", "-n", "true"], capture_output=True, text=True)
    return done.stderr.strip()


def _events(folder: pathlib.Path):
    for path in folder.glob("*.events"):
        yield from map(json.loads, path.read_text().splitlines())


def _broken(event: dict) -> str:
    """What an event breaks, in words; "" where nothing."""
    name, about, caller = event["event"], event["about"], event["caller"]
    if name == "pickle.find_class":
        inside = event["between_processes"]
        return "" if inside else f"unpickled {about} (by {caller})"
    if name == "exec":
        code = about.endswith(".py") and about.startswith(_trusted())
        own = caller.endswith(_GENERATORS) and caller.startswith(_trusted())
        command = not caller and about == "<string>"  # of python -c, in a worker
        return "" if code or own or command else f"executed {about} (by {caller})"
    if name.startswith("socket."):
        return "" if _LOOPBACK.search(about) else f"{name} {about} (by {caller})"
    return "" if _PROGRAMS.search(about) else f"started {about} (by {caller})"


def _trusted() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    folders = (paths["stdlib"], paths["purelib"], paths["platlib"])
    return (*folders, str(runs.ROOT), str(pathlib.Path(os.__file__).parent))
