"""What a result says of objects has its shape; another is refused by file and place."""

import copy

import pytest
from support import fake_objects, fake_run

from jaxseg.errors import DataError
from jaxseg.run_directory import files, schemas


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    root = fake_run.make(tmp_path_factory.mktemp("objects") / "run", epochs=1)
    fake_objects.add(root)
    return files.read(root / "eval/test.json", schemas.Result)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda o: o.pop("density"), "objects has no 'density'"),
        (lambda o: o.update(optimistic=0), "objects.optimistic holds a int, wants a b"),
        (lambda o: o.update(truth=None), "objects.truth holds a NoneType, wants a str"),
        (lambda o: o.update(unit="mm"), r"objects.unit is 'mm'; .*'um', 'px'"),
        (
            lambda o: o["metrics"][0].update(better="more"),
            r"objects.metrics\[0\].better is 'more'",
        ),
        (lambda o: o["metrics"][2].pop("low"), r"objects.metrics\[2\] has no 'low'"),
        (
            lambda o: o["sizes"].update(true=[1.5]),
            r"objects.sizes.true\[0\] holds a float, wants a int",
        ),
        (
            lambda o: o["by_threshold"].update(f1=["0.5"]),
            r"objects.by_threshold.f1\[0\] holds a str",
        ),
        (
            lambda o: o["neighbours"]["predicted"].pop("z"),
            "objects.neighbours.predicted has no 'z'",
        ),
        (lambda o: o["agreement"].pop("policy"), "objects.agreement has no 'policy'"),
        (
            lambda o: o["baselines"][1]["metrics"].update(object_aji="high"),
            r"objects.baselines\[1\].metrics.object_aji holds a str",
        ),
        (
            lambda o: o["density"]["undecided"].update(true=None),
            "objects.density.undecided.true holds a NoneType",
        ),
        (
            lambda o: o["worst"][0].update(picture=3),
            r"objects.worst\[0\].picture holds a int",
        ),
    ],
)
def test_another_shape_is_refused_by_place(result, tmp_path, change, message):
    result = copy.deepcopy(result)
    change(result["objects"])
    path = tmp_path / "test.json"
    with pytest.raises(DataError, match=f"test.json: {message}"):
        files.write(path, result, schemas.Result)
    assert not path.exists()


def test_what_is_undefined_is_none(result):
    result = copy.deepcopy(result)
    result["objects"]["metrics"][0].update(value=None, low=None, high=None)
    result["objects"]["density"]["true"]["frame"] = None
    result["objects"]["worst"][0].update(picture=None, f1_50=None)
    schemas.check(result, schemas.Result, "test.json")
