"""The files of launch/ say what the code does: exit codes, variables, paths."""

import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest
import yaml
from support import runs

from jaxseg import errors
from jaxseg.devices import cluster

LAUNCH = runs.ROOT / "launch"
STOPPED, LOST = errors.Preempted.exit_code, errors.PeersMissing.exit_code

# What is used here of JobSet v1alpha2 and of Kubernetes' own objects:
# {key: kind of its value}, "?" being a key that may be absent, [x] a list of x
TEXT = {"name": str, "value?": str, "valueFrom?": {"fieldRef": {"fieldPath": str}}}
CONTAINER = {
    "name": str,
    "image": str,
    "command": [str],
    "args": [str],
    "env": [TEXT],
    "resources": {"requests": dict, "limits": dict},
    "volumeMounts": [{"name": str, "mountPath": str}],
}
VOLUME = {
    "name": str,
    "persistentVolumeClaim?": {"claimName": str},
    "emptyDir?": {"medium": str, "sizeLimit": str},
}
POD = {
    "restartPolicy": str,
    "terminationGracePeriodSeconds": int,
    "enableServiceLinks": bool,
    "automountServiceAccountToken": bool,
    "securityContext": {"runAsNonRoot": bool, "runAsUser": int, "fsGroup": int},
    "containers": [CONTAINER],
    "volumes": [VOLUME],
}
EXIT_CODES = {"containerName": str, "operator": str, "values": [int]}
POD_RULE = {
    "action": str,
    "onExitCodes?": EXIT_CODES,
    "onPodConditions?": [{"type": str}],
}
JOB = {
    "completionMode": str,
    "completions": int,
    "parallelism": int,
    "backoffLimit": int,
    "podFailurePolicy": {"rules": [POD_RULE]},
    "template": {"spec": POD},
}
RULE = {
    "name": str,
    "action": str,
    "onJobFailureReasons": [str],
    "onJobFailureMessagePatterns?": [str],
}
JOBSET = {
    "apiVersion": str,
    "kind": str,
    "metadata": {"name": str},
    "spec": {
        "network": {"enableDNSHostnames": bool, "publishNotReadyAddresses": bool},
        "coordinator": {"replicatedJob": str, "jobIndex": int, "podIndex": int},
        "failurePolicy": {"maxRestarts": int, "rules": [RULE]},
        "replicatedJobs": [{"name": str, "replicas": int, "template": {"spec": JOB}}],
    },
}


def wrong(value, shape, where="") -> list[str]:
    """What of `value` is not as `shape` says, by its place."""
    if isinstance(shape, list):
        items = value if isinstance(value, list) else [None]
        items = enumerate(items)
        return [w for i, v in items for w in wrong(v, shape[0], f"{where}/{i}")]
    if not isinstance(shape, dict):
        return [] if type(value) is shape else [f"{where} is {value!r}"]
    if not isinstance(value, dict):
        return [f"{where} is {value!r}"]
    needed = {key for key in shape if not key.endswith("?")}
    shapes = {key.removesuffix("?"): kind for key, kind in shape.items()}
    out = [f"{where}/{key} is absent" for key in needed - value.keys()]
    for key, item in value.items():
        own = shapes.get(key)
        out += wrong(item, own, f"{where}/{key}") if own else [f"{where}/{key} is none"]
    return out


def job(jobset) -> dict:
    """What JobSet hands to Kubernetes as a job."""
    (replicated,) = jobset["spec"]["replicatedJobs"]
    return replicated["template"]["spec"]


def pod(jobset) -> tuple[dict, dict]:
    """A pod of it, and the one container in that."""
    pod = job(jobset)["template"]["spec"]
    (container,) = pod["containers"]
    return pod, container


@pytest.fixture(scope="module")
def jobset():
    return yaml.safe_load((LAUNCH / "jobset.yaml").read_text())


def test_the_jobset_has_the_fields_of_its_kind_and_no_others(jobset):
    assert not wrong(jobset, JOBSET)
    assert jobset["apiVersion"] == "jobset.x-k8s.io/v1alpha2"
    assert jobset["kind"] == "JobSet"
    jobset = json.loads(json.dumps(jobset))
    job(jobset)["backofLimit"] = job(jobset).pop("backoffLimit")
    place = "/spec/replicatedJobs/0/template/spec"
    absent, other = wrong(jobset, JOBSET)
    assert absent == f"{place}/backoffLimit is absent"
    assert other == f"{place}/backofLimit is none"


def test_the_jobset_restarts_and_fails_by_exit_code(jobset):
    own, container = pod(jobset)
    fail, ignore = job(jobset)["podFailurePolicy"]["rules"]
    assert fail["action"] == "FailJob" and ignore["action"] == "Ignore"
    codes = {errors.ConfigError.exit_code, errors.DataError.exit_code, STOPPED}
    assert set(fail["onExitCodes"]["values"]) == codes
    assert fail["onExitCodes"]["containerName"] == container["name"]
    assert job(jobset)["backoffLimit"] == 0 and own["restartPolicy"] == "Never"
    stopped, bad = jobset["spec"]["failurePolicy"]["rules"]
    # as the controller of jobs writes it
    text = "Container train for pod x/y-0 failed with exit code {} matching FailJob"
    pattern = stopped["onJobFailureMessagePatterns"][0]
    assert re.search(pattern, text.format(STOPPED))
    assert not re.search(pattern, text.format(2))
    assert stopped["action"] == "RestartJobSetAndIgnoreMaxRestarts"
    assert bad["action"] == "FailJobSet" and "onJobFailureMessagePatterns" not in bad


def test_a_pod_of_the_jobset_knows_its_place(jobset):
    own, container = pod(jobset)
    assert job(jobset)["completionMode"] == "Indexed"
    environ = {item["name"]: item.get("value", "") for item in container["env"]}
    host = environ.pop("JAXSEG_COORDINATOR_HOST")
    assert host == "" and container["env"][0]["name"] == "JAXSEG_COORDINATOR_HOST"
    name = environ["JAXSEG_COORDINATOR"]
    name = name.replace("$(JAXSEG_COORDINATOR_HOST)", "j-0-0.j")
    environ |= {"JOB_COMPLETION_INDEX": "1", "JAXSEG_COORDINATOR": name}
    place = cluster.place(environ)
    assert place[:3] == (job(jobset)["completions"], 1, "j-0-0.j:7777")
    assert job(jobset)["completions"] == job(jobset)["parallelism"]
    assert cluster.timeout(environ) == 900
    (shm,) = [v for v in own["volumes"] if v["name"] == "shm"]
    assert shm["emptyDir"]["medium"] == "Memory"
    assert {"name": "shm", "mountPath": "/dev/shm"} in container["volumeMounts"]


def test_the_image_is_built_from_files_that_are_there():
    text = (LAUNCH / "Dockerfile").read_text()
    assert re.search(r"^FROM python:3\.12-slim$", text, re.M)
    for line in re.findall(r"^COPY (.*) \S+$", text, re.M):
        for name in line.split():
            assert (runs.ROOT / name).exists(), name
    assert text.index("\nUSER jaxseg") > text.index("\nRUN pip install")


BATCH = {
    "slurm.sbatch": (["--config=x", "--workdir=a b"], {}),
    "slurm_array.sbatch": (["commands.txt"], {"SLURM_ARRAY_TASK_ID": "2"}),
}
COMMANDS = """python -m jaxseg.main --config=x --workdir=s/0
python -m jaxseg.main --config=x '--workdir=s/a b'
"""


def _batch(tmp_path, name, code, **more):
    """The end of a batch script whose `srun` exits with `code`, and what it called."""
    arguments, own = BATCH[name]
    for tool, body in (
        ("srun", f'printf "<%s>" "$@" >> calls; exit {code}'),
        ("scontrol", 'echo "scontrol $*" >> calls'),
        ("sleep", ""),
    ):
        path = tmp_path / tool
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
    (tmp_path / "commands.txt").write_text(COMMANDS)
    (tmp_path / "calls").write_text("")
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", str(LAUNCH / name), *arguments],
        cwd=tmp_path,
        env={"PATH": path, "SLURM_JOB_ID": "7"} | own | more,
        capture_output=True,
        text=True,
        timeout=100,
    )
    return done, (tmp_path / "calls").read_text()


@pytest.mark.parametrize("name", BATCH)
def test_a_batch_script_is_queued_again_when_that_helps(name, tmp_path):
    queued = {STOPPED, LOST, 137} - ({LOST} if "array" in name else set())
    for code in (0, 1, errors.ConfigError.exit_code, STOPPED, LOST, 137):
        done, calls = _batch(tmp_path, name, code)
        assert done.returncode == code, done.stderr
        assert ("scontrol requeue 7" in calls) == (code in queued), code
    done, calls = _batch(tmp_path, name, STOPPED, SLURM_RESTART_COUNT="100")
    assert "scontrol" not in calls


def test_the_words_of_a_batch_script_reach_python_whole(tmp_path):
    _, calls = _batch(tmp_path, "slurm.sbatch", 0)
    assert calls.endswith("<-m><jaxseg.main><--config=x><--workdir=a b>")
    _, calls = _batch(tmp_path, "slurm_array.sbatch", 0)
    line = COMMANDS.splitlines()[1]
    assert calls == f"<--ntasks=1><bash><-c><exec {line}>"
    done, calls = _batch(tmp_path, "slurm_array.sbatch", 0, SLURM_ARRAY_TASK_ID="3")
    assert done.returncode == 2 and "line 3 of commands.txt is ''" in done.stdout
    assert not calls


@pytest.mark.parametrize("name", BATCH)
def test_a_batch_script_asks_slurm_for_what_it_relies_on(name):
    text = (LAUNCH / name).read_text()
    for option in ("--requeue", "--signal=TERM@120", "--open-mode=append"):
        assert f"\n#SBATCH {option}\n" in text
    assert subprocess.run(["bash", "-n", str(LAUNCH / name)]).returncode == 0


KILLED_ONCE = """
import os, signal
if os.environ["JAXSEG_PROCESS"] == "1":
    try:
        open("killed", "x")
    except FileExistsError:
        raise SystemExit(0)
    os.kill(os.getpid(), signal.SIGKILL)
raise SystemExit(0 if os.path.exists("killed") else 69)
"""


def test_local_processes_are_started_again_when_one_is_killed(tmp_path):
    (tmp_path / "killed_once.py").write_text(KILLED_ONCE)
    command = [sys.executable, str(LAUNCH / "local.py"), "-n", "2"]
    command += ["--module=killed_once"]
    for restarts, code in ((0, LOST), (1, 0)):
        pathlib.Path(tmp_path / "killed").unlink(missing_ok=True)
        done = subprocess.run(
            [*command, f"--restarts={restarts}"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert done.returncode == code, done.stdout
        assert ("restart 1 of 1" in done.stdout) == bool(restarts)


def test_every_exit_code_is_in_the_tables():
    codes = [e.exit_code for e in vars(errors).values() if hasattr(e, "exit_code")]
    for path in ("README.md", "launch/README.md"):
        text = (runs.ROOT / path).read_text()
        for code in codes:
            assert re.search(rf"\b{code}\b", text), f"{path} has no exit code {code}"


def load(name):
    """A file of launch/ as a module."""
    spec = importlib.util.spec_from_file_location(name, LAUNCH / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_launchers_know_the_exit_codes_of_the_package():
    local, ray_train = load("local"), load("ray_train")
    assert (local.PREEMPTED, local.LOST) == (STOPPED, LOST)
    assert (ray_train.STOPPED, ray_train.LOST) == (STOPPED, LOST)
