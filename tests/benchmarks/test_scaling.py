"""The arithmetic of the table on paper, worked by hand for round numbers."""

import importlib.util
import pathlib

import pytest

PATH = pathlib.Path(__file__).with_name("scaling.py")


@pytest.fixture(scope="module")
def scaling():
    spec = importlib.util.spec_from_file_location("scaling_benchmark", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def work(scaling):
    """100 M parameters (400 MB), and a second of arithmetic a step."""
    operations = scaling.PEAK * scaling.SHARE / 3 / 4
    return scaling.Work("toy", 100_000_000, operations, 512, 4, 1e-3)


def test_one_host_sends_nothing_outside(scaling, work):
    moved = scaling.gradients(work, 8, 1e9, fsdp=False)
    assert moved["outside"] == 0
    assert moved["inside"] == pytest.approx(2 * 400e6 * 7 / 8)
    sharded = scaling.gradients(work, 8, 1e9, fsdp=True)
    assert sharded["inside"] == pytest.approx(3 * 400e6 * 7 / 8)


def test_each_device_carries_its_eighth_between_hosts(scaling, work):
    moved = scaling.gradients(work, 64, 1e9, fsdp=False)
    assert moved["outside"] == pytest.approx(2 * 50e6 * 7 / 8)
    assert moved["seconds"] == pytest.approx(0.7 / 450 + 0.0875)


def test_a_row_of_the_table(scaling, work):
    row = scaling.rows(work, 64)
    assert row["step"] == pytest.approx(1.0) and row["batch"] == 256
    assert row["input"] == pytest.approx(32 * 512 * 512 * 4)
    assert row["cores"] == pytest.approx(32e-3)
    assert row["state"] == 1.2e9 and row["save"] == pytest.approx(0.15)
    assert len(scaling.table([work])) == 2 + len(scaling.DEVICES)


def test_what_is_slower_than_the_arithmetic_is_named(scaling, work):
    assert scaling.breaks(work, 8) == "-"
    fast = work._replace(operations=work.operations / 1e3)
    assert "gradients over 100 Gbit/s a host" in scaling.breaks(fast, 64)
    assert "5 steps an epoch" in scaling.breaks(work, 512)


def test_the_halo_of_two_levels(scaling):
    # 8 pixels a side, widths 2 and 4, one convolution a level: inputs of 3 channels at
    # 8, 2 at 4 and 4 (joined) at 8 pixels, twice; outputs of 2, 4 and 2, once
    row = {8: 8 * 2, 4: 4 * 2}
    forward_and_weights = 2 * (3 + 4) * row[8] + 2 * 2 * row[4]
    gradient = (2 + 2) * row[8] + 4 * row[4]
    want = 2 * (forward_and_weights + gradient)
    assert scaling.halo((2, 4), 8, convs=1) == pytest.approx(want)
    # rows on each side: 1 and 2 down, 1 up, and 1 for the alignment of the pool
    assert scaling.reach(2, convs=1) == 5
