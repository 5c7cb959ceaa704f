"""The errors a user can cause, and the exit code of each."""


class ConfigError(ValueError):
    """A setting cannot be used: exit code 2."""

    exit_code = 2


class DataError(ValueError):
    """A file or a data set cannot be used: exit code 3."""

    exit_code = 3


class PeersMissing(RuntimeError):
    """Other processes of the run did not come, or were lost: exit code 69."""

    exit_code = 69


class NotWritten(OSError):
    """There was no room to write a file, or a bucket did not take it: exit code 74."""

    exit_code = 74

    def __str__(self) -> str:
        return str(self.args[-1])


class NotWritable(NotWritten):
    """Nothing can be written at a place, whatever room it has: exit code 2."""

    exit_code = 2


class NotFinite(RuntimeError):
    """Training met too many non-finite steps in a row: exit code 1."""

    exit_code = 1


class Preempted(Exception):
    """The run was asked to stop and saved its state: exit code 75, start again."""

    exit_code = 75
