"""A comparison says whether runs were made by the same modules of the user's own."""

from jaxseg.report.comparison import claims


def unit(**sources):
    rows = {
        name: {"kind": kind, "sha256": digest}
        for name, (kind, digest) in sources.items()
    }
    return {"runs": [{"info": {"sources": rows}}]}


def told(*units):
    return [(claim["answer"], claim["text"]) for claim in claims.same_modules(units)]


def test_another_content_under_the_same_name_is_told():
    first = unit(model=("models", "a"), loss=("losses", "b"), mine=("recipe", "c"))
    second = unit(model=("models", "z"), loss=("losses", "b"), mine=("recipe", "d"))
    assert told(first, second) == [
        ("no", "The runs were NOT all made by the same `model`.")
    ]
    (answer, words), *more = told(first, first)
    assert answer == "yes" and "the same in all" in words and not more


def test_nothing_is_said_of_what_runs_do_not_share():
    assert told(unit(model=("models", "a")), unit(loss=("losses", "b"))) == []
    assert told(unit(mine=("recipe", "c")), unit(mine=("recipe", "d"))) == []
    assert told({"runs": [{"info": {}}]}) == []
