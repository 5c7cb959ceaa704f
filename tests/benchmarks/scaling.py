"""Computes on paper how training scales: python tests/benchmarks/scaling.py

Nothing is trained. Parameters and operations are counted on the real models; speeds of
links, disks and devices are the assumptions below. For 8, 64 and 512 devices the tables
say how many bytes a step moves, what the input and the checkpoints need, and which of
these is slower than the arithmetic. `--halo` prints what a split of one large image
over devices would exchange. README.md says what follows.
"""

import argparse
import pathlib
import sys
from collections.abc import Sequence
from typing import NamedTuple

sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

GIGA = 1e9
DEVICES = (8, 64, 512)
WHOLE_HOST = 8  # devices a host
PEAK = 790e12  # operations a second of one device in bfloat16, measured on an H200
SHARE = 0.4  # of the peak that training reaches
INSIDE = (
    450 * GIGA
)  # bytes a second and direction of a device within its host, NVLink 4
OUTSIDE = {  # bytes a second and direction of a device to other hosts
    "400 Gbit/s a device": 50 * GIGA,
    "100 Gbit/s a host": 12.5 * GIGA / WHOLE_HOST,
}
DISK = 1 * GIGA  # bytes a second that one host reads and writes on the shared disk
BUCKET = 0.5 * GIGA  # bytes a second that one process sends to a bucket
CORES = 96  # of a host
IMAGES = 10_675  # of SIIM-ACR to train on
STATE = 3  # parameters, and two averages of AdamW, all float32


class Work(NamedTuple):
    """What one model costs."""

    name: str
    parameters: int
    operations: float  # of a forward pass of one image
    side: int  # pixels
    batch: int  # images a step on each device
    decoding: float  # seconds of one core for one stored image and mask


def gradients(work: Work, devices: int, outside: float, *, fsdp: bool) -> dict:
    """{bytes, inside, outside, seconds} that one device moves in a step.

    A ring within the host and one between hosts, in which each device carries its
    eighth (Patarasuk and Yuan, 2009, https://doi.org/10.1016/j.jpdc.2008.09.002).
    Data-parallel, gradients are summed: twice the parameters pass. With mesh.fsdp=8
    parameters are gathered in the host, forward and backward, and gradients scattered:
    three times (Rajbhandari et al., 2020, https://arxiv.org/abs/1910.02054); between
    hosts it is the same.
    """
    times, size = (3 if fsdp else 2), 4 * work.parameters
    hosts, local = max(1, devices // WHOLE_HOST), min(devices, WHOLE_HOST)
    near = times * size * (local - 1) / local
    far = 2 * size / local * (hosts - 1) / hosts
    seconds = near / INSIDE + far / outside
    return {"inside": near, "outside": far, "bytes": near + far, "seconds": seconds}


def arithmetic(work: Work) -> float:
    """Seconds of a step on one device: a backward pass costs two forward passes."""
    return 3 * work.operations * work.batch / (PEAK * SHARE)


def rows(work: Work, devices: int) -> dict[str, float]:
    """Everything that one line of the table says."""
    step = arithmetic(work)
    hosts = max(1, devices // WHOLE_HOST)
    images = work.batch * min(devices, WHOLE_HOST) / step  # a second, of one host
    state = STATE * 4 * work.parameters
    batch = work.batch * devices
    return {
        "batch": batch,
        "step": step,
        "steps": IMAGES / batch,
        "input": images * work.side**2 * 4,  # three channels and a mask, 8 bits each
        "cores": images * work.decoding,
        "state": state,
        "save": state / hosts / DISK,  # every host writes its share
        "send": state / BUCKET,  # process 0 alone
        "epoch": IMAGES / batch * step,
    }


def breaks(work: Work, devices: int) -> str:
    """What is slower than the arithmetic, in words; "-" for nothing."""
    row, words = rows(work, devices), []
    for name, speed in OUTSIDE.items():
        if gradients(work, devices, speed, fsdp=False)["seconds"] > row["step"]:
            words.append(f"gradients over {name}")
    if row["cores"] > CORES:
        words.append("decoding")
    if row["send"] > row["epoch"]:
        words.append("a bucket after every epoch")
    if row["steps"] < 20:
        words.append(f"{row['steps']:.1g} steps an epoch")
    return "; ".join(words) or "-"


def table(works: Sequence[Work]) -> list[str]:
    """The lines of the table in Markdown."""
    fast, slow = OUTSIDE.values()
    lines = [
        "| model | devices | batch | arithmetic, ms | moved a device, MB (FSDP) "
        "| ms at 400 Gbit/s a device (FSDP) | ms at 100 Gbit/s a host (FSDP) "
        "| input a host, MB/s | cores a host | state, MB | saved, s | sent, s "
        "| an epoch, s | slower than the arithmetic |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|",
    ]
    for work in works:
        for devices in DEVICES:
            row = rows(work, devices)
            cells = [work.name, devices, row["batch"], f"{1e3 * row['step']:.1f}"]
            both = [gradients(work, devices, fast, fsdp=x) for x in (False, True)]
            cells.append("{:,.0f} ({:,.0f})".format(*(x["bytes"] / 1e6 for x in both)))
            for speed in (fast, slow):
                both = [gradients(work, devices, speed, fsdp=x) for x in (False, True)]
                cells.append(
                    "{:.1f} ({:.1f})".format(*(1e3 * x["seconds"] for x in both))
                )
            cells += [f"{row['input'] / 1e6:,.0f}", f"{row['cores']:.0f}"]
            cells += [f"{row['state'] / 1e6:,.0f}", f"{row['save']:.2f}"]
            cells += [f"{row['send']:.1f}", f"{row['epoch']:.1f}"]
            cells.append(breaks(work, devices))
            lines.append(f"| {' | '.join(map(str, cells))} |")
    return lines


def halo(widths: Sequence[int], side: int, *, convs: int = 2) -> float:
    """Bytes that a device in the middle exchanges in a step of a U-Net on one image.

    The image, of `side` x `side`, is cut into stripes of rows. A 3x3 convolution needs
    a row of its input above and below; what is received equals what is sent, and is
    counted once. In the backward pass the gradient needs the same two rows, and the
    input comes once more for the gradient of the weights. bfloat16.
    """
    total = 0.0
    for level, width in enumerate(widths):
        row = side / 2**level * 2  # bytes of one channel
        before = widths[level - 1] if level else 3
        inputs = [before, *[width] * (convs - 1)]
        if level < len(widths) - 1:  # the decoder: joined maps first
            inputs += [2 * width, *[width] * (convs - 1)]
        total += 2 * row * (2 * sum(inputs) + width * len(inputs))
    return total


def reach(levels: int, *, convs: int = 2) -> int:
    """Rows on each side that one pixel of a U-Net's output depends on, at most."""
    down = sum(convs * 2**level for level in range(levels))
    up = sum(convs * 2**level for level in range(levels - 1))
    return down + up + 2 ** (levels - 1) - 1  # pooling aligns to whole blocks


def halo_table(operations: float, widths: Sequence[int], counted: int) -> list[str]:
    """Lines for images of 4096 and 16384 pixels a side, over 2 to 32 devices.

    `operations` are those of a forward pass of an image of `counted` pixels a side.
    """
    lines = [
        "| image | devices | rows a device | arithmetic, ms | halo, MB | ms in a host "
        "| ms at 400 Gbit/s | overlapping stripes instead: more arithmetic |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for side in (4096, 16384):
        work = 3 * operations * (side / counted) ** 2 / (PEAK * SHARE)
        size = halo(widths, side)
        for devices in (2, 8, 32):
            rows = side // devices
            extra = 2 * reach(len(widths)) / rows
            near, far = (size / s for s in (INSIDE, OUTSIDE["400 Gbit/s a device"]))
            lines.append(
                f"| {side}x{side} | {devices} | {rows} | {1e3 * work / devices:.0f} "
                f"| {size / 1e6:.0f} | {1e3 * near:.2f} | {1e3 * far:.1f} "
                f"| {extra:.0%} |"
            )
    return lines


def counted() -> list[Work]:
    """The two models, counted as `python -m jaxseg.model_table` does."""
    from jaxseg import model_table
    from jaxseg.models import swin_upernet, unet

    swin = swin_upernet.Model(num_classes=2, size="base")
    plain = unet.Model(num_classes=2)
    out = []
    for name, model, side, batch, decoding in (
        ("Swin-B UPerNet, 512", swin, 512, 8, 2.4e-3),
        ("U-Net, 256", plain, 256, 32, 0.65e-3),
    ):
        cost = model_table.measure(model, (1, side, side, 3))
        operations = 1e9 * cost["gflops"]
        out.append(Work(name, cost["parameters"], operations, side, batch, decoding))
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--halo", action="store_true", help="one image over devices")
    options = parser.parse_args()
    works = counted()
    for work in works:
        print(
            f"{work.name}: {work.parameters:,} parameters, "
            f"{work.operations / 1e9:.1f} GFLOP forward"
        )
    print("\n".join(table(works)))
    if options.halo:
        from jaxseg.models import unet

        widths = unet.Model.widths
        print("\n".join(halo_table(works[1].operations, widths, works[1].side)))


if __name__ == "__main__":
    main()
