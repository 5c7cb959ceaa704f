"""Images a second that the input alone gives: PNG, the cache, torch's DataLoader.

    pip install -e .[parity]
    python tests/benchmarks/input.py
    python tests/benchmarks/input.py --workers=0,2 --sizes=256x256 --turns=5
    python tests/benchmarks/input.py --wait

Prints a Markdown table: for every size of files and number of workers the images a
second and the milliseconds of processor time an image (of the process and its workers).
All sides read the same grey images and masks, half of the masks empty, in batches of 8
at the size of the model. "png" and "cache" are what `build.train_batches` gives a
run of `configs/folder.py` with config.data.cache_gib=0 and 8, once the cache is full;
"torch" is a DataLoader whose Dataset reads the PNG files with OpenCV and brings them to
size by the same function; it is left out where torch is not installed. Every side is a
process of its own; sides take turns, ratios are of the same turn, and the table has
medians. `--wait` trains a small U-Net at 256x256 with 2 workers instead, and prints the
share of each epoch that it waited for data.
"""

import argparse
import csv
import datetime
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
BATCH, COUNT = 8, 64
SIDES = ("png", "cache", "torch")
SIZES = {"1024x1024": (512, 512), "256x256": (256, 256)}  # of files -> of the model
_TICK = os.sysconf("SC_CLK_TCK")


def draw(folder: pathlib.Path, side: int, count: int = COUNT) -> pathlib.Path:
    """A folder of smooth grey images with the noise of a detector, and their masks."""
    import cv2
    import numpy as np

    rng = np.random.default_rng(side)
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for k in range(count):
        coarse = rng.normal(size=(12, 12))
        image = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
        image = 120 + 40 * image + rng.normal(0, 2, image.shape)
        mask = np.zeros((side, side), np.uint8)
        if k % 2:
            at = rng.integers(side // 4, side // 2, 2).tolist()
            cv2.ellipse(mask, at, (side // 6, side // 12), k, 0, 360, 1, -1)
            image += 30 * mask
        cv2.imwrite(
            str(folder / f"images/{k:03d}.png"), image.clip(0, 255).astype("u1")
        )
        cv2.imwrite(str(folder / f"masks/{k:03d}.png"), mask)
    return folder


def config(folder: pathlib.Path, size: tuple[int, int], gib: float, **changes):
    """The config of a run on these images."""
    from support import runs

    fixed = {
        "data.dir": str(folder),
        "data.image_size": size,
        "data.options.mask_format": "class_ids",
        "data.cache_gib": gib,
        "batch_size": BATCH,
        "model.name": "unet",
        "model.unet.widths": (8, 16, 32),
    }
    return runs.config("folder", **fixed | changes)


def batches(
    folder: pathlib.Path, size: tuple[int, int], workers: int, gib: float
) -> Iterator:
    """The batches of a run, for ever; the cache is filled first."""
    from jaxseg.experiment import build

    experiment = build.load(config(folder, size, gib), batch_size=BATCH)
    if gib:
        split = experiment.splits["train"]
        for index in range(len(split)):
            experiment.scorer.view(split, index)
    return build.train_batches(experiment, steps=10**6, workers=workers)


class Files:
    """A map-style Dataset of torch: image and mask, read from their PNG files."""

    def __init__(self, folder: pathlib.Path, size: tuple[int, int]):
        self.paths, self.size = sorted(folder.glob("images/*.png")), size

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int):
        import cv2

        from jaxseg.data import resize

        path = self.paths[index]
        image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[..., None]
        mask = cv2.imread(
            str(path.parents[1] / "masks" / path.name), cv2.IMREAD_UNCHANGED
        )
        image, mask = resize.fit(image, mask, self.size)
        return {"image": image, "mask": mask}


def loader(folder: pathlib.Path, size: tuple[int, int], workers: int) -> Iterator:
    """The batches of torch's DataLoader, for ever; workers live on between epochs."""
    import torch.utils.data

    data = torch.utils.data.DataLoader(
        Files(folder, size),
        batch_size=BATCH,
        shuffle=True,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    while True:
        yield from data


def measured(stream: Iterator, workers: int, seconds: float) -> dict[str, float]:
    """{rate in images a second, cost in ms of processor time an image} of batches.

    They are taken for so many `seconds` of processor time, whatever else runs. That
    time is asked for five times a second, as asking takes longer than a batch.
    """
    for _ in range(6 + 9 * workers):  # the workers start, and their queues are filled
        next(stream)
    count, cost = 0, 0.0
    began, before = time.monotonic(), processor_seconds(os.getpid())
    while cost < seconds:
        asked = time.monotonic()
        while time.monotonic() < asked + 0.2:
            count += len(next(stream)["image"])
        cost = processor_seconds(os.getpid()) - before
    took = time.monotonic() - began
    stream.close()
    return {"rate": count / took, "cost": 1e3 * cost / count}


def serve(side: str, folder: pathlib.Path, size: tuple[int, int]) -> None:
    """Answers each line "workers seconds" of stdin with the JSON of `measured`."""
    for line in sys.stdin:
        workers, seconds = int(line.split()[0]), float(line.split()[1])
        if side == "torch":
            stream = loader(folder, size, workers)
        else:
            stream = batches(folder, size, workers, 8.0 * (side == "cache"))
        print(json.dumps(measured(stream, workers, seconds)), flush=True)


def processor_seconds(process: int) -> float:
    """Processor time of a process and of those below it that live."""
    try:
        stat = pathlib.Path(f"/proc/{process}/stat").read_text().rpartition(")")[2]
        own = sum(map(int, stat.split()[11:13])) / _TICK
        tasks = pathlib.Path(f"/proc/{process}/task").glob("*/children")
        below = [int(child) for task in tasks for child in task.read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return own + sum(map(processor_seconds, below))


def start(side: str, folder: pathlib.Path, size: tuple[int, int]) -> subprocess.Popen:
    """`serve` in a process of its own."""
    words = [
        sys.executable,
        __file__,
        "--serve",
        side,
        str(folder),
        "x".join(map(str, size)),
    ]
    return subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def ask(process: subprocess.Popen, workers: int, seconds: float) -> dict[str, float]:
    """One measurement by a process of `start`."""
    process.stdin.write(f"{workers} {seconds}\n")
    process.stdin.flush()
    while line := process.stdout.readline():
        if line.startswith("{"):
            return json.loads(line)
    raise SystemExit("a side ended; its error stands above.")


def end(process: subprocess.Popen) -> None:
    """Waits until a process of `start`, which has no more to do, is gone."""
    process.communicate()


def table(
    home: pathlib.Path,
    sizes: list[str],
    workers: list[int],
    turns: int,
    seconds: float,
    sides: list[str],
) -> Iterator[str]:
    """The lines of the table, one for each size and number of workers."""
    yield (
        "| files -> model | workers | "
        + " | ".join(
            [f"{s}, images/s (ms an image)" for s in sides]
            + ["cache / png", "cache / torch", "processor time, png / cache"]
        )
        + " |"
    )
    yield "|---|--:|" + "--:|" * (len(sides) + 3)
    for name in sizes:
        side = int(name.partition("x")[0])
        folder, size = draw(home / name, side), SIZES[name]
        servers = {s: start(s, folder, size) for s in sides}
        for number in workers:
            rows = [
                {s: ask(servers[s], number, seconds) for s in sides}
                for _ in range(turns)
            ]
            cells = [
                f"{_median(r[s]['rate'] for r in rows):,.0f} "
                f"({_median(r[s]['cost'] for r in rows):.2f})"
                for s in sides
            ]
            for key, over, under in (
                ("rate", "cache", "png"),
                ("rate", "cache", "torch"),
                ("cost", "png", "cache"),
            ):
                both = over in sides and under in sides
                cells.append(
                    f"{_median(r[over][key] / r[under][key] for r in rows):.1f}"
                    if both
                    else "-"
                )
            to = f"{size[0]}x{size[1]}"
            yield f"| {name} -> {to} | {number} | " + " | ".join(cells) + " |"
        for server in servers.values():
            end(server)


def _median(numbers) -> float:
    return statistics.median(numbers)


def waits(home: pathlib.Path, gib: float, epochs: int = 3) -> list[float]:
    """The share of each epoch that a small U-Net at 256x256 waited for 2 workers."""
    from jaxseg.train import loop

    folder = draw(home / "256x256", 256)
    changes = {"data.workers": 2, "epochs": epochs, "steps_per_epoch": 12}
    changes |= {"eval.bootstrap": 20, "eval.surface": False}
    workdir = home / f"run-{gib:g}"
    loop.train_and_evaluate(config(folder, (256, 256), gib, **changes), workdir)
    with open(workdir / "history.csv", newline="") as file:
        return [float(row["data_wait_share"]) for row in csv.DictReader(file)]


def versions() -> str:
    """The date and the versions of what was measured."""
    names = ("numpy", "opencv-python-headless", "grain", "array-record", "torch")
    words = [datetime.date.today().isoformat()]
    for name in names:
        try:
            words.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(words)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default=",".join(SIZES))
    parser.add_argument("--workers", default="0,1,2,4,8")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0)  # of processor
    parser.add_argument("--wait", action="store_true")
    parser.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.serve or words.wait:
        from absl import flags

        flags.FLAGS.mark_as_parsed()  # the workers of grain read them
    if words.serve:
        side, folder, size = words.serve
        height, width = map(int, size.split("x"))
        serve(side, pathlib.Path(folder), (height, width))
        return
    with tempfile.TemporaryDirectory() as home:
        os.environ["JAXSEG_CACHE"] = str(pathlib.Path(home) / "cache")
        if words.wait:
            for gib in (0.0, 8.0):
                shares = ", ".join(f"{x:.2%}" for x in waits(pathlib.Path(home), gib))
                print(f"data wait with config.data.cache_gib={gib:g}: {shares}")
        else:
            torch = importlib.util.find_spec("torch") is not None
            lines = table(
                pathlib.Path(home),
                words.sizes.split(","),
                [int(n) for n in words.workers.split(",")],
                words.turns,
                words.seconds,
                [side for side in SIDES if side != "torch" or torch],
            )
            for line in lines:
                print(line, flush=True)
        print(
            f"\n{versions()}; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
        )


if __name__ == "__main__":
    main()
