"""Kills runs that are kept in a bucket: python tests/endurance/bucket.py

    pip install -e '.[test,bucket]'
    python tests/endurance/bucket.py                       # everything
    python tests/endurance/bucket.py --parts=sends,faults  # without training, minutes

An S3 server (moto) of its own listens on 127.0.0.1 and ends with the script; nothing
leaves the machine. A line comes for every promise; exit code 1 where one is broken.
"""

import argparse
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

sys.path[:0] = map(str, (pathlib.Path(__file__).parents[n] for n in (1, 2)))

import boto3
from support import runs

from endurance import doors, twins
from jaxseg.devices import peers
from jaxseg.run_directory import bucket, markers, mirror

NAME = "my-bucket"
# sends the states 1 and 2 of a folder of 30 files, and says when it begins with each
SENDER = """
import sys
from jaxseg.run_directory import manifest, mirror
copy = mirror.open_copy(sys.argv[1])
for state in (1, 2):
    for k in range(30):
        path = copy.folder / "checkpoints" / str(state) / f"{k}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{state} {k}" * 2000)
    manifest.seal(path.parent, {})
    (copy.folder / "config.json").write_text("{}")
    (copy.folder / "history.csv").write_text(f"{state}")
    print(state, flush=True)
    copy = mirror.send(copy, mirror.stage(copy.folder))
print("sent", flush=True)
"""


def serve(place: pathlib.Path) -> subprocess.Popen:
    """A server of S3 on a free port of the loopback; sets the environment to it."""
    port = peers.free_port()
    address = f"http://127.0.0.1:{port}"
    os.environ |= {
        "AWS_ENDPOINT_URL": address,
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "nothing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with (place / "server.log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
    end = time.monotonic() + 120
    while True:
        try:
            boto3.client("s3").create_bucket(Bucket=NAME)
            return server
        except Exception:
            if time.monotonic() > end or server.poll() is not None:
                raise
            time.sleep(1)


def sends(place: pathlib.Path, count: int) -> Iterator[str]:
    """Kills senders at random moments; what then comes back is one state or none."""
    rng, came = random.Random(0), []
    for k in range(count):
        url, cache = f"s3://{NAME}/sends/{k}", place / f"sender-{k}"
        process = subprocess.Popen(
            [sys.executable, "-c", SENDER, url],
            env=os.environ | {"JAXSEG_CACHE": str(cache), "PYTHONPATH": _path()},
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(rng.choice((1, 2))):  # in the first state, or in the second
            process.stdout.readline()
        time.sleep(rng.uniform(0, 2.0))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        os.environ["JAXSEG_CACHE"] = str(place / f"receiver-{k}")
        folder = mirror.open_copy(url).folder
        came.append(_state(folder) if folder.exists() else "none")
        if came[-1] not in ("none", "1", "2"):
            yield f"BROKEN: after kill {k} a mixture came back: {came[-1]}"
    counts = ", ".join(f"{came.count(x)} {x}" for x in ("none", "1", "2"))
    yield f"{count} senders killed; what came back: state {counts}"


def _state(folder: pathlib.Path) -> str:
    """ "1" or "2" where all files are of one state; else what differs."""
    state = (folder / "history.csv").read_text()
    for step in range(1, int(state) + 1):
        for k in range(30):
            path = folder / "checkpoints" / str(step) / f"{k}"
            if not path.is_file() or path.read_text() != f"{step} {k}" * 2000:
                return f"history.csv of {state} beside a wrong {path}"
    return state if not (folder / "checkpoints" / str(int(state) + 1)).exists() else "?"


def faults(place: pathlib.Path, count: int) -> Iterator[str]:
    """A bucket that is not there, and a server that does not answer."""
    words = [*twins.RECIPE, f"--workdir=s3://no-such-bucket/{count}"]
    yield _refused("a bucket that is not there", place, words)
    words[-1] = f"--workdir=s3://{NAME}/x"
    nobody = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{peers.free_port()}"}
    yield _refused("a server that is not there", place, words, **nobody)


def _refused(name: str, place: pathlib.Path, words: list[str], **environment) -> str:
    own = _aws() | environment
    end = doors.run("main", *words, cache=place / "c", mark="faults", **own)
    good = end.code == 2 and not end.fault and "Look whether the bucket" in end.sentence
    return f"{'' if good else 'BROKEN: '}{name}: exit code {end.code}, {end.sentence}"


def kills(place: pathlib.Path, count: int) -> Iterator[str]:
    """Kills a run, and its machine with it, until it ends; equal to its twin."""
    twin, rng = twins.make(place), random.Random(1)
    long = "--config.epochs=60"  # so that several copies are sent on the way
    doors.run(
        "main", *twins.arguments(place / "long"), long, cache=twin.cache, mark="long"
    )
    twin = twin._replace(workdir=place / "long")
    url, caches, resumed = f"s3://{NAME}/runs/x", [], []
    words = [*twins.arguments(pathlib.Path("x"))[:-1], long, f"--workdir={url}"]
    for k in range(count + 1):
        caches.append(place / f"machine-{k}")
        shutil.copytree(twin.cache / "jit", caches[-1] / "jit")
        shutil.copytree(twin.cache / "demo", caches[-1] / "demo")
        mark = f"bucket-{k}"
        door = doors.Door("main", *words, cache=caches[-1], mark=mark, **_aws())
        if k < count:
            before = markers.numbers(bucket.open_bucket(url))
            while markers.numbers(bucket.open_bucket(url)) == before:
                if door.process.poll() is not None:
                    break
                time.sleep(0.1)
            time.sleep(rng.uniform(0.0, 5.0))  # while the next copy is on its way
            door.kill()
            doors.end_all(mark)
            end = door.wait()
            shutil.rmtree(caches[-1])
        else:
            end = door.wait()
        resumed += [line for line in end.err.splitlines() if "resumed at" in line]
    os.environ["JAXSEG_CACHE"] = str(caches[-1])
    differences = twins.differences(mirror.local_copy(url), twin)
    if end.code or differences:
        yield f"BROKEN: exit code {end.code}, {end.sentence}; {differences[:5]}"
    if not resumed:
        yield "BROKEN: no machine went on from the bucket"
    steps = [text.rpartition("resumed at step ")[2].split()[0] for text in resumed]
    yield f"{count} machines lost; the others resumed at steps {', '.join(steps)}"


PARTS: dict[str, tuple[Callable[[pathlib.Path, int], Iterator[str]], int]] = {
    "sends": (sends, 30),
    "faults": (faults, 1),
    "kills": (kills, 5),
}


def _aws() -> dict[str, str]:
    """The environment that leads to the server; doors start with that of before."""
    return {k: v for k, v in os.environ.items() if k.startswith("AWS_")}


def _path() -> str:
    return os.pathsep.join(map(str, (runs.ROOT, runs.ROOT / "tests")))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", default=",".join(PARTS), help=", ".join(PARTS))
    parser.add_argument("--count", type=int, help="cases of each part, not its own")
    options = parser.parse_args()
    broken = False
    with tempfile.TemporaryDirectory(prefix="jaxseg-bucket-") as folder:
        place = pathlib.Path(folder)
        server = serve(place)
        try:
            for name in options.parts.split(","):
                part, count = PARTS[name]
                for line in part(place, options.count or count):
                    broken |= line.startswith("BROKEN")
                    print(f"{name}: {line}", flush=True)
        finally:
            server.terminate()
            server.wait()
    return int(broken)


if __name__ == "__main__":
    sys.exit(main())
