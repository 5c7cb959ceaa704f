"""Sets what a user sees of the log: plain lines of ours, and nobody else's chatter.

`--verbosity` brings everything back: absl's prefixes with times and threads, what JAX
says of backends it did not find, and XLA's alarms.
"""

import logging as standard_logging
import os

from absl import flags, logging

# they tell every file they open and every backend that is not there
_CHATTY = ("dataset_info", "dataset_builder", "xla_bridge")
_NATIVE = "TF_CPP_MIN_LOG_LEVEL"  # of the C++ below JAX: 3 = only what ends the program


def start() -> None:
    """Makes the log plain, unless --verbosity asks for all of it.

    To be called before JAX is imported, whose C++ reads its level once.
    """
    if is_verbose():
        return
    os.environ.setdefault(_NATIVE, "3")
    handler = logging.get_absl_handler().python_handler
    handler.setFormatter(_Plain())
    if _ours not in handler.filters:
        handler.addFilter(_ours)


def verbosity(level: int) -> None:
    """Sets the level of the log, unless --verbosity does."""
    if not is_verbose():
        logging.set_verbosity(level)


def is_verbose() -> bool:
    """Whether the command line has --verbosity (or -v)."""
    flag = flags.FLAGS["verbosity"] if "verbosity" in flags.FLAGS else None
    return flag is not None and bool(flag.present)


class _Plain(standard_logging.Formatter):
    """The message alone, and in front of it the level of what is no plain news."""

    def format(self, record: standard_logging.LogRecord) -> str:
        text = super().format(record)
        if record.levelno < standard_logging.WARNING:
            return text
        return f"{record.levelname.lower()}: {text}"


def _ours(record: standard_logging.LogRecord) -> bool:
    """Keeps out what other libraries say that is no warning."""
    loud = record.levelno >= standard_logging.WARNING
    return record.module not in _CHATTY and (loud or record.name == "absl")
