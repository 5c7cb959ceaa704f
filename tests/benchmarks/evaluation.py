"""Average precision, ROC and an operating point of many pixels, beside scikit-learn.

    python tests/benchmarks/evaluation.py --images=200 --size=1024

Prints a Markdown table: seconds, processor seconds and memory of each side, and how far
the figures lie apart against the bound that jaxseg states. Both sides draw the same
images from the same seed, one after the other, within the measured time; a line says
what the drawing costs alone. Every side is a process of its own, and its memory is the
largest it ever was, less what it had when everything was imported. scikit-learn is
asked for average_precision_score, roc_auc_score and the threshold of the best F1 of
precision_recall_curve, on all pixels at once as float32: that is its interface.
"""

import argparse
import datetime
import json
import os
import pathlib
import resource
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).parents[2]
SEED = 4
SIDES = {  # name in the table: (function, threads)
    "drawing the images alone": ("drawing", 1),
    "jaxseg, 1 thread": ("jaxseg", 1),
    "jaxseg, 2 threads": ("jaxseg", 2),
    "jaxseg, all of eval/<split>.json, 2 threads": ("report", 2),
    "scikit-learn": ("scikit_learn", 1),
}


def draw(index: int, size: int):
    """(image u8 [s,s,1], mask u8 [s,s], probability f32 [s,s]) of one image.

    A third have a lesion, found with a shifted and softened outline; clutter makes
    false alarms, and every pixel has noise of its own, so that few scores are tied.
    """
    import cv2
    import numpy as np

    rng = np.random.default_rng([SEED, index])
    coarse = rng.standard_normal((16, 16), np.float32)
    clutter = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
    logit = rng.standard_normal((size, size), np.float32)
    logit *= 0.5
    logit += 2 * clutter - 7
    mask = np.zeros((size, size), np.uint8)
    if index % 3 == 0:
        at, axes = rng.uniform(0.2, 0.8, 2), rng.uniform(0.02, 0.12, 2)
        guess, soft = np.zeros((size, size), np.float32), size // 64 | 1
        for canvas, shift, value in ((mask, 0, 1), (guess, 0.02, 9)):
            centre = tuple(int(size * (a + rng.normal() * shift)) for a in at)
            radii = tuple(max(1, int(size * a)) for a in axes)
            cv2.ellipse(canvas, centre, radii, 30, 0, 360, value, -1)
        logit += cv2.GaussianBlur(guess, (soft, soft), 0)
    image = np.clip(128 + 40 * clutter + 30 * mask, 0, 255).astype(np.uint8)
    np.exp(np.negative(logit, out=logit), out=logit)
    return image[..., None], mask, np.reciprocal(logit + 1)


class Split:
    """Images that exist from their prediction until they are counted."""

    name, hash = "test", "drawn"
    classes = ("background", "lesion")

    def __init__(self, images: int, size: int):
        self.ids = [f"{i:04d}" for i in range(images)]
        self.groups, self.size, self._open = self.ids, size, {}

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, i):
        return self._open.pop(i)

    def predictions(self):
        import numpy as np

        for i in range(len(self)):
            image, mask, p = draw(i, self.size)
            self._open[i] = {"image": image, "mask": mask}
            yield i, np.stack([1 - p, p], axis=-1)


def drawing(split, threads):
    for i, _ in split.predictions():
        split[i]
    return {}


def jaxseg(split, threads, whole=False):
    from jaxseg.evaluation import baselines, count, operating_point, result, temperature
    from jaxseg.metrics import curves

    tally = count.count_split(
        split.predictions(), split, to_native=lambda p, size: p, threads=threads
    )
    validation = Split(0, split.size)
    validation.name, validation.hash = "validation", "other"
    point = operating_point.choose(tally, validation)
    curve = curves.pixel_curve(tally.pooled, tally.only_value)
    if whole:
        base = baselines.choose(tally, validation)
        rows = baselines.rows(tally, base, split)
        decided = operating_point.apply(tally, point, split)
        scaling = temperature.fit(tally, validation)
        result.assemble(decided, rows, split, step=1, scaling=scaling)
    return curve | {"point": point}


def report(split, threads):
    return jaxseg(split, threads, whole=True)


def scikit_learn(split, threads):
    import numpy as np
    from sklearn import metrics

    n = split.size**2
    truth, p = np.empty(len(split) * n, bool), np.empty(len(split) * n, np.float32)
    for i, probability in split.predictions():
        part = slice(i * n, (i + 1) * n)
        truth[part], p[part] = split[i]["mask"].ravel(), probability[..., 1].ravel()
    found, seconds, start = {}, {}, time.perf_counter()

    def lap(name):
        nonlocal start
        seconds[name], start = time.perf_counter() - start, time.perf_counter()

    found["average_precision"] = float(metrics.average_precision_score(truth, p))
    lap("average_precision_score")
    found["roc_auc"] = float(metrics.roc_auc_score(truth, p))
    lap("roc_auc_score")
    precision, recall, thresholds = metrics.precision_recall_curve(truth, p)
    total = np.maximum(precision + recall, 1e-30)
    precision *= recall / total  # it becomes half of F1
    at = int(np.argmax(precision[:-1]))
    lap("precision_recall_curve")
    found |= {"best_f1": 2 * float(precision[at]), "threshold": float(thresholds[at])}
    return found | {"seconds_by_call": seconds, "distinct": len(thresholds)}


def measured(kind: str, images: int, size: int, threads: int) -> dict:
    """What one side finds, with its seconds and its memory, in this process."""
    sys.path.insert(0, str(ROOT))
    import cv2

    cv2.setNumThreads(1)
    if kind == "scikit_learn":
        import sklearn.metrics  # noqa: F401
    else:
        import jaxseg.evaluation.result  # noqa: F401
    before = _memory("VmRSS")
    wall, cpu = time.perf_counter(), time.process_time()
    found = globals()[kind](Split(images, size), threads)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = _memory("VmHWM") - before
    return found | {"seconds": wall, "cpu_seconds": cpu, "bytes": peak}


def _memory(field: str) -> int:
    """Bytes; the peak of getrusage where there is no /proc.

    On Linux the peak of getrusage is that of the parent if that was larger.
    """
    status = pathlib.Path("/proc/self/status")
    if not status.exists():
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    line = next(x for x in status.read_text().splitlines() if x.startswith(field))
    return int(line.split()[1]) * 1024


def apart(images: int, size: int, kind: str, threads: int) -> dict:
    """`measured` in a process of its own."""
    call = [sys.executable, __file__, f"--images={images}", f"--size={size}"]
    call += [f"--only={kind}", f"--threads={threads}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(call, stdout=subprocess.PIPE, check=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def table(images: int, size: int) -> list[str]:
    """The lines of the report."""
    found = {n: apart(images, size, *side) for n, side in SIDES.items()}
    theirs, ours = found["scikit-learn"], found["jaxseg, 1 thread"]
    n = images * size**2
    lines = [
        f"{images} images of {size}x{size}: {n:,} pixels, {ours['support_positives']:,}"
        f" of foreground, {theirs['distinct']:,} distinct scores; one float32 array of"
        f" them is {4 * n / 1e6:,.0f} MB; {datetime.date.today()}",
        "",
        "| | seconds | processor seconds | memory, MB | scikit-learn's time / this |",
        "|---|--:|--:|--:|--:|",
    ]
    for name, row in found.items():
        words = [f"{row[key]:.2f}" for key in ("seconds", "cpu_seconds")]
        words += [
            f"{row['bytes'] / 1e6:,.0f}",
            f"{theirs['seconds'] / row['seconds']:.1f}",
        ]
        lines.append(f"| {' | '.join([name, *words])} |")
    calls = theirs["seconds_by_call"].items()
    lines += [
        "",
        "scikit-learn by call: " + ", ".join(f"{k} {v:.1f} s" for k, v in calls),
    ]
    lines += [
        "",
        "| | jaxseg | scikit-learn | apart | stated bound |",
        "|---|--:|--:|--:|--:|",
    ]
    for name in ("average_precision", "roc_auc", "best_f1"):
        error, bound = abs(ours[name] - theirs[name]), ours[f"{name}_error_bound"]
        if error > bound:
            raise SystemExit(f"{name}: {error} apart, more than the bound {bound}.")
        cells = f"{ours[name]:.7f} | {theirs[name]:.7f} | {error:.1e} | {bound:.1e}"
        lines.append(f"| {name} | {cells} |")
    point = ours["point"]
    return [
        *lines,
        "",
        f"Threshold of the best F1: {ours['best_f1_threshold']:.6f} and"
        f" {theirs['threshold']:.6f}; operating point (Dice {point['value']:.6f}): p >"
        f" {point['threshold']}, at least {point['min_area']} of an image.",
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--only", choices=[kind for kind, _ in SIDES.values()])
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    if args.only:
        row = measured(args.only, args.images, args.size, args.threads)
        print(json.dumps(row))
    else:
        print("\n".join(table(args.images, args.size)))


if __name__ == "__main__":
    main()
