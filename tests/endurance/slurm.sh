#!/usr/bin/env bash
# Runs launch/slurm.sbatch and slurm_array.sbatch with Debian's Slurm on this machine.
#
#     apt-get install -y --no-install-recommends slurmctld slurmd slurm-client munge
#     bash tests/endurance/slurm.sh            # as root, ten minutes or so
#
# One node, two tasks: a run that finishes; one that `scancel --signal=TERM` stops, and
# that its requeue finishes; one whose task is killed, the same; an array of two members.
# $PYTHON is a Python with jaxseg (default python). Everything lies in a fresh folder,
# which is shown when something fails.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
chmod 755 "$work"
export SLURM_CONF="$work/slurm.conf" PYTHON="${PYTHON:-python}" PYTHONPATH="$PWD"
export JAX_PLATFORMS=cpu JAXSEG_CACHE="$work/cache" JAXSEG_PEER_TIMEOUT=20
export XLA_FLAGS="--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
small=(--config=configs/pneumothorax.py:smoke --config.model.name=unet
    '--config.model.unet.widths=(4,6,8)')
host=$(hostname -s)
munged_pid= ctld_pid= slurmd_pid=

finish() {
    status=$?
    scancel --signal=KILL --full --user=root 2>/dev/null && sleep 2
    for pid in $slurmd_pid $ctld_pid $munged_pid; do kill "$pid" 2>/dev/null || true; done
    if ((status)); then echo "FAILED; see $work" >&2; else rm -rf "$work"; fi
}
trap finish EXIT

mkdir -p "$work"/{state,spool,munge}
chmod 700 "$work/munge"
dd if=/dev/urandom of="$work/munge/key" bs=1024 count=1 status=none
chmod 600 "$work/munge/key"
cat >"$SLURM_CONF" <<CONF
ClusterName=one
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$work/munge/socket,cred_expire=5
SlurmctldPort=16817
SlurmdPort=16818
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
SlurmctldLogFile=$work/slurmctld.log
SlurmdLogFile=$work/slurmd.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
ReturnToService=2
KillWait=10
NodeName=$host NodeAddr=127.0.0.1 CPUs=4 State=UNKNOWN
PartitionName=all Nodes=$host Default=YES MaxTime=INFINITE State=UP OverSubscribe=YES
CONF
munged --foreground --force --key-file="$work/munge/key" --socket="$work/munge/socket" \
    --pid-file="$work/munge/pid" --log-file="$work/munge/log" --seed-file="$work/munge/seed" \
    --num-threads=1 2>/dev/null &
munged_pid=$!
sleep 1
slurmctld -D >"$work/ctld.out" 2>&1 &
ctld_pid=$!
sleep 2
slurmd -D >"$work/slurmd.out" 2>&1 &
slurmd_pid=$!

wait_for() { # a command, until it succeeds
    for _ in $(seq 1200); do if "$@" >/dev/null 2>&1; then return; fi; sleep 0.5; done
    echo "timed out: $*" >&2
    return 1
}
state() { scontrol show job "$1" | grep -o "JobState=[A-Z_]*" | cut -d= -f2; }
ended() { case $(state "$1") in PENDING | RUNNING | COMPLETING | REQUEUED) return 1 ;; esac; }
finished() { grep -q '"status": *"finished"' "$1/run.json"; }
submit() { # script name arguments...
    script=$1 name=$2
    shift 2
    sbatch --parsable --job-name="$name" --output="$work/$name.log" --ntasks=2 \
        "$script" "$@"
}
check() { # what, then a command
    local what=$1
    shift
    if "$@"; then echo "ok    $what"; else echo "FAULT $what"; tail -n 20 "$work"/*.log; exit 1; fi
}

wait_for bash -c "sinfo -h -o %T | grep -q idle"

job=$(submit launch/slurm.sbatch plain "${small[@]}" --config.epochs=2 --workdir="$work/plain")
wait_for ended "$job"
check "two tasks finish ($(state "$job"))" test "$(state "$job")" = COMPLETED
check "its run is finished" finished "$work/plain"
check "the decision is printed" grep -q "process 1 of 2, coordinator $host:.*(from Slurm)" "$work/plain.log"

long=(--config.epochs=50 --config.eval.every_epochs=50 --config.checkpoint.every_steps=10)
job=$(submit launch/slurm.sbatch term "${small[@]}" "${long[@]}" --workdir="$work/term")
wait_for bash -c "ls -d $work/term/checkpoints/[0-9]*"
scancel --signal=TERM "$job"
wait_for grep -q "exit code 75, job $job is queued again" "$work/term.log"
check "SIGTERM saves, ends with 75 and is queued again" true
wait_for ended "$job"
check "the requeued job completes ($(state "$job"))" test "$(state "$job")" = COMPLETED
check "its run is finished" finished "$work/term"
check "it was restarted once" bash -c "scontrol show job $job | grep -q Restarts=1"

job=$(submit launch/slurm.sbatch kill "${small[@]}" "${long[@]}" --workdir="$work/kill")
wait_for bash -c "ls -d $work/kill/checkpoints/[0-9]*"
kill -KILL "$(pgrep -f -n -- "-m jaxseg.main .*--workdir=$work/kill")"
wait_for grep -q "is queued again" "$work/kill.log"
check "a killed task ends the others in a sentence" grep -q "vanished: it was killed" "$work/kill.log"
check "and without a dump" bash -c "! grep -q 'Terminating process because' $work/kill.log"
wait_for ended "$job"
check "the requeued job completes ($(state "$job"))" test "$(state "$job")" = COMPLETED
check "its run is finished" finished "$work/kill"

"$PYTHON" -m jaxseg.sweep "${small[@]}" --config.epochs=1 --seeds=2 --workdir="$work/sweep" \
    --commands >"$work/commands.txt"
for round in first second; do
    job=$(sbatch --parsable --array=1-2 --output="$work/array-$round-%a.log" \
        launch/slurm_array.sbatch "$work/commands.txt")
    wait_for bash -c "[ -z \"\$(squeue -h -j $job 2>/dev/null)\" ]"
    check "the array's members are finished, $round time" \
        bash -c "grep -q '\"status\": *\"finished\"' $work/sweep/seed0/run.json && grep -q '\"status\": *\"finished\"' $work/sweep/seed1/run.json"
done
check "finished members end at once" bash -c "! grep -q '^step ' $work/array-second-1.log"
