"""The benchmark of a GPU runs where there is none; no clock is judged."""

import gzip
import importlib.util
import json
import pathlib

import pytest

PATH = pathlib.Path(__file__).parent / "gpu.py"


@pytest.fixture(scope="module")
def gpu():
    spec = importlib.util.spec_from_file_location("gpu_benchmark", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_side_measures_steps_input_memory_and_a_trace(gpu, tmp_path, monkeypatch):
    monkeypatch.setattr(gpu, "FILMS", 40)
    row = gpu.jaxseg_side("unet", True, 0.01, tmp_path)
    for key in ("step", "plain", "input", "run", "peak", "gflops", "compile"):
        assert row[key] > 0, key
    names, shares = zip(*row["longest"], strict=True)
    assert "convolution" in names and 0 < sum(shares) <= 1 + 1e-9
    cells = gpu.line("unet", row, None, small=True).split("|")
    assert len(cells) == len(gpu.HEADS) + 2 and json.loads(json.dumps(row))


def test_a_step_that_copies_from_the_host_is_an_error(gpu):
    import numpy as np

    def program(now, batch):
        return now + np.float32(1), {}

    with pytest.raises(Exception, match="[Dd]isallowed host-to-device transfer"):
        import jax.numpy as jnp

        gpu._steps(program, jnp.zeros(()), None, 0.0)


def test_only_operations_of_the_device_count_where_it_has_some(gpu, tmp_path):
    def event(pid, name, duration, op=True):
        args = {"hlo_op": name} if op else {}
        return {"ph": "X", "pid": pid, "name": name, "dur": duration, "args": args}

    def process(pid, name):
        return {"name": "process_name", "pid": pid, "args": {"name": name}}

    events = [event(1, "copy.3", 9), event(2, "fusion.1", 6), event(2, "fusion.22", 2)]
    events += [event(2, "dot.1", 2), event(2, "idle", 50, op=False)]
    both = [process(1, "/host:CPU"), process(2, "/device:GPU:0"), *events]
    path = tmp_path / "a" / "b.trace.json.gz"
    path.parent.mkdir()
    path.write_bytes(gzip.compress(json.dumps({"traceEvents": both}).encode()))
    assert gpu.longest(tmp_path) == [("fusion", 0.8), ("dot", 0.2)]
    path.write_bytes(gzip.compress(json.dumps({"traceEvents": events}).encode()))
    assert gpu.longest(tmp_path, 1) == [("copy", 9 / 19)]


def test_the_recipes_are_those_that_a_user_has(gpu):
    swin, unet = (gpu.config(case, False) for case in gpu.CASES)
    assert swin.model.swin_upernet.dtype == unet.model.unet.dtype == "bfloat16"
    assert swin.model.swin_upernet.size == "base" and swin.data.image_size == (512, 512)
    assert unet.model.unet.widths[-1] == 1024 and swin.augment.elastic_pixels > 0
