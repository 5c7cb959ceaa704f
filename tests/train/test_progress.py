"""The progress line says what is true, where it can be seen, and harms nothing."""

import io
import logging as python_logging
import re

from absl import logging

from jaxseg.train import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def _run(stream, *, total=100, seconds_per_step=1.0, first=10.0, **kwargs):
    """A run of `total` steps of 4 images; the first step also compiles."""
    clock = Clock()
    line = progress.Progress(total, 4, stream=stream, clock=clock, **kwargs)
    for step in range(1, total + 1):
        clock.now += first if step == 1 else seconds_per_step
        line.update(step, loss=0.5, data_wait=0.25)
    line.close()
    return stream.getvalue()


def test_plain_lines_come_by_time_and_leave_out_the_compile():
    lines = _run(io.StringIO(), seconds=30.0).splitlines()
    assert lines[0] == (
        "step 31/100 (31%)  loss 0.5  4 images/s  data wait 25%  ETA 1m09s"
    )
    assert [line.split()[1] for line in lines] == [
        "31/100",
        "61/100",
        "91/100",
        "100/100",
    ]
    assert "ETA" not in lines[-1]


def test_plain_lines_come_by_steps():
    lines = _run(io.StringIO(), seconds=1e9, steps=40).splitlines()
    assert [line.split()[1] for line in lines] == ["41/100", "81/100", "100/100"]


def test_a_terminal_gets_one_line_redrawn_at_most_five_times_a_second():
    text = _run(Terminal(), seconds_per_step=0.01)
    drawn = [line for line in text.split("\r\x1b[2K") if "step" in line]
    assert text.count("\n") == 1
    assert 4 <= len(drawn) <= 7, drawn  # 0.99 s in all
    assert "step 100/100 (100%)  loss 0.5  400" in drawn[-1]
    plain = re.sub(r"\x1b\[[^a-zA-Z]*[a-zA-Z]", "", drawn[-1]).rstrip("\n")
    assert "━" * 20 in plain and len(plain) <= 80  # it does not wrap


def test_the_loss_is_read_only_when_a_line_is_drawn():
    class Loss:
        read = 0

        def __float__(self):
            Loss.read += 1
            return 0.5

    line = progress.Progress(1000, 1, stream=io.StringIO(), seconds=1e9)
    for step in range(1, 1001):
        line.update(step, loss=Loss())
    assert Loss.read == 1


def test_a_log_line_starts_on_an_empty_line():
    stream, clock = Terminal(), Clock()
    line = progress.Progress(10, 1, stream=stream, clock=clock)
    record = python_logging.LogRecord("absl", 20, __file__, 1, "text", (), None)
    assert logging.get_absl_logger().filter(record)
    assert stream.getvalue() == "\r\x1b[K"
    line.close()
    logging.get_absl_logger().filter(record)
    assert stream.getvalue() == "\r\x1b[K"  # nothing was drawn, so nothing is closed


def test_a_closed_stream_or_another_process_draws_nothing():
    stream = io.StringIO()
    line = progress.Progress(2, 1, stream=stream, enabled=False)
    line.update(2)
    line.close()
    assert stream.getvalue() == ""
    for broken in (io.StringIO(), Terminal()):
        line = progress.Progress(2, 1, stream=broken)
        broken.close()
        line.update(1)
        line.update(2)
        line.close()


def test_words():
    text = progress.describe(
        steps_per_epoch=100, total_steps=2050, warmup_steps=150, images_seen=64000
    )
    assert text == (
        "100 steps per epoch, 2,050 steps in all (20.5 epochs, 150 steps of warm-up), "
        "64,000 images seen at the end"
    )
    once = progress.describe(
        steps_per_epoch=7, total_steps=7, warmup_steps=7, images_seen=28
    )
    assert "(1 epoch, 7 steps of warm-up)" in once
    seconds = {45: "45s", 725: "12m05s", 11220: "3h07m", 187200: "2d04h", 59.7: "1m00s"}
    assert {s: progress.duration(s) for s in seconds} == seconds
