"""Files of PyTorch's are read without it; a file that would run something is not."""

import io
import os
import pathlib
import pickle
import sys
import tracemalloc
import zipfile

import numpy as np
import pytest

from jaxseg.errors import DataError
from jaxseg.weights import torch_files

GOLDEN = pathlib.Path(__file__).parents[1] / "support" / "golden"
KINDS = ["zip", "legacy"]
FLOATS = np.arange(4, dtype="<f4")
seen = []  # what Python was asked to do while `watched`; hooks cannot be taken back


def _hook(event, arguments):
    if seen and event.split(".")[0] in ("os", "subprocess", "exec", "import", "socket"):
        seen.append((event, arguments))


sys.addaudithook(_hook)


def legacy(content: bytes, keys=("0",), storages=(FLOATS,)) -> bytes:
    """A file in the old layout whose third pickle is `content`."""
    start = [torch_files.LEGACY, pickle.dumps(1001, 2)]
    start += [pickle.dumps({"little_endian": True}, 2), content]
    start += [pickle.dumps(list(keys), 2)]
    bits = [len(s).to_bytes(8, "little") + s.tobytes() for s in storages]
    return b"".join([*start, *bits])


def zipped(content: bytes) -> bytes:
    """A zip archive whose data.pkl is `content`."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", content)
        archive.writestr("archive/data/0", FLOATS.tobytes())
    return file.getvalue()


def tensor(shape, strides, offset=0) -> bytes:
    """A pickle of {"a": a tensor in storage "0"}."""

    def push(value):
        return pickle.dumps(value, 2)[2:-1]  # without its start and its end

    kind = b"(" + push("storage") + b"ctorch\nFloatStorage\n"
    kind += push("0") + push("cpu") + push(len(FLOATS)) + b"tQ"
    call = b"ctorch._utils\n_rebuild_tensor_v2\n(" + kind
    call += push(offset) + push(shape) + push(strides) + push(False) + push({}) + b"tR"
    return b"\x80\x02}" + push("a") + call + b"s."


@pytest.fixture
def read(tmp_path):
    def read_bytes(content: bytes):
        (tmp_path / "file.pt").write_bytes(content)
        return torch_files.read(tmp_path / "file.pt")

    return read_bytes


@pytest.mark.parametrize("kind", KINDS)
def test_tensors_of_every_kind_are_what_torch_says(kind):
    got = torch_files.read(GOLDEN / f"torch_{kind}.pt")
    with np.load(GOLDEN / "torch.npz") as want:
        assert list(got) == list(want)
        for name in want:
            assert got[name].dtype == want[name].dtype, name
            np.testing.assert_array_equal(got[name], want[name], err_msg=name)
    assert np.shares_memory(got["base"], got["transposed"])
    assert not got["base"].flags.writeable


@pytest.mark.parametrize("kind", KINDS)
def test_what_stands_beside_the_tensors_is_kept(kind):
    got = torch_files.read(GOLDEN / f"torch_{kind}_nested.pt")
    assert got["epoch"] == 3 and got["size"] == [2]
    assert got["state_dict"]["num_batches_tracked"] == 0


class Attack:
    """Pickles as a call of os.system."""

    def __init__(self, sentinel):
        self.sentinel = sentinel

    def __reduce__(self):
        return os.system, (f"touch {self.sentinel}",)


ATTACKS = {
    "eval": b"cbuiltins\neval\n(S'1'\ntR.",
    "import": b"(S'os'\ni__builtin__\n__import__\n.",
    "by way of a known module": b"ctorch._utils\nos.system\n(S'true'\ntR.",
    "by way of a known name": b"\x80\x04\x8c\x0bcollections\x8c\x14"
    b"OrderedDict.__init__\x93.",
    "torch.load": b"ctorch\nload\n(S'x'\ntR.",
    "a class of its own": b"cargparse\nNamespace\n)\x81.",
}


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("pack", [zipped, legacy, lambda content: content])
def test_a_file_that_would_run_a_command_is_refused(pack, protocol, read, tmp_path):
    sentinel = tmp_path / "run"
    content = pickle.dumps({"weight": Attack(sentinel)}, protocol)
    packed = pack(content)
    seen.append("watched")
    try:
        with pytest.raises(DataError, match=r"asks to call \w+\.system.*nothing of it"):
            read(packed)
        asked = [event for event, _ in seen[1:] if event != "import"]
    finally:
        seen.clear()
    assert asked == [] and not sentinel.exists()
    pickle.loads(content)["weight"]  # without the reader it does run
    assert sentinel.exists()


@pytest.mark.parametrize("name", ATTACKS)
def test_no_name_outside_the_list_is_found(name, read):
    for pack in (zipped, legacy):
        with pytest.raises(DataError, match="asks to call"):
            read(pack(ATTACKS[name]))


def test_a_pickle_cannot_change_the_reader_for_the_next_file(read):
    """BUILD sets attributes of whatever lies on the stack: here of a function."""
    poison = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n" + (
        pickle.dumps((None, {"__defaults__": (1, 2, 3, 4)}), 2)[2:-1] + b"b."
    )
    with pytest.raises(DataError, match="sets attributes of what has none"):
        read(legacy(poison, keys=(), storages=()))
    call = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R."
    with pytest.raises(DataError, match="missing 4 required"):
        read(legacy(call))


def test_windows_lie_within_their_storage(read):
    for pack in (zipped, legacy):
        got = read(pack(tensor((2, 2), (1, 2))))["a"]
        np.testing.assert_array_equal(got, FLOATS.reshape(2, 2).T)
        np.testing.assert_array_equal(read(pack(tensor((), (), 3)))["a"], 3.0)
    for shape, strides, offset in [
        ((5,), (1,), 0),
        ((2,), (1,), 3),
        ((2,), (-1,), 1),
        ((2,), (1,), -1),
        ((1 << 40,), (0,), 0),
        ((2, 2), (1,), 0),
    ]:
        with pytest.raises(DataError, match="a tensor of shape"):
            read(legacy(tensor(shape, strides, offset)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_cut_short_is_refused_wherever_it_is_cut(kind, read):
    content = (GOLDEN / f"torch_{kind}.pt").read_bytes()
    for length in [*range(0, len(content), 97), len(content) - 1]:
        with pytest.raises(DataError, match="damaged or is no file of PyTorch's"):
            read(content[:length])


def test_a_flipped_bit_in_an_archive_is_refused(read):
    content = bytearray((GOLDEN / "torch_zip.pt").read_bytes())
    with zipfile.ZipFile(GOLDEN / "torch_zip.pt") as archive:
        where = content.index(archive.read("torch_zip/data/1"))
    content[where] ^= 1
    with pytest.raises(DataError, match="CRC"):
        read(bytes(content))


def test_lists_that_grow_when_written_out_are_read_in_no_time(read):
    value = [0]
    for _ in range(60):
        value = [value] * 10
    got = read(legacy(pickle.dumps(value, 2), keys=(), storages=()))
    assert got[0] is got[9]


def test_content_that_holds_itself_is_refused(read):
    value = []
    value.append(value)
    with pytest.raises(DataError, match="RecursionError"):
        read(legacy(pickle.dumps(value, 2), keys=(), storages=()))


def _nested(deep: int) -> bytes:
    """A tuple in a tuple, each twice: 2^deep of them to a reader that follows all."""
    return b"\x80\x02)" + b"2\x86" * deep


FUNCTION = b"ccollections\nOrderedDict\n"
BOMBS = {  # each of a few bytes, or of a few thousand
    "an index of the memo that is far off": (b"\x80\x02Nr\xff\xff\xff\x7f.", None),
    "a text of 4 GiB": (b"\x80\x02X\xff\xff\xff\xff.", "damaged"),
    "a text of 2^60 bytes": (b"\x80\x04\x8d" + b"\0" * 7 + b"\x10.", "damaged"),
    "bytes of 2^60": (b"\x80\x04\x8e" + b"\0" * 7 + b"\x10.", "damaged"),
    "a bytearray of 2^60": (b"\x80\x05\x96" + b"\0" * 7 + b"\x10.", "damaged"),
    "a frame of 2^60": (b"\x80\x04\x95" + b"\0" * 7 + b"\x10N.", "damaged"),
    "a number of a million digits": (b"L" + b"9" * 1_000_000 + b"L\n.", "damaged"),
    "a key that takes for ever to hash": (
        b"\x80\x02}" + _nested(80)[2:] + b"Ns.",
        "a key of a dict is a tuple",
    ),
    "items whose key takes for ever": (
        FUNCTION + b"]" + _nested(80)[2:] + b"N\x86a\x85R.",
        "a key of a dict is a tuple",
    ),
    "the same items a thousand times": (
        b"\x80\x02](" + b"K\x01K\x02\x86" * 2000 + b"eq\x000]"
        b"" + (FUNCTION + b"h\x00\x85Ra") * 2000 + b".",
        "copies more than it holds",
    ),
    "a set": (b"\x80\x04\x8f.", "damaged"),
    "a size of a thousand axes": (
        b"\x80\x02ctorch\nSize\n](" + b"K\x01" * 1000 + b"e\x85R.",
        "a size of 1000 axes",
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_pickle_builds_no_more_than_it_holds(name, read):
    content, words = BOMBS[name]
    tracemalloc.start()
    try:
        for packed in (legacy(content, keys=(), storages=()), zipped(content)):
            if words is None:
                read(packed)
            else:
                with pytest.raises(DataError, match=words):
                    read(packed)
        assert tracemalloc.get_traced_memory()[1] < 2**25
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", ["V99999999", "f4," * 1000, "O", "f4", None, 3])
def test_a_kind_of_numbers_is_one_that_is_known(kind, read):
    def push(value):
        return pickle.dumps(value, 2)[2:-1]

    known = kind == "f4"
    stored = b"(" + push("storage") + push(kind) + push("0") + push("cpu") + push(4)
    call = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(" + stored + b"tQ"
    content = call + push(0) + push((4,)) + push((1,)) + push(False) + push({}) + b"tR."
    if known:
        np.testing.assert_array_equal(read(legacy(content)), FLOATS)
        return
    with pytest.raises(DataError, match="a storage of 4 numbers of kind"):
        read(legacy(content))


def test_many_windows_on_few_numbers_are_refused(read, monkeypatch):
    monkeypatch.setattr(torch_files, "_TO_SPARE", 0)
    start, end = len(b"\x80\x02}" + pickle.dumps("a", 2)[2:-1]), len(b"s.")
    window = tensor((4,), (1,))[start:-end]
    assert len(read(legacy(b"\x80\x02](" + window * 16 + b"e."))) == 16
    with pytest.raises(DataError, match="windows on the same few numbers"):
        read(legacy(b"\x80\x02](" + window * 17 + b"e."))


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
@pytest.mark.parametrize("large", ["a/data.pkl", "a/data/0"])
def test_an_archive_inflates_to_no_more_than_weights_can(method, large, read):
    members = {"a/data.pkl": tensor((4,), (1,)), "a/data/0": FLOATS.tobytes()}
    members[large] += bytes(2**25)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="would inflate to 33,554,|unusual method"):
            read(file.getvalue())
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()


def test_an_archive_that_points_before_its_start_is_refused(read):
    content = bytearray(zipped(tensor((4,), (1,))))
    end = content.rindex(b"PK\x05\x06")  # of the archive: where its directory begins
    content[end + 16 : end + 20] = (60_000).to_bytes(4, "little")
    with pytest.raises(DataError, match="damaged or is no file of PyTorch's"):
        read(bytes(content))


def test_an_archive_that_was_compressed_is_read(read):
    members = {"a/data.pkl": tensor((4,), (1,)), "a/data/0": FLOATS.tobytes()}
    for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", method) as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        if method == zipfile.ZIP_DEFLATED:
            np.testing.assert_array_equal(read(file.getvalue())["a"], FLOATS)
        else:
            with pytest.raises(DataError, match="compressed by an unusual method"):
                read(file.getvalue())
