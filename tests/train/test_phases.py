"""What a user is told before the first step, and what is left alone meanwhile."""

import gc

import pytest

from jaxseg.train import phases


@pytest.mark.parametrize("words", [phases.BEGINNING, phases.COMPILING])
def test_no_garbage_is_collected_where_something_is_traced(words, caplog):
    with caplog.at_level("INFO"):
        with phases.phase(words):
            assert not gc.isenabled()
        assert gc.isenabled()
        with pytest.raises(ValueError), phases.phase(words):
            raise ValueError
        assert gc.isenabled()
    assert f"{words} ..." in caplog.text and ": 0.0 s" in caplog.text


def test_it_is_collected_where_data_is_read():
    with phases.phase("reading the data"):
        assert gc.isenabled()
