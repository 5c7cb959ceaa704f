"""The work of a preparation done in this process, where a test can see into it."""

from jaxseg.data.preparation import workers


def use(monkeypatch) -> None:
    """Replaces the worker processes by plain calls."""

    def in_order(function, items, **_):
        return map(function, items)

    monkeypatch.setattr(workers, "in_order", in_order)
