"""Asked to stop before there is anything to save, a door ends in one line."""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
from support import runs

from jaxseg import errors, interrupts
from jaxseg.train import stop

WAITS = """
import sys, time
def get_config(arg=""):
    print("ready", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def heeded():
    """Processes started now heed Ctrl-C, also where these tests run under nohup."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def _ready(folder, recipe):
    """A door that reads this recipe, once it has said that it is ready."""
    (folder / "waits.py").write_text(recipe)
    process = subprocess.Popen(
        [sys.executable, "-m", "jaxseg.main", "--config=waits.py"],
        cwd=folder,
        env=runs.OUTSIDE | {"PYTHONPATH": str(runs.ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout.readline() == "ready\n", process.stderr.read()
        yield process


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)]
)
def test_a_door_that_is_asked_to_stop_ends_in_one_line(tmp_path, number, code, heeded):
    with _ready(tmp_path, WAITS) as process:
        process.send_signal(number)
        _, err = process.communicate(timeout=300)
    name = signal.Signals(number).name
    want = f"jaxseg: stopped by {name}; start the same command again to go on."
    assert err.splitlines() == [want] and process.returncode == code


LINGERS = """
import sys, time
def get_config(arg=""):
    try:
        print("ready", flush=True)
        time.sleep(600)
    finally:
        print("cleaning", flush=True)
        time.sleep(600)
"""


def test_asked_again_a_door_that_is_still_cleaning_ends_at_once(tmp_path):
    with _ready(tmp_path, LINGERS) as process:
        process.terminate()
        assert process.stdout.readline() == "cleaning\n"
        while process.poll() is None:  # those within a second are the same request
            process.terminate()
            time.sleep(0.1)
        err = process.stderr.read()
    want = "jaxseg: stopped by SIGTERM; start the same command again to go on."
    assert err.splitlines() == [want] and process.returncode == 75


ENDS_BADLY = """
import atexit, os, time
atexit.register(os.abort)  # as a thread that works on what Python took away
def get_config(arg=""):
    print("ready", flush=True)
    time.sleep(600)
"""


def test_a_door_that_is_asked_to_stop_leaves_python_s_own_end_out(tmp_path):
    with _ready(tmp_path, ENDS_BADLY) as process:
        process.terminate()
        _, err = process.communicate(timeout=300)
    want = "jaxseg: stopped by SIGTERM; start the same command again to go on."
    assert err.splitlines() == [want] and process.returncode == 75


def _asks_itself(body: str) -> subprocess.CompletedProcess:
    """What became of a process that sends itself SIGTERM inside `body`."""
    code = f"""
import gc, os, signal, sys, time
from jaxseg import interrupts
interrupts._PATIENCE = 2.0
interrupts.end_in_one_line()
def ask():
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.1)
def block():
{textwrap.indent(body, "    ")}
with interrupts.leaving_at_once():
    block()
    time.sleep(100)
"""
    return subprocess.run(
        [sys.executable, "-c", code],
        env=runs.OUTSIDE | {"PYTHONPATH": str(runs.ROOT)},
        capture_output=True,
        text=True,
        timeout=80,
    )


ONE_LINE = "jaxseg: stopped by SIGTERM; start the same command again to go on.\n"
SWALLOWED = """
try:
    ask()
except BaseException:
    print("swallowed", flush=True)
"""
COLLECTED = """
gc.callbacks.append(lambda phase, info: ask() if phase == "start" else None)
gc.collect()
time.sleep(50)
print("never", flush=True)
"""
FINALISED = """
class Held:
    def __del__(self):
        ask()
held = Held()
del held
time.sleep(50)
print("never", flush=True)
"""
IMPORTED = """
import pathlib, tempfile
with tempfile.TemporaryDirectory() as folder:
    sys.path.insert(0, folder)
    text = "import __main__\\n__main__.ask()\\nprint('imported', flush=True)"
    pathlib.Path(folder, "slowly.py").write_text(text)
    try:
        import slowly
    finally:
        print("cleaned", flush=True)
time.sleep(50)
print("never", flush=True)
"""
CONVERTED = """
try:
    ask()
except BaseException as error:
    raise ValueError("something else") from error
"""
STUBBORN = """
while True:
    try:
        ask()
    except BaseException:
        print("again", flush=True)
"""


@pytest.mark.parametrize(
    ("body", "out"),
    [
        (SWALLOWED, "swallowed\n"),
        (COLLECTED, ""),
        (FINALISED, ""),
        (IMPORTED, "imported\ncleaned\n"),
        (CONVERTED, ""),
    ],
    ids=["swallowed", "collected", "finalised", "imported", "converted"],
)
def test_a_request_is_heard_wherever_it_comes(body, out):
    done = _asks_itself(body)
    assert (done.stdout, done.stderr, done.returncode) == (out, ONE_LINE, 75)


def test_a_request_that_is_swallowed_for_ever_ends_the_process_all_the_same():
    done = _asks_itself(STUBBORN)
    assert done.stdout.startswith("again\nagain\n")
    assert (done.stderr, done.returncode) == (ONE_LINE, 75)


def test_while_it_is_imported_a_door_has_nothing_to_clean():
    code = "import os, signal, sys; sys.argv[0] = '-m'; import jaxseg.interrupts as i\n"
    code += "i.end_in_one_line(); import atexit; atexit.register(print, 'unwound')\n"
    code += "os.kill(os.getpid(), signal.SIGTERM)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=runs.OUTSIDE | {"PYTHONPATH": str(runs.ROOT)},
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("", ONE_LINE, 75)


def _ended(folder, recipe, **environment):
    """What became of a door that reads this recipe."""
    (folder / "ends.py").write_text(recipe)
    return subprocess.run(
        [sys.executable, "-m", "jaxseg.main", "--config=ends.py"],
        cwd=folder,
        env=runs.OUTSIDE | {"PYTHONPATH": str(runs.ROOT)} | environment,
        capture_output=True,
        text=True,
    )


ENDS_SLOWLY = """
import os, signal
class Held:  # as XLA holds its clients until Python takes them away
    def __del__(self, kill=os.kill, me=os.getpid(), number=signal.SIGTERM):
        kill(me, number)
os.held = Held()
def get_config(arg=""):
    raise SystemExit(4)
"""


def test_a_request_that_comes_when_the_work_is_done_changes_nothing(tmp_path):
    done = _ended(tmp_path, ENDS_SLOWLY)
    assert (done.stderr, done.returncode) == ("", 4)


STARTS = """
import os, subprocess, sys
door = [sys.executable, "-m", "jaxseg.main", "--config=waits.py"]
own = {"JAXSEG_PARENT": str(os.getpid())}
subprocess.run(door, env=os.environ | own, stderr=open("err", "w"))
"""


def test_a_door_ends_with_the_process_that_started_it(tmp_path):
    (tmp_path / "waits.py").write_text(WAITS)
    parent = subprocess.Popen(
        [sys.executable, "-c", STARTS],
        cwd=tmp_path,
        env=runs.OUTSIDE | {"PYTHONPATH": str(runs.ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    with parent:
        assert parent.stdout.readline() == "ready\n"
        parent.kill()
        assert parent.stdout.read() == ""  # the door has ended too: nobody holds it
    want = "jaxseg: stopped by SIGTERM; start the same command again to go on.\n"
    assert (tmp_path / "err").read_text() == want


ASKS = """
import os
def get_config(arg=""):
    print("parent", os.environ.get("JAXSEG_PARENT"))
    raise SystemExit(0)
"""


def test_processes_that_a_door_starts_have_it_for_their_parent(tmp_path):
    """A worker that watched the launcher, not its own parent, would end at once."""
    done = _ended(tmp_path, ASKS, JAXSEG_PARENT=str(os.getpid()))
    assert done.stdout == "parent None\n", done.stderr


def test_only_a_door_changes_what_signals_do(monkeypatch):
    door = ["/usr/bin/python", "-X", "importtime", "-m", "jaxseg.main", "--config=a"]
    for argv0, words, expected in [
        ("-m", door, True),
        ("/usr/lib/jaxseg/main.py", door, False),  # imported later on
        ("-m", ["python", "-m", "pytest", "jaxseg.main"], False),
        ("-c", ["python", "-c", "import jaxseg"], False),
        ("my.py", ["python", "my.py", "-m", "jaxseg.main"], False),
    ]:
        monkeypatch.setattr(sys, "argv", [argv0])
        monkeypatch.setattr(sys, "orig_argv", words)
        assert interrupts.is_door() is expected, words
    code = "import jaxseg, signal; print(signal.getsignal(signal.SIGTERM).name)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(runs.ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "SIG_DFL\n", done.stderr


def test_what_signals_did_before_training_comes_back_after_it():
    both = (signal.SIGTERM, signal.SIGINT)
    before = [signal.getsignal(number) for number in both]
    with stop.Stop() as request:
        assert not request.by(None, 1)
        signal.raise_signal(signal.SIGTERM)
        assert request.by(None, 2)
        assert signal.getsignal(signal.SIGINT) == before[1]  # the second one ends it
        with pytest.raises(errors.Preempted, match="while scoring"):
            request.now()
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 0  # until it is heard
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    assert [signal.getsignal(number) for number in both] == before
