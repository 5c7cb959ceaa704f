"""Unpickles what PyTorch writes: nothing is imported, called or inflated.

The instructions of a pickle that PyTorch uses are known here and all others refused, as
are all names but those given. Everything that is built is bounded by the length of the
pickle, which `pickle.Unpickler` does not see to: an index of the memo, the length of a
text or of a bytearray makes it allocate what the file merely declares; and a key that
holds a tuple in a tuple, sixty deep, takes longer to hash than anybody waits.
"""

import codecs
import io
import pickle
from collections.abc import Callable, Iterable
from typing import Any

_OPCODES = (
    "PROTO FRAME STOP MARK POP POP_MARK DUP NONE NEWTRUE NEWFALSE INT BININT BININT1 "
    "BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING UNICODE "
    "BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8 "
    "EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST LIST APPEND APPENDS EMPTY_DICT "
    "DICT SETITEM SETITEMS GET BINGET LONG_BINGET PUT BINPUT LONG_BINPUT MEMOIZE "
    "GLOBAL STACK_GLOBAL INST REDUCE BUILD BINPERSID"
).split()
codecs.lookup("raw-unicode-escape")  # Python imports it when it is first used
_KEYS = (str, int, float, bool, type(None))


class Refused(Exception):
    """A name that is not among the known ones."""


class Dict(dict):
    """An ordered dict whose attributes (versions of modules) are dropped."""


class _Whole(io.BytesIO):
    """Bytes of which none may be missing where some are asked for."""

    def read(self, size: int = -1) -> bytes:
        """Exactly `size` bytes; EOFError where there are fewer."""
        content = super().read(size)
        if len(content) < size:
            raise EOFError("it ends too early")
        return content

    def readline(self, size: int = -1) -> bytes:
        """A line with its end; EOFError where that is missing."""
        line = super().readline(size)
        if not line.endswith(b"\n"):
            raise EOFError("it ends too early")
        return line


class Unpickler(pickle._Unpickler):  # the one in Python: its instructions can be chosen
    """Finds no class or function but those in `names`; notes each storage asked for.

    `storage` turns a persistent id into what stands for it. After `load`, `used` is how
    many bytes of `content` the pickle had.
    """

    def __init__(
        self,
        content: bytes,
        names: dict[tuple[str, str], Any],
        storage: Callable[[Any], Any],
    ):
        self.content = _Whole(content)
        super().__init__(self.content, encoding="utf-8")
        self.names, self.storage = names, storage

    @property
    def used(self) -> int:
        return self.content.tell()

    def find_class(self, module: str, name: str) -> Any:
        """What the name means here; Refused for every other name."""
        if (module, name) not in self.names:
            raise Refused(f"{module}.{name}")
        return self.names[module, name]

    def persistent_load(self, pid: Any) -> Any:
        """What stands for a storage."""
        return self.storage(pid)

    def load_build(self) -> None:
        """Drops the attributes of a dict; nothing else gets any."""
        self.stack.pop()
        if not isinstance(self.stack[-1], Dict):
            raise ValueError("it sets attributes of what has none")

    def load_setitem(self) -> None:
        """Puts one item into the dict on the stack."""
        value, key = self.stack.pop(), self.stack.pop()
        put(self.stack[-1], [(key, value)])

    def load_setitems(self) -> None:
        """Puts the items since the mark into the dict on the stack."""
        items = self.pop_mark()
        put(self.stack[-1], zip(items[::2], items[1::2], strict=True))

    def load_dict(self) -> None:
        """Makes a dict of the items since the mark."""
        items, out = self.pop_mark(), {}
        put(out, zip(items[::2], items[1::2], strict=True))
        self.append(out)

    dispatch = {
        getattr(pickle, name)[0]: pickle._Unpickler.dispatch[getattr(pickle, name)[0]]
        for name in _OPCODES
    }
    dispatch[pickle.BUILD[0]] = load_build
    dispatch[pickle.SETITEM[0]] = load_setitem
    dispatch[pickle.SETITEMS[0]] = load_setitems
    dispatch[pickle.DICT[0]] = load_dict


def put(into: Any, items: Iterable[tuple[Any, Any]]) -> None:
    """Puts items into a dict; ValueError for a key that is no text and no number."""
    if not isinstance(into, dict):
        raise ValueError("it puts items into what is no dict")
    for key, value in items:
        if not isinstance(key, _KEYS):
            raise ValueError(f"a key of a dict is a {type(key).__name__}")
        into[key] = value
