"""Keeps a bucket up with a run: --workdir=s3://my-bucket/runs/x.

The run trains in a folder of this machine (`run_directory/mirror.py` says why). At the
start the folder is brought from the bucket, where that holds something newer; after
each durable checkpoint, and at the end, process 0 sends what has changed, in a thread
of its own. A bucket that fails while the run trains is said and tried again; one that
fails at the start or at the end is an error.
"""

import concurrent.futures
import contextlib
import secrets
import socket
import time
from collections.abc import Iterator

import jax
import numpy as np
from absl import logging

from jaxseg.devices import sharding
from jaxseg.errors import ConfigError, Preempted
from jaxseg.run_directory import bucket, checkpoint, files, mirror

_AGAIN = 60.0  # seconds until a bucket that failed is tried again


@contextlib.contextmanager
def opened(address: str) -> Iterator["Mirrored"]:
    """Brings the run at `address`, a URL, to this machine.

    Every process enters it, before the run directory is touched. When the block ends,
    or the run was asked to stop, what is there is sent. Raises ConfigError where the
    bucket cannot be used, NotWritten where the end of a run could not be sent.
    """
    with contextlib.ExitStack() as stack:
        mirrored = _open(stack, address)
        try:
            yield mirrored
        except Preempted:
            mirrored.finish(last=False)
            raise
        mirrored.finish()


class Mirrored:
    """The sending side of a mirrored run; does nothing on processes but the first."""

    def __init__(self, copy: mirror.Copy | None):
        self._copy = copy
        self._step: int | None = None  # the newest that was given to the thread
        self._sending: concurrent.futures.Future | None = None
        self._wait_until = 0.0
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "mirror")

    def offer(self, checkpoints: checkpoint.Manager) -> None:
        """Begins to send where a new checkpoint is durable; cheap, for every step.

        Raises ConfigError where another run writes to the same place.
        """
        if self._copy is None or (self._sending and not self._sending.done()):
            return
        self._collect()
        step = checkpoint.durable_step(checkpoints)
        if step in (None, self._step) or time.monotonic() < self._wait_until:
            return
        try:
            staged = mirror.stage(self._copy.folder, newest=step)
        except OSError as error:
            self._later(error)
            return
        self._step = step
        self._sending = self._thread.submit(mirror.send, self._copy, staged)

    def finish(self, *, last: bool = True) -> None:
        """Sends all that is there; NotWritten if it cannot, or a warning if not `last`.

        A run that was stopped goes on from what was sent before.
        """
        if self._copy is None:
            return
        self._collect()
        try:
            staged = mirror.stage(self._copy.folder)
            self._copy = mirror.send(self._copy, staged)
            logging.info(
                "%s is whole in %s", self._copy.folder.name, self._copy.bucket.url
            )
        except (bucket.Fault, OSError) as error:
            if last:
                raise mirror.not_sent(self._copy, error) from error
            self._later(error)

    def close(self) -> None:
        """Waits until the thread has sent, or given up, what it was given."""
        self._thread.shutdown()

    def _collect(self) -> None:
        """Waits for what is being sent, and takes note of what came of it."""
        sending, self._sending = self._sending, None
        if sending is None:
            return
        try:
            self._copy = sending.result()
        except (bucket.Fault, OSError) as error:
            self._later(error)

    def _later(self, error: Exception) -> None:
        self._step, self._wait_until = None, time.monotonic() + _AGAIN
        logging.warning(
            "%s. The run goes on in %s; what was sent before is whole, and this is "
            "tried again.",
            str(error).rstrip("."),
            self._copy.folder,
        )


def _open(stack: contextlib.ExitStack, address: str) -> Mirrored:
    """The mirror of a run whose folder is here; every process learns of a refusal."""
    folder, refusal, copy = mirror.local_copy(address), None, None
    if jax.process_index() == 0:
        try:
            stack.enter_context(files.lock(mirror.beside(folder)))
            copy = mirror.open_copy(address)
            logging.info("%s is kept in %s while it is trained", address, folder)
        except (ValueError, OSError) as error:
            refusal = error
    if sharding.any_process(refusal is not None):
        raise refusal or ConfigError("process 0 refused to start and says why.")
    _check_shared(folder)
    mirrored = Mirrored(copy)
    stack.callback(mirrored.close)  # before the lock is left to the next run
    return mirrored


def _check_shared(folder) -> None:
    """ConfigError where the processes of a run do not see one folder."""
    if jax.process_count() == 1:
        return
    path, own = mirror.beside(folder) / "seen_by_all", secrets.randbelow(2**31)
    if jax.process_index() == 0:
        path.write_text(str(own))
    number = int(sharding.gather({"number": np.array([own])})[0]["number"][0])
    apart = not path.is_file() or path.read_text() != str(number)
    if sharding.any_process(apart):
        name = f"process {jax.process_index()} on {socket.gethostname()}"
        raise ConfigError(
            f"{folder}, where a run of several processes is trained, is not one folder "
            f"for all of them ({name} {'does not see it' if apart else 'does'}): set "
            "JAXSEG_CACHE to a folder that every host mounts. The bucket holds copies "
            "of that folder, and is none itself."
        )
