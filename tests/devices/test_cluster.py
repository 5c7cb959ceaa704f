"""Which processes make up a run is decided by rule, and said."""

import pytest

from jaxseg.devices import cluster
from jaxseg.errors import ConfigError

HERE = {
    "JAXSEG_COORDINATOR": "a:7777",
    "JAXSEG_PROCESSES": "4",
    "JAXSEG_PROCESS": "3",
}
STEP = {
    "SLURM_JOB_ID": "4100",
    "SLURM_STEP_NODELIST": "n[2-3]",
    "SLURM_NTASKS": "4",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2)",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "1",
    "SLURM_NODEID": "1",
}
BATCH = {k: v for k, v in STEP.items() if "STEP" not in k} | {"SLURM_PROCID": "0"}
POD = {
    "KUBERNETES_SERVICE_HOST": "10.0.0.1",
    "JOB_COMPLETION_INDEX": "1",
    "JAXSEG_COORDINATOR": "jaxseg-train-0-0.jaxseg:7777",
    "JAXSEG_PROCESSES": "2",
}
FLAGS = {"coordinator": "b:1", "processes": 2, "process": 0}
SLURM = "n2:61444"  # 61440 + 4100 % 4096

# environment, flags -> number, processes, coordinator, source, devices
PLACES = {
    "nothing": ({}, {}, (0, 1, "", "no flags", None)),
    "flags": ({}, FLAGS, (0, 2, "b:1", "flags", None)),
    "environment": (HERE, {}, (3, 4, "a:7777", "the environment", None)),
    "flags before the environment": (HERE, FLAGS, (0, 2, "b:1", "flags", None)),
    "a flag fills in": (
        HERE | {"JAXSEG_PROCESS": ""},
        {"process": 2},
        (2, 4, "a:7777", "flags and the environment", None),
    ),
    "the environment before Slurm": (
        STEP | HERE,
        {},
        (3, 4, "a:7777", "the env", None),
    ),
    "one, as the environment says": (
        {"JAXSEG_PROCESSES": "1", "JAXSEG_COORDINATOR": "a:1"},
        {},
        (0, 1, "", "the environment", None),
    ),
    "srun": (STEP, {}, (3, 4, SLURM, "Slurm", None)),
    "srun, GPUs bound to tasks": (
        STEP | {"CUDA_VISIBLE_DEVICES": "0"},
        {},
        (3, 4, SLURM, "Slurm", None),
    ),
    "srun, GPUs of the host seen by all": (
        STEP | {"CUDA_VISIBLE_DEVICES": "0,1"},
        {},
        (3, 4, SLURM, "Slurm", (1,)),
    ),
    "srun, two GPUs a task": (
        STEP | {"CUDA_VISIBLE_DEVICES": "0,1,2,3"},
        {},
        (3, 4, SLURM, "Slurm", (2, 3)),
    ),
    "srun, one task a host takes all GPUs": (
        STEP | {"SLURM_STEP_TASKS_PER_NODE": "1(x4)", "CUDA_VISIBLE_DEVICES": "0,1"},
        {},
        (3, 4, SLURM, "Slurm", None),
    ),
    "a step of one task": (
        STEP | {"SLURM_STEP_NUM_TASKS": "1"},
        {},
        (0, 1, "", "a step of one task", None),
    ),
    "a batch script without srun": (
        BATCH,
        {},
        (0, 1, "", "without srun: srun would start its 4 task(s)", None),
    ),
    "a pod of a JobSet": (
        POD,
        {},
        (1, 2, POD["JAXSEG_COORDINATOR"], "from JOB_COMPLETION_INDEX", None),
    ),
    "an indexed job of single runs": (
        {"JOB_COMPLETION_INDEX": "1"},
        {},
        (0, 1, "", "JOB_COMPLETION_INDEX without JAXSEG_COORDINATOR", None),
    ),
}


@pytest.mark.parametrize("name", PLACES)
def test_the_place_of_a_process(name):
    environ, flags, (number, processes, coordinator, source, devices) = PLACES[name]
    place = cluster.place(environ, **flags)
    assert place[:3] == (processes, number, coordinator)
    assert source in place.source and place.devices == devices
    line = cluster.line(place)
    assert place.source in line
    assert ("one process alone" in line) == (processes == 1)
    if processes > 1:
        assert f"process {number} of {processes}, coordinator {coordinator}" in line


def test_the_name_of_a_pod_may_come_late_and_other_names_not():
    assert cluster.place(POD).name_comes_late
    assert not cluster.place(HERE).name_comes_late


WRONG = {
    "count alone": ({"JAXSEG_PROCESSES": "2"}, {}, "JAXSEG_PROCESSES alone .*--coord"),
    "coordinator alone": ({}, {"coordinator": "a:1"}, "--coordinator alone"),
    "number alone": ({}, {"process": 1}, "--process_id alone"),
    "no number": ({}, {"coordinator": "a:1", "processes": 2}, "give also --process_id"),
    "number too large": ({}, FLAGS | {"process": 2}, "--process_id is 2; .* of 2 "),
    "number below 0": ({}, FLAGS | {"process": -2}, "--process_id is -2"),
    "no process": ({}, FLAGS | {"processes": -1}, "--num_processes is -1"),
    "no whole number": (HERE | {"JAXSEG_PROCESSES": "two"}, {}, "'two'; give a whole"),
    "no port": (HERE | {"JAXSEG_COORDINATOR": "a"}, {}, "'a'; give the host"),
    "port too high": (HERE | {"JAXSEG_COORDINATOR": "a:70000"}, {}, "free port"),
    "srun hands nothing on": (
        {k: v for k, v in STEP.items() if k != "SLURM_LOCALID"},
        {},
        "SLURM_LOCALID is not set",
    ),
    "GPUs that cannot be dealt out": (
        STEP | {"CUDA_VISIBLE_DEVICES": "0,1,2"},
        {},
        "2 tasks on this host see 3 GPUs",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_contradicts_itself_is_one_sentence(name):
    environ, flags, message = WRONG[name]
    with pytest.raises(ConfigError, match=message):
        cluster.place(environ, **flags)


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("n1", "n1"),
        ("n1,n2", "n1"),
        ("n[01-03,7],m2", "n01"),
        ("n[7,9-12]", "n7"),
        ("rack[2-3]-n[04-08]", "rack2-n04"),
        ("gpu-a100-[3-4].cluster", "gpu-a100-3.cluster"),
    ],
)
def test_the_first_host_of_a_list(nodes, first):
    assert cluster.first_host(nodes) == first


def test_seconds_come_from_the_flag_the_variable_or_the_default():
    variable = {"JAXSEG_COORDINATOR_TIMEOUT": "7"}
    assert cluster.timeout({}) == 120
    assert cluster.timeout(variable) == 7
    assert cluster.timeout(variable, 3) == 3
    assert cluster.silence({"JAXSEG_PEER_TIMEOUT": "2.5"}) == 2.5
    for wrong in ("soon", "0", "-1", "nan", "inf"):
        with pytest.raises(ConfigError, match="give seconds, above 0"):
            cluster.timeout({"JAXSEG_COORDINATOR_TIMEOUT": wrong})


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [("a.b:1", "a.b", 1), ("10.0.0.7:65535", "10.0.0.7", 65535), ("[::1]:9", "::1", 9)],
)
def test_host_and_port(text, host, port):
    assert cluster.host_and_port(text) == (host, port)
