"""Kills, full disks and several processes: what was saved can always be restored."""

import os
import pathlib
import re
import signal
import socket
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]

KILLED = """
import sys, jax, jax.numpy as jnp, numpy as np
from jaxseg.run_directory import checkpoint
manager = checkpoint.open_manager(sys.argv[1])
state = {"w": jnp.zeros((64, 999)), "step": jnp.int32(0)}
if checkpoint.latest_step(manager) is not None:
    state, meta, step = checkpoint.restore(manager, jax.eval_shape(lambda: state))
    w = np.asarray(state["w"])
    assert meta == {"at": step} and int(state["step"]) == step and (w == step).all()
# as in training: the next step overwrites the arrays that are being saved
train = jax.jit(lambda s: jax.tree.map(lambda x: x + 1, s), donate_argnums=0)
for step in range(int(state["step"]) + 1, 10**6):
    state = train(state)
    checkpoint.save(manager, state, step=step, meta={"at": step})
    print(step, flush=True)  # this save has begun, the one before is whole
"""

FULL = """
import sys, time, resource, jax.numpy as jnp
from jaxseg.run_directory import checkpoint
manager = checkpoint.open_manager(sys.argv[1])
state = {"w": jnp.arange(4000.0)}
checkpoint.save(manager, state, step=1)
checkpoint.check_errors(manager)
manager.orbax.wait_until_finished()
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))  # no file above 100 bytes
checkpoint.save(manager, state, step=2)
while manager.orbax.is_saving_in_progress():
    time.sleep(0.01)
try:
    checkpoint.check_errors(manager)
except OSError as error:
    print("caught", error)
"""

AGAIN = """
import sys, jax.numpy as jnp
from jaxseg.run_directory import checkpoint
manager = checkpoint.open_manager(sys.argv[1])
print("latest", checkpoint.latest_step(manager))
checkpoint.save(manager, {"w": jnp.arange(4000.0)}, step=2)
checkpoint.close(manager)
print("at last", manager.orbax.all_steps())
"""

TWO = """
import sys, pathlib, jax, jax.numpy as jnp, numpy as np
directory, port, rank = sys.argv[1:]
jax.distributed.initialize(f"127.0.0.1:{port}", 2, int(rank))
from jaxseg.run_directory import checkpoint
mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
cut = jax.NamedSharding(mesh, jax.P("data"))
make = jax.jit(lambda v: {"w": jnp.arange(6.0).reshape(2, 3) + v}, out_shardings=cut)
manager = checkpoint.open_manager(directory)
for step in (1, 2, 3):
    metrics = {"validation/dice_pooled": 0.1}
    checkpoint.save(manager, make(step), step=step, metrics=metrics, meta={"at": step})
checkpoint.close(manager)
if rank == "0":
    blobs = [p for p in pathlib.Path(directory, "3").rglob("d/*")]
    for blob in blobs:
        blob.write_bytes(blob.read_bytes()[:-1] + b"?")
manager = checkpoint.open_manager(directory)
wanted = {"w": jax.ShapeDtypeStruct((2, 3), jnp.float32, sharding=cut)}
state, meta, step = checkpoint.restore(manager, wanted)
mine = np.asarray(state["w"].addressable_data(0))
np.testing.assert_array_equal(mine, np.arange(6.0).reshape(2, 3)[[int(rank)]] + 2)
checkpoint.save(manager, make(3), step=3, meta={"at": 3})
checkpoint.close(manager)
print("restored", step, meta, checkpoint.best_step(manager), manager.orbax.all_steps())
"""


def _start(code, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(ROOT), "XLA_FLAGS": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _finish(process):
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out, err


def test_a_kill_while_saving_costs_at_most_that_save(tmp_path):
    """The child checks what it restores; it stops at once if that is wrong."""
    whole = 0
    for saves in (1, 2, 3):
        process = _start(KILLED, tmp_path)
        begun = [int(process.stdout.readline()) for _ in range(saves)]
        process.send_signal(signal.SIGKILL)
        err = process.communicate()[1]
        assert process.returncode == -signal.SIGKILL, err
        assert whole <= begun[0] - 1, (whole, begun)
        whole = begun[-1] - 1
    assert not (tmp_path / "set_aside").exists()


def test_a_full_disk_shows_at_the_next_look_and_harms_no_earlier_step(tmp_path):
    out, err = _finish(_start(FULL, tmp_path))
    assert re.search(r"caught the checkpoint of step 2 .*bytes are free", out), out
    assert str(tmp_path) in out, out
    # a writer thread of orbax may say that its event loop is closed; nothing of ours is
    assert "jaxseg" not in err and "NotWritten" not in err, err
    # with room again, as the sentence says, by the same command in a process of its own
    out, _ = _finish(_start(AGAIN, tmp_path))
    assert out.splitlines()[-2:] == ["latest 1", "at last [1, 2]"]


def test_two_processes_write_one_checkpoint_and_agree_on_the_good_one(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    both = [_start(TWO, tmp_path, port, rank) for rank in (0, 1)]
    try:
        outputs = [_finish(process)[0] for process in both]
    finally:
        for process in both:  # one that failed leaves the other waiting
            process.kill()
            process.communicate()
    for out in outputs:
        assert out.splitlines()[-1] == "restored 2 {'at': 2} 1 [1, 2, 3]", out
    assert (tmp_path / "set_aside" / "3.0").is_dir()
