"""A sweep ends with a table of its scores, their mean and standard deviation."""

import json

from support import fake_run

from jaxseg.sweep import score_table


def _member(place, value):
    fake_run.make(place, epochs=2)
    path = place / "eval" / "test.json"
    result = json.loads(path.read_text())
    for row in result["metrics"]:
        if row["name"] == "dice_pooled":
            row["value"] = value
    path.write_text(json.dumps(result))


def test_every_member_has_a_row_and_the_last_is_their_mean(tmp_path):
    _member(tmp_path / "a", 0.5)
    _member(tmp_path / "longer", 0.7)
    head, columns, first, second, mean = score_table.lines(["a", "longer"], tmp_path)
    assert "test" in head and "operating point" in head
    where = columns.index("test dice_pooled")
    assert first.startswith("a ") and first[where:].startswith("0.5000")
    assert second.startswith("longer ") and second[where:].startswith("0.7000")
    assert mean.startswith("mean") and "0.6000 ± 0.1414" in mean[where:]


def test_an_undefined_score_is_told_and_counts_in_no_mean(tmp_path):
    _member(tmp_path / "a", None)
    _member(tmp_path / "b", 0.7)
    _, columns, first, _, mean = score_table.lines(["a", "b"], tmp_path)
    where = columns.index("test dice_pooled")
    assert first[where:].startswith("n/a") and mean[where:].startswith("0.7000 ")
