#!/usr/bin/env bash
# Runs launch/ray_train.py with two workers on this machine, and ends one of them.
#
#     pip install 'jaxseg[ray]'
#     bash tests/endurance/ray.sh              # ten minutes or so
#
# A worker's process is killed while it trains, then a worker itself (the actor): both
# times the run must go on from its checkpoint and end well, and no process be left. Then
# a sweep of two members is trained, and once more. $PYTHON is a Python with both.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
export PYTHON="${PYTHON:-python}" PYTHONPATH="$PWD" JAX_PLATFORMS=cpu
export JAXSEG_CACHE="$work/cache" JAXSEG_PEER_TIMEOUT=20
export XLA_FLAGS="--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
small=(--config=configs/pneumothorax.py:smoke --config.model.name=unet
    '--config.model.unet.widths=(4,6,8)')
driver=
finish() {
    status=$?
    [[ -n $driver ]] && kill "$driver" 2>/dev/null
    if ((status)); then echo "FAILED; see $work" >&2; else rm -rf "$work"; fi
}
trap finish EXIT
wait_for() { # a command, until it succeeds
    for _ in $(seq 1200); do if "$@" >/dev/null 2>&1; then return; fi; sleep 0.5; done
    echo "timed out: $*" >&2
    return 1
}
check() { # what, then a command
    local what=$1
    shift
    if "$@"; then echo "ok    $what"; else echo "FAULT $what"; tail -n 30 "$work"/*.log; exit 1; fi
}
finished() { grep -q '"status": *"finished"' "$1/run.json"; }
processes() { pgrep -f -- "-m jaxseg.main .*--workdir=$work/run"; }
none_left() { ! processes; }
saved() { ls -d "$work"/run/checkpoints/[0-9]* 2>/dev/null | grep -v "orbax\|incomplete" | tail -n 1; }
newer() { [[ -n $(saved) && $(saved) != "$1" ]]; }

"$PYTHON" launch/ray_train.py -n 2 "${small[@]}" --config.epochs=50 \
    --config.eval.every_epochs=50 --config.checkpoint.every_steps=10 \
    --workdir="$work/run" >"$work/run.log" 2>&1 &
driver=$!
wait_for newer ""
kill -KILL "$(processes | tail -n 1)"
wait_for grep -q "restart 1 of 20, after exit code 69" "$work/run.log"
check "a killed process ends the others in a sentence" grep -q "vanished: it was killed" "$work/run.log"
wait_for newer "$(saved)"
actor=$(ps -o ppid= -p "$(processes | tail -n 1)")
kill -KILL $actor
wait_for grep -q "restart 2 of 20, after exit code" "$work/run.log"
check "a killed worker is noticed" true
wait "$driver"
driver=
check "the run is finished" finished "$work/run"
check "without a dump" bash -c "! grep -q 'Terminating process because' $work/run.log"
check "no process is left" none_left

"$PYTHON" -m jaxseg.sweep "${small[@]}" --config.epochs=1 --seeds=2 --workdir="$work/sweep" \
    --commands >"$work/commands.txt"
"$PYTHON" launch/ray_train.py --commands="$work/commands.txt" >"$work/members.log" 2>&1
check "the members of a sweep are finished" \
    bash -c "grep -q '\"status\": *\"finished\"' $work/sweep/seed0/run.json && grep -q '\"status\": *\"finished\"' $work/sweep/seed1/run.json"
"$PYTHON" launch/ray_train.py --commands="$work/commands.txt" >"$work/again.log" 2>&1
check "finished members are skipped" grep -q "^0 of 2 members to train" "$work/again.log"
