"""How much of a GPU the training uses, beside torch.compile in bfloat16.

    pip install -e '.[cuda,parity]'
    python tests/benchmarks/gpu.py              # below eight minutes on one GPU
    python tests/benchmarks/gpu.py --small      # proves on a CPU that it runs

The full recipe of pneumothorax (Swin-B UPerNet, 512x512) and a U-Net of 31 M parameters
at 256x256, both in bfloat16, on drawn films. The Markdown table has, for each, the
images a second of a step alone, of the input alone (from the cache of decoded images),
and of both as a run has them; the share of a step that augmentation costs; the share of
the measured peak of matrix products that the operations of the network reach (forward,
times three for a step); the most memory of the device; and the same network by
torch.compile, autocast and channels_last where torch is installed. The steps run under
a guard that makes any copy between host and device an error, so a step has none.
A trace of five steps is written to --out, and its ten longest operations are listed.
`together.py` measures members of a sweep at last. Every side is a process of its own.
"""

import argparse
import datetime
import json
import os
import pathlib
import subprocess
import sys
import time
from typing import Any

ROOT = pathlib.Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "benchmarks")]

CASES = ("swin_upernet", "unet")
# {case: (images a step, side of an image)}
LARGE = {"swin_upernet": (16, 512), "unet": (64, 256)}
SMALL = {"swin_upernet": (4, 64), "unet": (4, 64)}
FILMS = 64
LIMIT = 480.0  # seconds for all sides; one that does not begin in time is left out


def config(case: str, small: bool) -> Any:
    """The config of a run of this case on drawn films."""
    from jaxseg.config import recipe_file
    from jaxseg.run_directory import older_configs

    batch, side = (SMALL if small else LARGE)[case]
    c = recipe_file.load("pneumothorax:smoke" if small else "pneumothorax:full")
    c.data.update(dir="", workers=4, image_size=(side, side), raw=False)
    c.data.demo.update(images=FILMS, size=side)
    c.batch_size, c.loss.cross_entropy.class_weights = batch, "none"
    c.sampler.name = "uniform"
    c.model.name = case
    c.model.unet.dtype = "float32" if small else "bfloat16"
    if small:
        c.model.unet.widths = (4, 6, 8)
    return older_configs.complete(c)


def jaxseg_side(case: str, small: bool, seconds: float, out: pathlib.Path) -> dict:
    """What is measured of jaxseg: rates in images a second, shares, memory."""
    import jax

    from jaxseg import model_table
    from jaxseg.devices import prefetch
    from jaxseg.experiment import build, processes
    from jaxseg.train_step import state, step

    processes.start()
    c = config(case, small)
    experiment = build.load(c, batch_size=c.batch_size)
    view, split = experiment.scorer.view, experiment.splits["train"]
    for index in range(len(split)):  # fills the cache
        view(split, index)
    stream = build.train_batches(experiment, steps=10**6)
    stream = prefetch.ahead(stream, experiment.mesh, timeout=300, name=str)
    batch, _ = next(stream)
    now = state.create(c.seed, experiment.abstract, **experiment.init)
    began = time.perf_counter()
    program = experiment.train_step.lower(now, batch).compile()
    row = {
        "compile": time.perf_counter() - began,
        "parameters": state.count(now.params),
    }
    now, row["step"] = _steps(program, now, batch, seconds)
    folder = out / f"trace-{case}"
    with jax.profiler.trace(str(folder)):
        now, _ = _steps(program, now, batch, 0.0, least=5)
    row["longest"] = longest(folder)
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        jax.block_until_ready(next(stream)[0])
        count += 1
    row["input"] = count / (time.perf_counter() - began)
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        now, numbers = program(now, next(stream)[0])
        count += 1
    jax.block_until_ready(now)
    row["run"] = count / (time.perf_counter() - began)
    stream.close()
    memory = jax.local_devices()[0].memory_stats() or {}
    row["memory"] = memory.get("peak_bytes_in_use")
    plain = experiment.settings._replace(augment=_unchanged, augment_options={})
    plain = step.compile_step(plain, experiment.abstract).lower(now, batch).compile()
    _, row["plain"] = _steps(plain, now, batch, seconds)
    shape = (1, *batch["image"].shape[1:])
    row["gflops"] = 3 * model_table.measure(experiment.parts.model, shape)["gflops"]
    row["peak"] = peak(small)
    for key in ("step", "input", "run", "plain"):  # of batches until here
        row[key] *= c.batch_size
    device = jax.devices()[0]
    version = getattr(device.client, "platform_version", "").splitlines()
    row["words"] = f"{device.device_kind}, jax {jax.__version__}, {' '.join(version)}"
    return row


def _unchanged(image, mask, key, **options):
    return image, mask


def _steps(program, now, batch, seconds: float, least: int = 3):
    """(the state after steps for so many seconds, steps a second).

    A copy between host and device within the steps is an error.
    """
    import jax

    now, _ = program(now, batch)
    jax.block_until_ready(now)
    began = time.perf_counter()
    now, _ = program(now, batch)
    jax.block_until_ready(now)
    count = max(least, int(seconds / (time.perf_counter() - began)))
    began = time.perf_counter()
    with jax.transfer_guard("disallow"):
        for _ in range(count):
            now, _ = program(now, batch)
    jax.block_until_ready(now)
    return now, count / (time.perf_counter() - began)


def peak(small: bool) -> float:
    """The GFLOP/s of a product of square matrices, in bfloat16 where large."""
    import jax
    import jax.numpy as jnp

    size, dtype = (512, jnp.float32) if small else (8192, jnp.bfloat16)
    matrix = jnp.ones((size, size), dtype)
    product = jax.jit(lambda a, b: (a @ b) * 1e-4)
    best = 0.0
    for _ in range(5):
        began, out = time.perf_counter(), matrix
        for _ in range(10):
            out = product(out, matrix)
        jax.block_until_ready(out)
        best = max(best, 10 * 2 * size**3 / (time.perf_counter() - began) / 1e9)
    return best


def longest(folder: pathlib.Path, count: int = 10) -> list[tuple[str, float]]:
    """(name, share of the time) of the operations of a trace that took longest.

    Operations of the device where the trace has some, else of the threads that compute.
    """
    import collections
    import gzip
    import re

    (path,) = sorted(folder.rglob("*.trace.json.gz"))[-1:]
    events = json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]
    names = {
        e["pid"]: e["args"]["name"] for e in events if e.get("name") == "process_name"
    }
    on_device = {pid for pid, name in names.items() if "/device:" in name}
    totals: collections.Counter[str] = collections.Counter()
    for event in events:
        of_operation = "hlo_op" in (event.get("args") or {})
        if event.get("ph") == "X" and of_operation:
            if not on_device or event["pid"] in on_device:
                totals[re.sub(r"[.\d]+$", "", event["name"])] += event["dur"]
    whole = sum(totals.values()) or 1
    return [(name, time / whole) for name, time in totals.most_common(count)]


def torch_side(case: str, small: bool, seconds: float) -> dict | None:
    """{step in images a second, memory} of PyTorch; None where it is not there."""
    try:
        import torch
    except ImportError:
        return None
    import models
    import numpy as np

    batch, side = (SMALL if small else LARGE)[case]
    if not small and not torch.cuda.is_available():
        return None
    device = "cpu" if small else "cuda"
    models.FIELDS["swin_upernet"]["size"] = "tiny" if small else "base"
    network, loss = models.equal(case, 1)  # films are grey
    network = network.to(device).to(memory_format=torch.channels_last)
    count = models.count(network)
    network = network if small else torch.compile(network)
    rng = np.random.default_rng(0)
    x = torch.tensor(rng.integers(0, 256, (batch, 1, side, side), np.uint8)).to(device)
    x = x.to(memory_format=torch.channels_last)
    labels = torch.tensor(rng.integers(0, 2, (batch, side, side))).to(device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=not small)
    network.train()

    def wait():
        if not small:
            torch.cuda.synchronize()

    def steps(times: int) -> float:
        began = time.perf_counter()
        for _ in range(times):
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast(device, torch.bfloat16, enabled=not small):
                value = loss(network, x.float() / 255, labels)
            value.backward()
            optimizer.step()
        wait()
        return time.perf_counter() - began

    steps(3)
    times = max(3, int(seconds / (steps(2) / 2)))
    rate = times * batch / steps(times)
    memory = None if small else torch.cuda.max_memory_allocated()
    words = f"torch {torch.__version__}"
    return {"step": rate, "memory": memory, "parameters": count, "words": words}


def apart(side: str, case: str, args: argparse.Namespace, left: float) -> dict | None:
    """What a side measured in a process of its own; None where it was not in time."""
    words = [sys.executable, __file__, f"--one={side}:{case}", f"--out={args.out}"]
    words += [f"--seconds={args.seconds}"] + ["--small"] * args.small
    environment = {**os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    try:
        done = subprocess.run(
            words, stdout=subprocess.PIPE, text=True, env=environment, timeout=left
        )
    except subprocess.TimeoutExpired:
        return None
    if done.returncode:
        raise SystemExit(f"{side} of {case} ended with {done.returncode}.")
    return json.loads(done.stdout.splitlines()[-1])


def line(case: str, ours: dict, theirs: dict | None, small: bool) -> str:
    """The row of the table of one case."""
    batch, side = (SMALL if small else LARGE)[case]
    same = theirs and theirs["parameters"] == ours["parameters"]
    if theirs and not same and not small:
        raise SystemExit(f"{case}: other parameters in PyTorch: {theirs['parameters']}")
    share = ours["step"] * ours["gflops"] / ours["peak"]
    bound = "input" if ours["run"] < 0.95 * ours["step"] else "device"
    cells = [
        f"{case} ({ours['parameters'] / 1e6:.1f} M), {side}x{side}, batch {batch}",
        f"{ours['step']:.1f}",
        f"{ours['input']:.1f}",
        f"{ours['run']:.1f} ({bound})",
        f"{1 - ours['step'] / ours['plain']:.1%}",
        f"{share:.0%} of {ours['peak'] / 1e3:.3g} TFLOP/s",
        _gib(ours["memory"]),
        f"{theirs['step']:.1f}, {_gib(theirs['memory'])}" if theirs else "-",
        f"{ours['plain'] / theirs['step']:.2f}" if same else "-",
        f"{ours['compile']:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def _gib(amount: float | None) -> str:
    return "-" if amount is None else f"{amount / 2**30:.1f} GiB"


HEADS = (
    "model",
    "step, images/s",
    "input, images/s",
    "run, images/s (bound by)",
    "augmentation, share of a step",
    "operations, share of the peak",
    "memory",
    "torch: step, images/s, memory",
    "without augmentation / torch",
    "compiling, s",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--seconds", type=float, default=8.0, help="of one measurement")
    parser.add_argument(
        "--small", action="store_true", help="tiny, on whatever is here"
    )
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs/gpu"))
    parser.add_argument("--one", default="", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        from absl import flags

        flags.FLAGS.mark_as_parsed()  # the workers of grain read them
        side, case = args.one.split(":")
        if side == "jaxseg":
            row = jaxseg_side(case, args.small, args.seconds, args.out)
        else:
            row = torch_side(case, args.small, args.seconds)
        print(json.dumps(row))
        return
    began, lines, lists, words = time.monotonic(), [], [], []
    for case in args.cases.split(","):
        rows = {}
        for side in ("jaxseg", "torch"):
            left = LIMIT - (time.monotonic() - began)
            rows[side] = apart(side, case, args, left) if left > 30 else None
        if rows["jaxseg"] is None:
            lines.append(f"| {case} | not measured within {LIMIT:.0f} s |")
            continue
        lines.append(line(case, rows["jaxseg"], rows["torch"], args.small))
        words += [row["words"] for row in rows.values() if row]
        lists.append(f"\n{case}, the ten longest operations of five steps:")
        lists += [f"- {n}: {share:.1%}" for n, share in rows["jaxseg"]["longest"]]
    print(f"{datetime.date.today()}; {'; '.join(dict.fromkeys(words))}\n")
    print(f"| {' | '.join(HEADS)} |\n|---|{'--:|' * (len(HEADS) - 1)}")
    print("\n".join(lines + lists), flush=True)
    left = LIMIT - (time.monotonic() - began)
    if left > 60 and not args.small:
        together = str(ROOT / "tests" / "benchmarks" / "together.py")
        command = [sys.executable, together, "--members=9", "--naive=0", "--turns=3"]
        try:
            subprocess.run(command, check=True, timeout=left)
        except subprocess.TimeoutExpired:
            print("members together: not measured in the time that was left")


if __name__ == "__main__":
    main()
