"""Calls the roll of a run's processes, and tells each when another is lost.

Process 0 starts this file as a program beside itself, so that it outlives process 0 by
some seconds: JAX's own service, inside process 0, would take all others down with it
by an abort (SIGABRT) and a page of C++, within the second in which process 0 dies. It
holds the one port that the user names, and passes on to JAX's service, which listens
on this host alone, every connection that is not `peers.py` speaking.

What is spoken is one JSON object a line. A process says hello with its number; it gets
{"go": true} when all have come, or {"missing": ...}; then both sides send {} as a sign
of life. {"bye": code} ends that in order. Whoever falls silent or hangs up without a
bye is lost, and everybody hears it once.

It imports the standard library alone, and runs without the rest of the package.
"""

import asyncio
import contextlib
import json
import signal
import sys
import time
from typing import Any, NamedTuple

HELLO = b"jaxseg "  # how `peers.py` begins; JAX's own connections begin as HTTP/2
IN_ORDER = (0, 75)  # exit codes that all processes come to by themselves
BEATS = 6  # signs of life in the time after which one counts as lost
LINGER = 10.0  # seconds that connections stay open after somebody is lost
_BIND = 20.0  # seconds for a port that a run before may still hold
_LIMIT = 1 << 16


class Settings(NamedTuple):
    """What `main` reads from the command line, as JSON."""

    host: str | None  # where to listen; None: on every address of this host
    port: int
    processes: int
    timeout: float  # seconds until all must have come
    silence: float  # seconds without a sign of life after which one is lost
    service: int  # port of JAX's service on this host


class Member:
    """A process that has come."""

    def __init__(self, number: int, host: str, writer: asyncio.StreamWriter):
        self.number, self.host, self.writer = number, host, writer
        self.seen = time.monotonic()
        self.left = False  # said bye

    def send(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(OSError, RuntimeError):
            self.writer.write(json.dumps(message).encode() + b"\n")


class Coordinator:
    """The members of one run, and what they have been told."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.members: dict[int, Member] = {}
        self.running = False  # all have come
        self.over = asyncio.Event()  # everybody has been told that it ends

    async def serve(self) -> None:
        """Listens until the run is over, or process 0 has left and all are gone."""
        server = await _listen(self._accept, self.settings)
        print("ready", flush=True)
        # kept by name: asyncio holds its tasks weakly
        waits = [self._clock(), _end_of_input(), self.over.wait()]
        clock, *ends = map(asyncio.ensure_future, waits)
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        end = time.monotonic() + LINGER
        while time.monotonic() < end and self._somebody():
            await asyncio.sleep(0.1)
        clock.cancel()
        server.close()

    def _somebody(self) -> bool:
        """Whether anybody may still need this program."""
        return any(not member.writer.is_closing() for member in self.members.values())

    async def _clock(self) -> None:
        """Sends signs of life, and notices when none come."""
        began, silence = time.monotonic(), self.settings.silence
        while not self.over.is_set():
            now = time.monotonic()
            if not self.running and now - began > self.settings.timeout:
                self._missing()
            for member in list(self.members.values()):
                member.send({})
                if self.running and not member.left and now - member.seen > silence:
                    self._lost(member, f"gave no sign of life for {silence:g} s")
            await asyncio.sleep(min(silence / BEATS, 1.0))

    async def _accept(self, reader, writer) -> None:
        # anybody may connect, and say anything
        with contextlib.suppress(OSError, EOFError, ValueError, KeyError, TypeError):
            first = await reader.readexactly(len(HELLO))
            if first == HELLO:
                await self._member(reader, writer)
            else:
                await _pass_on(first, reader, writer, self.settings)
        writer.close()

    async def _member(self, reader, writer) -> None:
        hello = json.loads(await reader.readline())
        member = Member(int(hello["process"]), str(hello["host"]), writer)
        if reason := self._refusal(member, int(hello["processes"])):
            member.send({"refused": reason})
            await writer.drain()
            return
        self.members[member.number] = member
        if len(self.members) == self.settings.processes:
            self.running = True
            self._tell({"go": True})
        with contextlib.suppress(OSError, ValueError):
            while text := await reader.readline():
                member.seen = time.monotonic()
                if message := json.loads(text):
                    self._bye(member, message)
        if self.running and not member.left:
            self._lost(member, "vanished: it was killed, or its host is gone")
        elif not self.running:
            self.members.pop(member.number, None)  # it may come again

    def _refusal(self, member: Member, processes: int) -> str:
        """Why a process may not join, "" when it may."""
        mine, other = self.settings.processes, self.members.get(member.number)
        if processes != mine:
            return (
                f"process {member.number} on {member.host} was told of {processes} "
                f"processes, process 0 of {mine}; give all the same number."
            )
        if not 0 <= member.number < mine:
            return f"process {member.number} is none of 0 to {mine - 1}."
        if other:
            return (
                f"two processes are number {member.number}, on {other.host} and on "
                f"{member.host}; number them from 0 to {mine - 1}, each number once."
            )
        return ""

    def _bye(self, member: Member, message: dict[str, Any]) -> None:
        code = int(message["bye"])
        member.left = True
        if code not in IN_ORDER:
            text = str(message.get("text", ""))[:2000]
            self._end({"ended": code, "text": text}, member)

    def _lost(self, member: Member, how: str) -> None:
        self._end({"lost": how}, member)

    def _end(self, message: dict[str, Any], member: Member) -> None:
        if not self.over.is_set():
            who = {"process": member.number, "host": member.host}
            self._tell(message | who, but=member)
            self.over.set()

    def _missing(self) -> None:
        numbers = range(self.settings.processes)
        missing = [k for k in numbers if k not in self.members]
        came = [f"{k} on {self.members[k].host}" for k in numbers if k in self.members]
        self._tell({"missing": missing, "came": came})
        self.over.set()

    def _tell(self, message: dict[str, Any], *, but: Member | None = None) -> None:
        for member in list(self.members.values()):
            if member is not but:
                member.send(message)


async def _listen(accept, settings: Settings) -> asyncio.Server:
    end = time.monotonic() + min(_BIND, settings.timeout)
    while True:
        try:
            return await asyncio.start_server(
                accept, settings.host, settings.port, limit=_LIMIT, backlog=1024
            )
        except OSError:
            if time.monotonic() > end:
                raise
        await asyncio.sleep(0.2)


async def _end_of_input() -> None:
    """Returns when process 0 is gone, which holds the other end."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer
    )
    await reader.read()


async def _pass_on(first: bytes, reader, writer, settings: Settings) -> None:
    """Joins a connection of JAX with its service.

    When the service hangs up the other side is not told: JAX would abort there.
    """
    end = time.monotonic() + settings.timeout
    while True:  # the service is started after the roll call
        try:
            source, sink = await asyncio.open_connection("127.0.0.1", settings.service)
            break
        except OSError:
            if time.monotonic() > end:
                return
        await asyncio.sleep(0.05)
    sink.write(first)
    back = asyncio.create_task(_copy(source, writer))
    await _copy(reader, sink)
    sink.close()
    back.cancel()


async def _copy(reader, writer) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(_LIMIT):
            writer.write(data)
            await writer.drain()


async def _serve(settings: Settings) -> None:
    await Coordinator(settings).serve()  # made here: its event belongs to this loop


def main() -> int:
    # a scheduler signals all processes at once: this one ends when process 0 has
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    settings = Settings(**json.loads(sys.argv[1]))
    try:
        asyncio.run(_serve(settings))
    except OSError as error:
        print(f"error {error.strerror}", flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
