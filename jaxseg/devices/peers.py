"""Joins the processes of a run, and ends this one when another is lost.

Without it a peer that dies leaves the others waiting in a collective for minutes,
and then aborts them. Here a thread listens to the coordinator (`coordinator.py`): a
process that vanishes ends all others with one sentence and exit code 69, and one that
fails with a sentence of its own ends the others with its exit code.
"""

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from typing import Any, NoReturn

from jaxseg.devices import cluster, coordinator
from jaxseg.errors import ConfigError, PeersMissing

_LOST = PeersMissing.exit_code
_AGAIN = "start the same command again to go on from the last checkpoint."
_GRACE = 2.0  # seconds for this process to come to the same end by itself
_VERDICT = 2.0  # seconds in which the coordinator hears that somebody hung up
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class _Link:
    """The connection of this process with the coordinator."""

    def __init__(self, connection: socket.socket, place: cluster.Place, silence: float):
        self.connection, self.place, self.silence = connection, place, silence
        self.ending = threading.Event()  # the watch has heard that it ends
        self.rest = b""
        self.unread: list[dict[str, Any]] = []  # came with one that was waited for

    def send(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):
            self.connection.sendall(json.dumps(message).encode() + b"\n")

    def receive(self, seconds: float) -> list[dict[str, Any]]:
        """The next messages, none within `seconds`; OSError when it hung up."""
        if self.unread:
            messages, self.unread = self.unread, []
            return messages
        self.connection.settimeout(seconds)
        try:
            data = self.connection.recv(1 << 16)
        except TimeoutError:
            return []
        if not data:
            raise ConnectionError("it hung up")
        *lines, self.rest = (self.rest + data).split(b"\n")
        return [json.loads(text) for text in lines]


_link: _Link | None = None  # of this process, as JAX's own client is


def join(place: cluster.Place, *, timeout: float, silence: float) -> str:
    """The address of JAX's service for this process, once all processes have come.

    `timeout` and `silence` are seconds; those of process 0 count for all. From here on
    this process ends when another is lost. Raises PeersMissing when not all come, and
    ConfigError for a name that does not resolve, a port in use, and numbers that
    contradict those of the others.
    """
    global _link
    _resolve(place)
    address = place.coordinator
    if place.process == 0:
        address = f"127.0.0.1:{free_port()}"
        _start_coordinator(place, timeout, silence, address)
    _link = _answered(place, timeout, silence)
    threading.Thread(target=_watch, args=(_link,), daemon=True, name="peers").start()
    return address


@contextlib.contextmanager
def farewell() -> Iterator[None]:
    """Tells the others how this process ends; nothing for one process alone.

    In order (exit codes 0 and 75) it ends as ever, and JAX waits for all. Otherwise it
    ends at once, for JAX would wait for processes that wait for this one. An error
    that is only the consequence of a lost peer gives way to the sentence about it.
    """
    try:
        yield
    except BaseException as error:
        if _link is None:
            raise
        own = error.__context__ if isinstance(error, SystemExit) else error
        code = error.code if isinstance(error, SystemExit) else 1
        code = code if isinstance(code, int) else int(code is not None)
        if not isinstance(error, SystemExit):
            _verdict(_link)
            traceback.print_exception(error)
        text = f"{own}" if hasattr(own, "exit_code") else type(own).__name__
        _link.send({"bye": code, "text": " ".join(text.split()) if own else ""})
        if code not in coordinator.IN_ORDER:
            _exit(code)
        raise


def _verdict(link: _Link) -> None:
    """Waits for what the coordinator says about an error: then the watch ends us."""
    if link.ending.wait(_VERDICT):
        time.sleep(_GRACE + _VERDICT)


def _resolve(place: cluster.Place) -> None:
    """Raises ConfigError for a coordinator whose name does not exist."""
    host, port = cluster.host_and_port(place.coordinator)
    try:
        socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        gone = error.errno in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", 0))
        if gone and not place.name_comes_late:
            raise ConfigError(
                f"the coordinator's name {host!r} (from {place.source}) does not "
                f"resolve on {socket.gethostname()}; enter it in /etc/hosts or DNS, or "
                "give an address."
            ) from None


def _start_coordinator(
    place: cluster.Place, timeout: float, silence: float, service: str
) -> None:
    """Starts the coordinator beside process 0; ConfigError where its port is in use."""
    host, port = cluster.host_and_port(place.coordinator)
    settings = coordinator.Settings(
        host=host if host in _LOOPBACK else None,
        port=port,
        processes=place.processes,
        timeout=timeout,
        silence=silence,
        service=int(service.rpartition(":")[2]),
    )
    program = str(pathlib.Path(coordinator.__file__))
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", program, json.dumps(settings._asdict())],
        stdin=subprocess.PIPE,  # closed when this process ends, however it does
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    answer = process.stdout.readline().strip()
    if answer != "ready":
        process.stdin.close()
        raise ConfigError(
            f"process 0 cannot listen on port {port} of {socket.gethostname()} "
            f"({answer.removeprefix('error ') or 'the coordinator failed'}); another "
            "run may hold it: choose another port for the coordinator."
        )
    _children.append(process)


_children: list[subprocess.Popen] = []  # kept: their input closes when forgotten


def free_port() -> int:
    """A port of this host that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _answered(place: cluster.Place, timeout: float, silence: float) -> _Link:
    """The link, once the coordinator says that all have come."""
    host, port = cluster.host_and_port(place.coordinator)
    if place.process == 0 and host not in _LOOPBACK:
        host = "127.0.0.1"  # it listens there too, and the way round may be closed
    end, why = time.monotonic() + timeout, "it was not tried"
    while (left := end - time.monotonic()) > 0:
        try:
            connection = socket.create_connection((host, port), min(5.0, left))
            link = _Link(connection, place, silence)
            _hello(link)
            _roll_call(link)
            return link
        except ConfigError:  # one of ValueError
            raise
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)
        time.sleep(min(0.3, max(0.0, end - time.monotonic())))
    raise PeersMissing(
        f"the coordinator {place.coordinator} did not answer process {place.process} "
        f"of {place.processes} on {socket.gethostname()} within {timeout:g} s ({why}); "
        "see whether process 0 runs and this host may reach that port, then start all "
        "again (--coordinator_timeout_s, JAXSEG_COORDINATOR_TIMEOUT)."
    )


def _hello(link: _Link) -> None:
    place = link.place
    hello = {"process": place.process, "processes": place.processes}
    text = json.dumps(hello | {"host": socket.gethostname()})
    link.connection.sendall(coordinator.HELLO + text.encode() + b"\n")


def _roll_call(link: _Link) -> None:
    """Returns when all have come; OSError when the coordinator is lost meanwhile."""
    heard = time.monotonic()
    while True:
        messages = link.receive(link.silence / coordinator.BEATS)
        if messages:
            heard = time.monotonic()
        elif time.monotonic() - heard > link.silence:
            raise ConnectionError("it fell silent")
        for k, message in enumerate(messages):
            if "go" in message:
                link.unread = messages[k + 1 :]
                return
            if "refused" in message:
                raise ConfigError(message["refused"])
            if "missing" in message:
                raise PeersMissing(_missing(message, link.place.processes))


def _missing(message: dict[str, Any], processes: int) -> str:
    came, missing = message["came"], message["missing"]
    return (
        f"only {len(came)} of {processes} processes came in time: {', '.join(came)}; "
        f"missing: {', '.join(map(str, missing))}. See their logs, then start all "
        "again (--coordinator_timeout_s, JAXSEG_COORDINATOR_TIMEOUT)."
    )


def _watch(link: _Link) -> None:
    """Exchanges signs of life with the coordinator until somebody is lost."""
    heard = time.monotonic()
    while True:
        link.send({})
        try:
            messages = link.receive(link.silence / coordinator.BEATS)
        except (OSError, ValueError) as error:
            _coordinator_lost(link, str(error))
        if messages:
            heard = time.monotonic()
        elif time.monotonic() - heard > link.silence:
            _coordinator_lost(link, f"it gave no sign of life for {link.silence:g} s")
        for message in messages:
            if "lost" in message or "ended" in message:
                _end_as(link, message)


def _coordinator_lost(link: _Link, why: str) -> NoReturn:
    place = link.place
    link.ending.set()
    _say(
        f"the coordinator {place.coordinator} beside process 0 was lost ({why}); "
        f"process {place.process} of {place.processes} ends: {_AGAIN}"
    )
    _exit(_LOST)


def _end_as(link: _Link, message: dict[str, Any]) -> NoReturn:
    """Ends this process because another is lost or has failed."""
    link.ending.set()
    number, processes = message["process"], link.place.processes
    who = f"process {number} of {processes} on {message['host']}"
    if "lost" in message:
        _say(f"{who} {message['lost']}; process {link.place.process} ends: {_AGAIN}")
        _exit(_LOST)
    time.sleep(_GRACE)  # the same is often wrong here, and will be said here
    reason = f": {message['text']}" if message["text"] else ""
    _say(
        f"process {link.place.process} ends because {who} ended with exit code "
        f"{message['ended']}{reason}"
    )
    _exit(message["ended"])


def _say(text: str) -> None:
    """Writes a line past sys.stderr, which another thread may hold."""
    with contextlib.suppress(OSError):
        os.write(2, f"jaxseg: {text}\n".encode())


def _exit(code: int) -> NoReturn:
    """Ends the process without JAX's own end, which waits for its peers."""
    flush = threading.Thread(target=_flush, daemon=True)
    flush.start()
    flush.join(1.0)  # another thread may hold a stream for ever
    os._exit(code)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
