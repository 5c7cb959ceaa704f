"""Prediction of one large image, beside MONAI's sliding window.

    pip install -e .[parity]
    python tests/benchmarks/predict.py --size=3840x2160
    python tests/benchmarks/predict.py --size=20000x20000 --sides=command

Prints a Markdown table: pixels a second, processor seconds a megapixel and peak memory.
A U-Net is trained for two steps (what it says does not matter), and predicts an image
of that height and width by tiles of 256 that overlap by half, with Gaussian weights:
"command" from a TIFF file to files, as `python -m jaxseg.predict` does, "array" from
an array to an array. "monai" is `sliding_window_inference` with the same tiles, their
overlap, weights and block on a BasicUNet of the same five levels and channels, in f32;
it is left out where MONAI is not installed. Every side is a process of its own, which
predicts a small image first; sides take turns, and the table has the median of
`--turns`. Memory is the largest the process ever was, less what it had before the
measured image.
"""

import argparse
import datetime
import importlib.util
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
TILE, BLOCK, SMALL = 256, 4, (300, 300)
SIDES = ("command", "array", "monai")


def draw(path: pathlib.Path, size: tuple[int, int]) -> pathlib.Path:
    """A TIFF u8 in compressed tiles; memory stays small, as one tile is repeated."""
    import cv2
    import numpy as np
    import tifffile

    rng = np.random.default_rng(0)
    noise = cv2.GaussianBlur(rng.normal(size=(512, 512)), (0, 0), 3)
    tile = cv2.normalize(noise, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    count = -(-size[0] // 512) * -(-size[1] // 512)
    tiles = (np.roll(tile, 7 * k, k % 2) for k in range(count))
    form = {"shape": size, "dtype": np.uint8, "tile": (512, 512)}
    tifffile.imwrite(
        path, tiles, compression="zlib", photometric="minisblack", metadata=None, **form
    )
    return path


def train(home: pathlib.Path, widths: tuple[int, ...]) -> None:
    """A run in `home` of two steps; its data are drawn."""
    import cv2
    import numpy as np
    from support import runs

    from jaxseg.train import loop

    rng = np.random.default_rng(0)
    for k in range(12):
        for name in ("images", "masks"):
            (home / "data" / name).mkdir(parents=True, exist_ok=True)
        mask = np.zeros((TILE, TILE + 8 * (k % 2)), np.uint8)
        cv2.circle(mask, (100, 100 + k), 50, 255, -1)
        image = np.clip(mask * 0.3 + rng.normal(90, 20, mask.shape), 0, 255)
        cv2.imwrite(str(home / f"data/images/{k}.png"), image.astype(np.uint8))
        cv2.imwrite(str(home / f"data/masks/{k}.png"), mask)
    changes = {
        "data.dir": str(home / "data"),
        "data.image_size": (TILE, TILE),
        "data.fit": "crop",
        "model.name": "unet",
        "model.unet.widths": widths,
        "batch_size": 4,
        "epochs": 1,
        "eval.per_device_batch": BLOCK,
        "eval.surface": False,
        "eval.bootstrap": 20,
    }
    loop.train_and_evaluate(runs.config("folder", **changes), home / "run")


def command(home: pathlib.Path, turn: int):
    """What `python -m jaxseg.predict` does with one file, and its parameters."""
    from jaxseg.predict import folder

    def predict(name: str) -> None:
        where = home / f"out-{os.getpid()}-{turn}-{name}"
        source = home / f"{name}.tif"
        ask = folder.Request((home / "run",), source, where, overlays=False)
        outcome = folder.predict(ask)
        assert not outcome.problems, outcome.problems

    return predict, None


def array(home: pathlib.Path, turn: int):
    """`run.predict` of an array, and the parameters of the run."""
    import tifffile

    import jaxseg

    run = jaxseg.load(home / "run")

    def predict(name: str) -> None:
        run.predict(tifffile.imread(home / f"{name}.tif"))

    return predict, int(run.record["params"])


def monai(home: pathlib.Path, turn: int):
    """MONAI's sliding window over an array, and the parameters of its network."""
    import tifffile
    import torch
    from monai.inferers import sliding_window_inference
    from monai.networks.nets import BasicUNet

    widths = json.loads((home / "run/config.json").read_text())["model"]["unet"]
    widths = tuple(widths["widths"])
    network = BasicUNet(2, 1, 2, (*widths, widths[0]), norm="batch").eval()

    def predict(name: str) -> None:
        image = torch.from_numpy(tifffile.imread(home / f"{name}.tif"))[None, None]
        with torch.inference_mode():
            answer = sliding_window_inference(
                image.float() / 255,
                (TILE, TILE),
                BLOCK,
                lambda tiles: network(tiles).softmax(1),
                overlap=0.5,
                mode="gaussian",
            )
            answer.argmax(1).numpy()

    return predict, sum(p.numel() for p in network.parameters())


def measured(side: str, home: pathlib.Path, turn: int) -> dict:
    """Seconds and memory of one side, in this process."""
    if side != "monai":
        from jaxseg.experiment import processes

        processes.start()
    predict, parameters = globals()[side](home, turn)
    predict("small")
    before = _memory("VmRSS")
    wall, cpu = time.perf_counter(), time.process_time()
    predict("large")
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = _memory("VmHWM") - before
    return {"seconds": wall, "cpu": cpu, "bytes": peak, "parameters": parameters}


def _memory(field: str) -> int:
    """Bytes; the peak of getrusage where there is no /proc."""
    status = pathlib.Path("/proc/self/status")
    if not status.exists():
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    line = next(x for x in status.read_text().splitlines() if x.startswith(field))
    return int(line.split()[1]) * 1024


def apart(*words: str) -> str:
    """The last line that a process of this script with these words prints."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    done = subprocess.run(
        [sys.executable, __file__, *words],
        stdout=subprocess.PIPE,
        check=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    return (done.stdout.decode().splitlines() or [""])[-1]


def table(size: tuple[int, int], widths: str, sides: list[str], turns: int) -> str:
    """The report: sides take turns on the same image."""
    with tempfile.TemporaryDirectory() as folder:
        home = pathlib.Path(folder)
        draw(home / "large.tif", size)
        draw(home / "small.tif", SMALL)
        apart(f"--train={home}", f"--widths={widths}")
        found: dict[str, list[dict]] = {side: [] for side in sides}
        for turn in range(turns):
            for side in sides:
                line = apart(f"--only={side}", f"--home={home}", f"--turn={turn}")
                found[side].append(json.loads(line))
    pixels = size[0] * size[1]
    lines = [
        f"{size[0]}x{size[1]} pixels, tiles of {TILE}, overlap 0.5, blocks of {BLOCK}, "
        f"widths {widths}; {turns} turns, load {os.getloadavg()[0]:.1f}, "
        f"{datetime.date.today()}",
        "",
        "| | parameters | seconds | pixels a second | processor s a megapixel | MB |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for side, rows in found.items():
        middle = {
            key: statistics.median(row[key] for row in rows)
            for key in ("seconds", "cpu", "bytes")
        }
        count = rows[0]["parameters"]
        cells = [
            side,
            f"{count:,}" if count else "",
            f"{middle['seconds']:.1f}",
            f"{pixels / middle['seconds']:,.0f}",
            f"{middle['cpu'] / pixels * 1e6:.2f}",
            f"{middle['bytes'] / 1e6:,.0f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    for side in found.keys() & {"command", "array"}:
        if "monai" in found:
            pairs = zip(found["monai"], found[side], strict=True)
            ratios = sorted(m["seconds"] / j["seconds"] for m, j in pairs)
            lines.append(
                f"\nMONAI's time / that of {side}: {statistics.median(ratios):.2f} "
                f"({ratios[0]:.2f} to {ratios[-1]:.2f})"
            )
    return "\n".join(lines)


def _numbers(text: str, apart_by: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(apart_by))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="3840x2160", help="height x width")
    parser.add_argument("--widths", default="16,32,64,128,256", help="five")
    parser.add_argument("--sides", default=",".join(SIDES))
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--only", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--home", type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("--turn", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--train", type=pathlib.Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.train:
        train(args.train, _numbers(args.widths, ","))
    elif args.only:
        print(json.dumps(measured(args.only, args.home, args.turn)))
    else:
        sides = args.sides.split(",")
        if importlib.util.find_spec("monai") is None:
            sides = [side for side in sides if side != "monai"]
        size = _numbers(args.size, "x")
        print(table(size, args.widths, sides, args.turns))


if __name__ == "__main__":
    main()
