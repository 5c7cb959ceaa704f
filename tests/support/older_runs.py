"""Runs that an earlier version left: of a folder of 20 images, U-Net, 2 epochs.

`finished` has ended; `stopped` was asked to stop after 5 of its 8 steps. They were made
before the package was divided into wings (commit 88a0fbb), on one CPU.
"""

import hashlib
import json
import pathlib
import zipfile

ARCHIVE = pathlib.Path(__file__).parent / "golden" / "runs_before.zip"


def unpack(folder: pathlib.Path) -> pathlib.Path:
    """Writes `finished`, `stopped` and their images `my_images` into the folder."""
    with zipfile.ZipFile(ARCHIVE) as archive:
        archive.extractall(folder)
    return folder


def unseal(workdir: pathlib.Path) -> None:
    """Leaves the run as versions did that sealed neither run nor operating point."""
    path = workdir / "run.json"
    record = json.loads(path.read_text())
    record = {k: v for k, v in record.items() if k not in ("digests", "sha256")}
    path.write_text(json.dumps(record))
    for path in workdir.glob("checkpoints/*/manifest.json"):
        content = json.loads(path.read_text())["content"]
        content.pop("operating_point", None)
        content["meta"].pop("history", None)
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
        path.write_text(json.dumps({"sha256": digest.hexdigest(), "content": content}))
