"""Writes what a Python process unpickles, executes, starts and connects to.

Python imports a module of this name by itself when its folder is on the path. Each
process appends lines of JSON to a file of its own in $JAXSEG_AUDIT: an event, what it
was about, and the file of the code that caused it.
"""

import json
import os
import sys

_FOLDER = os.environ.get("JAXSEG_AUDIT", "")
_EVENTS = {"pickle.find_class", "exec", "socket.connect", "socket.getaddrinfo"}
_EVENTS |= {"socket.sendto", "os.system", "os.exec", "os.posix_spawn"}
_EVENTS |= {"subprocess.Popen"}
_IMPORTS = ("<frozen importlib._bootstrap>", "<frozen importlib._bootstrap_external>")
# a queue of multiprocessing, and a pipe from the parent
_BETWEEN = ("multiprocessing", "jaxseg/data/preparation/worker_process.py")
_reported: set[str] = set()


def _about(event: str, arguments: tuple) -> str:
    """What the event is about, in words; "" for what is not worth a line."""
    if event == "exec":
        name = getattr(arguments[0], "co_filename", "")
        return "" if name.startswith("<frozen") else name
    if event == "pickle.find_class":
        return f"{arguments[0]}.{arguments[1]}"
    if event.startswith("socket."):
        return repr(arguments[1:] if event != "socket.getaddrinfo" else arguments[:2])
    return repr(arguments[:2])[:300]


def _hook(event: str, arguments: tuple) -> None:
    if event not in _EVENTS:
        return
    about, callers = _about(event, arguments), []
    try:
        frame = sys._getframe(1)
    except ValueError:  # raised by a library's own thread
        frame = None
    while about and frame is not None:
        callers.append(frame.f_code.co_filename)
        frame = frame.f_back
    if not about or (event == "exec" and callers and callers[0] in _IMPORTS):
        return  # a module that is imported comes from the path of Python
    queues = any(part in name for name in callers for part in _BETWEEN)
    line = json.dumps(
        {
            "event": event,
            "about": about,
            "caller": callers[0] if callers else "",
            "between_processes": queues,
        }
    )
    if line not in _reported:
        _reported.add(line)
        path = os.path.join(_FOLDER, f"{os.getpid()}.events")
        with open(path, "a") as file:
            file.write(line + "\n")


if _FOLDER:
    sys.addaudithook(_hook)
