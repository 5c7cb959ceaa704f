"""The weights of a run, out and in again without a bit of difference."""

import functools
import json
import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors
from support import records, runs, tiny

from jaxseg import lookup
from jaxseg.errors import ConfigError
from jaxseg.experiment import finished_run
from jaxseg.run_directory import checkpoint, files
from jaxseg.train_step import state
from jaxseg.weights import into_model, published_names, save

GOLDEN = pathlib.Path(__file__).parents[1] / "support" / "golden"


def noise(model, channels=3):
    """Variables of a model, all random, without compiling its init."""
    init = functools.partial(model.init, train=False)
    shapes = jax.eval_shape(
        init, jax.random.key(0), jnp.zeros((1, 64, 64, channels), jnp.float32)
    )
    rng = np.random.default_rng(0)
    return jax.tree.map(
        lambda s: rng.standard_normal(s.shape).astype(np.float32), shapes
    )


def back(named, variables, model):
    zeros = jax.tree.map(np.zeros_like, variables)
    return into_model.apply(zeros, named, model_name=model, source="the export")


@pytest.mark.parametrize("name", lookup.names("models"))
def test_every_model_goes_out_and_comes_back_bit_for_bit(name):
    module = lookup.find("models", name)
    variables = noise(module.Model(2, **module.TINY))
    got, report = back(
        into_model.collect(variables, published_names.own()), variables, name
    )
    assert tiny.leaves_equal(got, variables)
    assert {row.kind for row in report.rows} == {"loaded"}

    names = published_names.published(name)
    named = into_model.collect(variables, names)
    got, report = back(named, variables, name)
    for row, a, b in zip(
        report.rows, jax.tree.leaves(got), jax.tree.leaves(variables), strict=False
    ):
        inside = name == "swin_upernet" or "/encoder/" in row.name or not names.torch
        assert row.kind == ("loaded" if inside else "re-initialised"), row
        assert not inside or np.array_equal(a, b), row.name
    unused = {row.why for row in report.rows if row.kind == "unused"}
    assert unused <= {"a counter that we do not keep"}


@pytest.mark.parametrize(
    "file, prefix, model",
    [
        ("odd", "hf/", "swin_upernet"),
        ("resnet_bottleneck", "checkpoint/", "resnet_unet"),
        ("efficientnet_lite", "checkpoint/", "efficientnet_unet"),
    ],
)
def test_the_arrays_of_others_go_out_as_they_came(file, prefix, model):
    with np.load(GOLDEN / f"{file}.npz") as every:
        theirs = {
            k.removeprefix(prefix): v for k, v in every.items() if k.startswith(prefix)
        }
        case = json.loads(str(every["case"]))
    ours = variables_of(model, case)
    names = published_names.published(model)
    got, report = into_model.apply(ours, theirs, model_name=model, source=file)
    out = into_model.collect(got, names)
    left = {row.name for row in report.rows if row.kind == "unused"}
    counters = {name for name in left if name.endswith("num_batches_tracked")}
    assert out.keys() == theirs.keys() - (left - counters)
    assert all(out.pop(name) == 0 for name in counters)
    for name, array in out.items():
        assert array.dtype == np.float32 and array.flags.c_contiguous
        np.testing.assert_array_equal(array, theirs[name], err_msg=name)


def variables_of(model, case):
    if model == "swin_upernet":
        swin = case["swin"]
        module = lookup.find("models", model).Model(
            case["num_classes"],
            embed_dim=4,
            depths=tuple(swin["depths"]),
            num_heads=tuple(swin["num_heads"]),
            window=swin["window_size"],
            width=6,
            aux_channels=5,
        )
        return noise(module)
    from jaxseg.models import _efficientnet, _resnet

    if model == "efficientnet_unet":
        return noise(
            _efficientnet.Classifier(case["num_classes"], case["width"], case["depth"])
        )
    net = _resnet.ResNet(tuple(case["blocks"]), case["bottleneck"], case["width"])
    return {k: {"encoder": v} for k, v in noise(net, case["channels"]).items()}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run, as training leaves one, whose numbers are noise."""
    workdir = tmp_path_factory.mktemp("run")
    config = runs.config("pneumothorax", **{"optim.ema": 0.9})
    card = records.card(classes=["background", "pneumothorax"])
    record = records.record(intensity="none", dataset=card)
    files.write_json(workdir / "config.json", config.to_dict())
    files.write_json(workdir / "run.json", record)
    _, abstract = finished_run.expected(config, record)
    manager = checkpoint.open_manager(workdir / "checkpoints")
    for step, value in ((2, 0.5), (4, 0.25)):
        saved = filled(abstract, step)
        metrics = {"validation/dice_pooled": value}
        checkpoint.save(manager, saved, step=step, metrics=metrics)
        checkpoint.check_errors(manager)
    checkpoint.close(manager)
    files.write_json(
        workdir / files.OPERATING_POINT, {"step": 2, "operating_point": None}
    )
    return workdir, state.evaluated(filled(abstract, 2))


def filled(shapes, seed):
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda s: jnp.asarray(rng.standard_normal(s.shape), s.dtype), shapes
    )


def export(run, *options):
    command = [sys.executable, "-m", "jaxseg.export", f"--run={run}", *options]
    own = {"JAX_PLATFORMS": "cpu", "JAXSEG_CACHE": os.environ["JAXSEG_CACHE"]}
    return subprocess.run(
        command,
        cwd=runs.ROOT,
        env={**runs.OUTSIDE, **own},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_the_best_step_is_exported_by_the_command_and_over_no_file(run, tmp_path):
    workdir, want = run
    path = tmp_path / "out.safetensors"
    done = export(workdir, f"--output={path}")
    assert done.returncode == 0, done.stderr
    assert f"{path}: " in done.stdout and "Hugging Face UPerNet-Swin" in done.stdout
    got, report = back(into_model.read(path), want, "swin_upernet")
    assert tiny.leaves_equal(got, want)
    with safetensors.safe_open(path, "np") as file:
        metadata = file.metadata()
    assert metadata.pop("format") == "pt"
    facts = {key: json.loads(value) for key, value in metadata.items()}
    assert facts["classes"] == ["background", "pneumothorax"] and facts["step"] == 2
    assert (facts["mean"], facts["std"]) == ([0.5], [0.25])
    assert facts["fields"]["embed_dim"] == 8 and facts["model"] == "swin_upernet"
    before = path.read_bytes()
    again = export(workdir, f"--output={path}")
    assert again.returncode == 2 and "exists and is not replaced" in again.stderr
    assert path.read_bytes() == before


def test_a_run_is_exported_whole_under_its_own_names(run):
    workdir, want = run
    weights = finished_run.weights(finished_run.load(workdir))
    assert tiny.leaves_equal(weights.variables, want)
    named, title = save.arrays(weights, format="jaxseg")
    assert title == "jaxseg"
    got, _ = back(named, want, "swin_upernet")
    assert tiny.leaves_equal(got, want)
    assert tiny.leaves_equal(finished_run.read_weights(str(workdir)), named)
    with pytest.raises(ConfigError, match=r"'onnx': choose one of \['safetensors'"):
        save.arrays(weights, format="onnx")


def test_a_run_that_is_not_finished_is_refused(run, tmp_path):
    record = json.loads((run[0] / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps({**record, "status": "running"}))
    with pytest.raises(ConfigError, match="not finished .running."):
        finished_run.load(tmp_path)


def test_a_file_that_appears_meanwhile_is_not_replaced_either(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_text("mine")
    with pytest.raises(ConfigError, match="is not replaced"):
        save.write(path, {"a": np.ones(1)}, {})
    assert path.read_text() == "mine"
    with pytest.raises(ConfigError, match="there is no folder"):
        save.check_free(tmp_path / "none" / "a.safetensors")
