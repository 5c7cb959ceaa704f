"""Text files and names are UTF-8, or one sentence names the file and what it is."""

import codecs
import os
import pathlib

import pytest

from jaxseg.data.files import listing, paths, text
from jaxseg.errors import DataError

COLUMNS = ("stem", "split", "group")


def table(path, data):
    """(rows, problems) of bytes as a table."""
    path.write_bytes(data)
    problems = []
    return list(text.table(path, "stem", COLUMNS, problems)), problems


def row(stem, split="", group=""):
    return {"stem": stem, "split": split, "group": group}


UTF16 = "stem,split\na,test\n".encode("utf-16")
READ = {
    "plain": (b"stem,split,group\na,test,g\n", [(2, row("a", "test", "g"))]),
    "mark, CRLF": (
        codecs.BOM_UTF8 + b"stem,split\r\na,test\r\n",
        [(2, row("a", "test"))],
    ),
    "semicolons": (b"split;stem\ntest; a,b \n", [(2, row("a,b", "test"))]),
    "quotes": (b'stem,split\n"a\nb","x"\n', [(3, row("a\nb", "x"))]),
    "blank lines": (b"stem\n\n,\na\n \n", [(4, row("a"))]),
    "filled up": (
        b"stem,split,,\na,test,,\nb,,,,\n",
        [(2, row("a", "test")), (3, row("b"))],
    ),
    "short": (b"stem,split\na\n", [(2, row("a"))]),
    "UTF-8": ("stem\nMüller\n".encode(), [(2, row("Müller"))]),
}
REFUSED = {
    "cp1252": (
        "stem\na\nMüller\n".encode("cp1252"),
        "t.csv is not UTF-8: line 3 .*0xfc",
    ),
    "UTF-16": (UTF16, "t.csv is UTF-16, or no text"),
    "UTF-16 without mark": (UTF16[2:], "t.csv is UTF-16, or no text .it holds NUL"),
    "NUL": (b"stem\n\0\0\n", "t.csv is UTF-16, or no text"),
    "empty": (b"", r"t.csv: the columns are \[\], not stem, split, group"),
    "tabs": (b"stem\tsplit\na\ttest\n", r"columns are \['stem.tsplit'\], not"),
    "unknown": (b"stem,sex\n", r"columns are \['stem', 'sex'\], not stem, split"),
    "twice": (b"stem,split,split\na,train,test\n", "name split twice"),
    "open quote": (b'stem\n"a\nb\n', "t.csv line 3 is no CSV"),
}


@pytest.mark.parametrize("name", READ)
def test_tables(tmp_path, name):
    data, expected = READ[name]
    assert table(tmp_path / "t.csv", data) == (expected, [])


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_table(tmp_path, name):
    with pytest.raises(DataError, match=REFUSED[name][1]):
        table(tmp_path / "t.csv", REFUSED[name][0])


def test_cells_beyond_the_header(tmp_path):
    rows, problems = table(tmp_path / "t.csv", b"stem,split\na,train,test\nb,test\n")
    assert rows == [(3, row("b", "test"))]
    assert len(problems) == 1 and "t.csv line 2 has 3 cells, but the" in problems[0]


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "t.csv")
    with pytest.raises(DataError, match="t.csv is no regular file but a .*pipe"):
        text.read(tmp_path / "t.csv")


def test_names_are_utf8_in_every_locale(tmp_path):
    odd = pathlib.Path(os.fsdecode(os.fsencode(tmp_path) + b"/M\xfcller.png"))
    odd.touch()
    problems = []
    assert not listing.by_stem(listing.files(tmp_path), tmp_path, problems)
    assert len(problems) == 1
    problems[0].encode("ascii")  # can be printed anywhere
    assert r"M\xfcller: the name is not UTF-8; rename the file" in problems[0]
    assert paths.name(pathlib.Path("é")) == "é"


def test_a_name_that_this_locale_cannot_write(tmp_path):
    (tmp_path / "é.png").touch()
    assert paths.usable(tmp_path / "é.png") == ""
    ascii_only = pathlib.Path(f"{tmp_path}/\udcc3\udca9.png")  # as such a locale reads
    assert "é.png: this locale cannot write the name" in paths.usable(ascii_only)
    assert "gone.png: there is no such file" in paths.usable(tmp_path / "gone.png")


def test_what_systems_leave_behind_is_passed_over(tmp_path):
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "@eaDir").mkdir()
    names = ["._a.png", ".DS_Store", "Thumbs.db", "Desktop.ini", "Icon\r"]
    names += ["a.png:Zone.Identifier", "__MACOSX/b.png", "@eaDir/a.png", "a.png"]
    for name in names:
        (tmp_path / name).touch()
    assert listing.files(tmp_path) == [tmp_path / "a.png"]


def test_a_folder_that_cannot_be_listed(tmp_path, monkeypatch):
    (tmp_path / "closed").mkdir()
    scan = os.scandir

    def closed(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", closed)
    with pytest.raises(DataError, match="closed cannot be listed: Permission denied"):
        listing.files(tmp_path)


def test_the_fingerprint_names_what_cannot_be_read(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images/a.png").symlink_to("gone")
    with pytest.raises(DataError, match="a.png is a link to gone, which is not there"):
        listing.fingerprint(tmp_path, {})
    (tmp_path / "images/a.png").unlink()
    (tmp_path / "splits.csv").symlink_to("gone")
    with pytest.raises(DataError, match="splits.csv is a link to gone"):
        listing.fingerprint(tmp_path, {})
