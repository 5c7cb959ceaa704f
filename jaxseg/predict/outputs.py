"""Holds the folder of predictions: whose it is, what in it is finished, who writes.

`predict.json` says by what the folder was made, and `finished.jsonl` has a line for
every image: one before its files are written, one with their digests afterwards. So a
start after a kill at any moment knows which files are ours, skips what is finished, and
ends with the same bytes. Files that are not ours are never replaced unasked.
"""

import contextlib
import json
import os
import pathlib
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from absl import logging

from jaxseg import atomic
from jaxseg.errors import ConfigError, DataError
from jaxseg.predict import inputs
from jaxseg.run_directory import files

MARKER, JOURNAL = "predict.json", "finished.jsonl"
PREDICTIONS, ERRORS = "predictions.csv", "errors.csv"
_FREE = ("made_by", "runs")  # keys of the marker that may change between two starts


class Journal:
    """The lines of `finished.jsonl`, in memory and on disk."""

    def __init__(
        self,
        folder: pathlib.Path,
        lines: Sequence[dict[str, Any]],
        *,
        overwrite: bool = False,
    ):
        self.folder, self.overwrite = folder, overwrite
        self._lock = threading.Lock()
        self.begun: set[str] = set()  # files that are ours, whole or not
        self.finished: dict[str, dict[str, Any]] = {}
        for line in lines:
            if "begin" in line:
                self.begun.update(line["begin"])
                self.finished.pop(line["id"], None)  # it is being written again
            else:
                self.begun.update(line["files"])
                self.finished[line["id"]] = line

    def check_free(self, names: Iterable[str]) -> None:
        """Raises ConfigError for a file that is there and was not written here."""
        for name in names:
            path = self.folder / name
            if name not in self.begun and os.path.lexists(path) and not self.overwrite:
                raise ConfigError(
                    f"{path} is there and was not written by this command: move it, "
                    "choose another --output, or replace it with --overwrite."
                )

    def write(self, line: dict[str, Any], contents: Mapping[str, bytes]) -> None:
        """Writes the files of one image, and the line that says that it is finished.

        Raises NotWritten where there is no room.
        """
        self.begin(line["id"], contents)
        for name, content in contents.items():
            atomic.replace(self.folder / name, content)
        self.finish(line, contents)

    def begin(self, name: str, files_of_it: Iterable[str]) -> None:
        """Notes that the files of the image with this id are about to be written."""
        with self._lock:
            self._append({"begin": [*files_of_it], "id": name})

    def finish(self, line: dict[str, Any], names: Iterable[str]) -> None:
        """Notes that an image is finished, with the digests of its files as written."""
        digests = {name: inputs.sha256(self.folder / name) for name in names}
        line = files.plain({**line, "files": digests})
        with self._lock:
            self._append(line)
            self.finished[line["id"]] = line

    def _append(self, line: dict[str, Any]) -> None:
        path = self.folder / JOURNAL
        text = json.dumps(line) + "\n"
        try:
            with open(path, "ab") as file:
                file.write(text.encode())
        except OSError as error:
            raise atomic.not_written(path, len(text), error) from error

    def close(self) -> None:
        """Writes the lines of finished images alone, sorted: whatever came between."""
        lines = [self.finished[name] for name in sorted(self.finished)]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        atomic.replace(self.folder / JOURNAL, text.encode())


@contextlib.contextmanager
def opened(
    folder: pathlib.Path,
    *,
    source: pathlib.Path,
    marker: dict[str, Any],
    overwrite: bool,
) -> Iterator[Journal]:
    """The journal of `folder`, which this process alone writes meanwhile.

    `marker` is JSON: what the outputs depend on, and under `made_by` and `runs` what
    they do not. Raises ConfigError for a folder that cannot be the output of this
    command, as `check_place` and `_check_marker` say, and for one in which another
    process is writing; DataError for a damaged journal, and for a file that was changed
    after it was written.
    """
    check_place(folder, source)
    if not overwrite:
        _check_ours(folder)
    with files.lock(folder):
        path = folder / MARKER
        lines: list[dict[str, Any]] = []
        if path.is_file() and not overwrite:
            _check_marker(folder, files.read_json(path), files.plain(marker))
            lines = _read_lines(folder / JOURNAL)
        elif not overwrite:
            _check_ours(folder)
        if lines:
            atomic.clean(folder)
        if not path.is_file() or overwrite:
            (folder / JOURNAL).unlink(missing_ok=True)
            files.write_json(path, marker)
        journal = Journal(folder, lines, overwrite=overwrite)
        yield journal
        journal.close()


def check_place(folder: pathlib.Path, source: pathlib.Path) -> None:
    """Raises ConfigError where `folder` cannot be the output for images in `source`."""
    out, into = folder.resolve(), source.resolve()
    if source.is_dir() and out.is_relative_to(into):
        raise ConfigError(
            f"--output={folder} lies inside the input {source}, and the next start "
            "would take its masks for images: choose another folder."
        )
    if into.is_relative_to(out) and (source.is_dir() or into.parent != out):
        raise ConfigError(
            f"the input {source} lies inside --output={folder}: choose another folder."
        )
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"--output={folder} is a file: name a folder.")
    atomic.check_folder(folder)


def _check_ours(folder: pathlib.Path) -> None:
    """Raises ConfigError for a folder that holds files, but no marker of ours."""
    if not folder.is_dir() or (folder / MARKER).is_file():
        return
    left = (files.LOCK, MARKER)  # of a start that was killed at once
    others = sorted(p.name for p in folder.iterdir() if not p.name.startswith(left))
    if others:
        raise ConfigError(
            f"--output={folder} holds files that are no predictions ({others[0]!r}): "
            "choose a new or empty folder, or write beside them with --overwrite."
        )


def _check_marker(
    folder: pathlib.Path, before: dict[str, Any], now: dict[str, Any]
) -> None:
    old, new = (
        {k: v for k, v in each.items() if k not in _FREE} for each in (before, now)
    )
    if changes := files.config_diff(old, new):
        raise ConfigError(
            f"{folder} holds predictions that were made otherwise "
            f"({'; '.join(changes[:3])}): choose another --output, or replace them "
            "with --overwrite."
        )


def _read_lines(path: pathlib.Path) -> list[dict[str, Any]]:
    """The whole lines; what a kill left of the last one is cut off."""
    content = path.read_bytes() if path.is_file() else b""
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        os.truncate(path, len(whole))
    try:
        lines = [json.loads(line) for line in whole.splitlines()]
        for line in lines:
            if not {"id"} < line.keys() or not {"begin", "row"} & line.keys():
                raise ValueError("a line is no entry")
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path} is damaged ({error}): choose another --output, or predict all "
            "images again with --overwrite."
        ) from None
    return lines


def still_finished(journal: Journal, item: inputs.Input) -> bool:
    """Whether the image needs no prediction: same input, its outputs as written.

    An input that changed is said and predicted again, and so is one whose output is
    gone. Raises DataError for an output that somebody changed.
    """
    line = journal.finished.get(item.id)
    if line is None:
        return False
    missing = False
    for name, digest in line["files"].items():
        path = journal.folder / name
        if not path.is_file():
            missing = True
        elif inputs.sha256(path) != digest:
            raise DataError(
                f"{path} was changed after it was written: move it, or predict all "
                "images again with --overwrite."
            )
    if missing:
        return False
    try:
        same = inputs.sha256(item.path) == line["input_sha256"]
    except (DataError, OSError):  # reading it says why
        same = False
    if not same:
        logging.warning("%s has changed since: it is predicted again.", item.path)
    return same
