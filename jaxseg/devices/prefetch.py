"""Puts batches on the devices one ahead of the step, under a watchdog."""

import queue
import threading
from collections.abc import Callable, Iterator

from jax.sharding import Mesh

from jaxseg.devices import sharding
from jaxseg.errors import DataError

_END = object()


def ahead(
    batches: Iterator, mesh: Mesh, *, timeout: float, name: Callable[[int], str]
) -> Iterator[tuple[dict, dict]]:
    """(batch on the mesh, the same on the host), read and put in a thread of its own.

    A source that gives nothing for `timeout` seconds is an error that says, through
    `name(k)`, which batch it was: a stuck disk would otherwise wait for ever. What the
    source raises is raised here.
    """
    slots: queue.Queue = queue.Queue(maxsize=1)
    stop = threading.Event()

    def offer(item) -> bool:
        while not stop.is_set():
            try:
                slots.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def fill() -> None:
        try:
            for batch in batches:
                if not offer((sharding.put(batch, mesh), batch)):
                    return
            offer(_END)
        except BaseException as error:  # raised again where the batch is needed
            offer(error)
        finally:
            if hasattr(batches, "close"):
                batches.close()

    thread = threading.Thread(target=fill, daemon=True, name="feed")
    thread.start()
    count = 0
    try:
        while True:
            try:
                item = slots.get(timeout=timeout)
            except queue.Empty:
                raise DataError(
                    f"no batch came for {timeout:g} s while reading {name(count)}; "
                    "the disk or a file may hang (config.data.timeout_s)."
                ) from None
            if item is _END:
                return
            if isinstance(item, BaseException):
                raise item
            yield item
            count += 1
    finally:
        stop.set()
        thread.join(timeout=5)
