"""A checkpoint comes back bit for bit, or is refused by name; a kill costs one save."""

import errno
import os
import pathlib
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jaxseg import errors, types
from jaxseg.run_directory import checkpoint, manifest

ROOT = pathlib.Path(__file__).parents[2]
METRIC = "validation/dice_pooled"


def _state(step, dtype=jnp.bfloat16, shape=(4, 2), **params):
    mesh = jax.make_mesh((2, 2), ("data", "fsdp"), axis_types=(AxisType.Auto,) * 2)
    whole, cut = (NamedSharding(mesh, PartitionSpec(*p)) for p in ((), ("fsdp",)))
    kernel = jax.random.normal(jax.random.key(step), shape)
    params = {"kernel": jax.device_put(kernel, cut)} | params
    half = jax.device_put(kernel[0].astype(dtype), whole)
    return types.TrainState(
        step=jax.device_put(jnp.int32(step), whole),
        params={"head": params, "half": half},
        model_state={},
        opt_state=(jax.device_put(jnp.arange(3), whole), None, ()),
        ema_params=None,
        bad_run=jax.device_put(jnp.int32(0), whole),
        bad_total=jax.device_put(jnp.uint8(7), whole),
    )


def _abstract(state):
    def struct(x):
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding)

    return jax.tree.map(struct, state)


def _save(directory, values, **kwargs):
    """Saves steps 1, 2, ... with these metric values (None: not evaluated)."""
    manager = checkpoint.open_manager(directory, **kwargs)
    for step, value in enumerate(values, 1):
        metrics = None if value is None else {METRIC: value, "undefined": np.nan}
        state = _state(step)
        checkpoint.save(manager, state, step=step, metrics=metrics, meta={"at": step})
    checkpoint.close(manager)
    return manager


def _restore(directory, **kwargs):
    manager = checkpoint.open_manager(directory)
    try:
        return checkpoint.restore(manager, _abstract(_state(0)), **kwargs)
    finally:
        checkpoint.close(manager)


def _same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert (x.dtype, x.sharding) == (y.dtype, y.sharding)
        np.testing.assert_array_equal(x, y, strict=True)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    directory = tmp_path_factory.mktemp("saved") / "checkpoints"
    _save(directory, [0.1, 0.2])
    return directory


@pytest.fixture
def copy(saved, tmp_path):
    shutil.copytree(saved, tmp_path / "c")
    return tmp_path / "c"


@pytest.fixture
def warned(caplog):
    """The records of the log; orbax's own lines must not reach it."""
    caplog.set_level("INFO")
    return caplog


def test_round_trip_is_bit_exact_and_keeps_shardings(saved, warned):
    state, meta, step = _restore(saved)
    assert (step, meta) == (2, {"at": 2}) and warned.messages == []
    _same(state, _state(2))
    state, meta, step = _restore(saved, step=1)
    assert (step, meta) == (1, {"at": 1})
    _same(state, _state(1))


def test_restore_without_shardings_lands_on_one_device(saved):
    manager = checkpoint.open_manager(saved, read_only=True)
    plain = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), _state(0))
    state = checkpoint.restore(manager, plain)[0]
    assert state.params["half"].sharding.device_set == {jax.devices()[0]}
    checkpoint.close(manager)


@pytest.mark.parametrize(
    "mode, values, kept, best",
    [
        ("max", [0.1, 0.9, 0.2, None, 0.3], [2, 4, 5], 2),
        ("min", [0.1, 0.9, 0.05, None, 0.3], [3, 4, 5], 3),
        ("max", [0.5, np.nan, 0.5, None], [1, 3, 4], 1),
        ("max", [None, None, None], [2, 3], None),
    ],
)
def test_the_newest_and_the_best_are_kept(tmp_path, mode, values, kept, best):
    _save(tmp_path, values, mode=mode)
    manager = checkpoint.open_manager(tmp_path, mode=mode, read_only=True)
    names = sorted(int(p.name) for p in tmp_path.iterdir())
    assert names == kept and checkpoint.best_step(manager) == best
    assert checkpoint.latest_step(manager) == len(values)
    checkpoint.close(manager)


def test_the_best_of_before_survives_a_restart(tmp_path):
    _save(tmp_path, [0.9, 0.1])
    manager = checkpoint.open_manager(tmp_path)
    for step in (3, 4):
        checkpoint.save(manager, _state(step), step=step, metrics={METRIC: 0.2})
    checkpoint.close(manager)
    assert checkpoint.best_step(manager) == 1 and (tmp_path / "1").is_dir()


def _flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def _truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("harm", [_flip, _truncate, pathlib.Path.unlink])
def test_damage_to_any_file_is_seen_or_harmless(saved, tmp_path, harm):
    """Every file of the newest step; only the two that nobody reads may be harmed."""
    assert manifest.problem(saved / "2") is None
    names = [p.relative_to(saved) for p in (saved / "2").rglob("*") if p.is_file()]
    assert len(names) > 8
    for name in names:
        shutil.copytree(saved, tmp_path, dirs_exist_ok=True)
        harm(tmp_path / name)
        problem = manifest.problem(tmp_path / "2")
        if name.name in checkpoint._LATER and len(name.parts) == 2:
            _same(_restore(tmp_path)[0], _state(2))
        else:
            assert problem is not None and str(tmp_path / name) in problem, name


@pytest.mark.parametrize("file", ["manifest.json", "state/d/*", "state/_METADATA"])
def test_a_damaged_step_is_named_set_aside_and_saved_again(copy, warned, file):
    damaged = next((copy / "2").glob(file))
    _flip(damaged)
    manager = checkpoint.open_manager(copy)
    state, meta, step = checkpoint.restore(manager, _abstract(_state(0)))
    assert (step, meta) == (1, {"at": 1})
    _same(state, _state(1))
    assert (
        len(warned.messages) == 1
        and str(damaged) in warned.messages[0]
        and "set_aside" in warned.messages[0]
    )
    assert [p.name for p in (copy / "set_aside").iterdir()] == ["2.0"]
    assert checkpoint.latest_step(manager) == checkpoint.best_step(manager) == 1
    checkpoint.save(manager, _state(2), step=2, metrics={METRIC: 0.3}, meta={})
    checkpoint.close(manager)
    assert _restore(copy)[2] == checkpoint.best_step(manager) == 2


def test_a_manifest_that_was_edited_is_damaged(copy):
    path = copy / "2" / "manifest.json"
    path.write_text(path.read_text().replace('"at": 2', '"at": 3'))
    assert manifest.problem(copy / "2") == f"{path} is damaged"


@pytest.mark.parametrize("file", ["manifest.json", "state/_METADATA"])
def test_a_file_that_never_ends_is_damage(copy, file):
    path = copy / "2" / file
    path.unlink()
    os.mkfifo(path)
    assert f"{path} " in (wrong := manifest.problem(copy / "2"))
    assert "is no regular file" in wrong or "0 bytes instead of" in wrong


def test_the_remains_of_a_killed_save_are_removed(copy):
    remains = copy / "3.orbax-checkpoint-tmp"
    shutil.copytree(copy / "2", remains)
    manager = checkpoint.open_manager(copy)
    assert checkpoint.latest_step(manager) == 2
    checkpoint.save(manager, _state(4), step=4)
    checkpoint.close(manager)
    assert not remains.exists() and checkpoint.latest_step(manager) == 4


def test_reading_only_moves_nothing(copy, warned):
    _flip(next((copy / "2/state/d").iterdir()))
    manager = checkpoint.open_manager(copy, read_only=True)
    assert checkpoint.restore(manager, _abstract(_state(0)))[2] == 1
    assert len(warned.messages) == 1 and sorted(p.name for p in copy.iterdir()) == [
        "1",
        "2",
    ]
    with pytest.raises(errors.DataError, match="of step 2: .*is damaged"):
        checkpoint.restore(manager, _abstract(_state(0)), step=2)
    checkpoint.close(manager)


def test_without_a_good_step_nothing_moves_and_it_says_why(copy, tmp_path):
    for step in "12":
        _truncate(next((copy / step / "state/d").iterdir()))
    with pytest.raises(errors.DataError, match="checkpoint 2: .* bytes.*checkpoint 1:"):
        _restore(copy)
    assert sorted(p.name for p in copy.iterdir()) == ["1", "2"]
    with pytest.raises(errors.DataError, match="none is there"):
        _restore(tmp_path / "empty")
    with pytest.raises(errors.DataError, match="does not exist"):
        checkpoint.open_manager(tmp_path / "nowhere", read_only=True)


@pytest.mark.parametrize(
    "other, words",
    [
        ({"dtype": jnp.float32}, "'half'. is bfloat16.2. there and float32.2. here"),
        ({"shape": (6, 2)}, "'kernel'. is float32.4,2. there and float32.6,2. here"),
        ({"bias": jnp.zeros(2)}, "'bias'. is nothing there and float32.2. here"),
    ],
)
def test_another_tree_shape_or_dtype_is_refused(saved, other, words):
    manager = checkpoint.open_manager(saved, read_only=True)
    with pytest.raises(errors.ConfigError, match=words):
        checkpoint.restore(manager, _abstract(_state(0, **other)))
    checkpoint.close(manager)


def test_a_save_that_does_not_happen_is_an_error(tmp_path):
    manager = checkpoint.open_manager(tmp_path)
    checkpoint.save(manager, _state(2), step=2)
    for step in (1, 2):
        with pytest.raises(RuntimeError, match="step 2 is there"):
            checkpoint.save(manager, _state(step), step=step)
    with pytest.raises(errors.ConfigError, match="other"):
        checkpoint.save(manager, _state(3), step=3, metrics={"other": 1.0})
    with pytest.raises(ValueError, match="JSON"):
        checkpoint.save(manager, _state(3), step=3, meta={"best": float("nan")})
    checkpoint.close(manager)
    for wrong in ({"keep": 1}, {"mode": "best"}):
        with pytest.raises(errors.ConfigError, match="keep 2 or more"):
            checkpoint.open_manager(tmp_path, **wrong)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EROFS, "Read-only file system"),
        ValueError("PERMISSION_DENIED: a [OS error 13: Permission denied]"),
    ],
)
def test_a_folder_that_cannot_be_written_is_not_called_full(
    tmp_path, monkeypatch, error
):
    def refuse(*arguments, **more):
        raise error

    manager = checkpoint.open_manager(tmp_path)
    monkeypatch.setattr(manager.orbax, "save", refuse)
    with pytest.raises(errors.NotWritable, match="cannot take the checkpoint") as told:
        checkpoint.save(manager, _state(1), step=1)
    assert "make room" not in str(told.value)
    checkpoint.close(manager)


def test_a_step_that_cannot_fit_is_not_begun(tmp_path, monkeypatch):
    manager = checkpoint.open_manager(tmp_path)
    checkpoint.save(manager, _state(1), step=1)
    full = shutil._ntuple_diskusage(total=10**9, used=10**9 - 9, free=9)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)
    with pytest.raises(errors.NotWritten) as told:
        checkpoint.save(manager, _state(2), step=2)
    monkeypatch.undo()
    needed = sum(leaf.nbytes for leaf in jax.tree.leaves(_state(2))) + 2**18
    for words in ("step 2", str(tmp_path), f"needs {needed:,} bytes", "9 bytes are"):
        assert words in str(told.value)
    assert told.value.exit_code == 74 and manager.orbax.all_steps() == [1]
    checkpoint.save(manager, _state(2), step=2)  # there is room again
    checkpoint.close(manager)
    assert manager.orbax.all_steps() == [1, 2]
