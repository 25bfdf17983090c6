"""Archives of others: what is plain is unpacked, whatever would leave the folder or blow up is refused whole."""

from __future__ import annotations

import io
import stat
import tarfile
import warnings
import zipfile

import pytest

from benchmarks import unpack as unpacking
from benchmarks.errors import MissingData
from benchmarks.unpack import unpack

FILES = {"set/images/a.jpg": b"a" * 1000, "set/masks/a.png": b"b" * 10, "readme.txt": b""}


def make_zip(path, members, links=(), folders=()):
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        warnings.simplefilter("ignore")  # of two members of one name
        for name in folders:
            file.writestr(name, b"")
        for name, content in members:
            info = zipfile.ZipInfo("x")
            info.filename = name  # as it is: the constructor would cut it at a NUL
            file.writestr(info, content, zipfile.ZIP_DEFLATED)
        for name, target in links:
            info = zipfile.ZipInfo(name)
            info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
            file.writestr(info, target)
    return path


def make_tar(path, members, mode="w", extra=()):
    with tarfile.open(path, mode) as file:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
        for name, kind, target in extra:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            file.addfile(info)
    return path


def tree(folder):
    return {f.relative_to(folder).as_posix(): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


@pytest.mark.parametrize("ending", ["zip", "tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_archives_are_unpacked(tmp_path, ending):
    path = tmp_path / f"set.{ending}"
    if ending == "zip":
        make_zip(path, FILES.items(), folders=("set/", "set/empty/"))
    else:
        make_tar(path, FILES.items(), f"w:{ending.removeprefix('tar').removeprefix('.')}", [("set/empty", tarfile.DIRTYPE, "")])
    found = unpack(path, tmp_path / "out" / "here")
    assert sorted(found) == sorted(FILES) and tree(tmp_path / "out" / "here") == FILES
    assert (tmp_path / "out" / "here" / "set" / "empty").is_dir()
    assert [f.name for f in (tmp_path / "out").iterdir()] == ["here"]


def test_archives_share_a_folder(tmp_path):
    unpack(make_zip(tmp_path / "a.zip", [("set/a", b"1"), ("same", b"old")]), tmp_path / "out")
    unpack(make_tar(tmp_path / "b.tar", [("set/b", b"2"), ("same", b"new")]), tmp_path / "out")
    assert tree(tmp_path / "out") == {"set/a": b"1", "set/b": b"2", "same": b"new"}


def test_what_macos_adds_is_left_out(tmp_path):
    path = make_zip(tmp_path / "a.zip", [("x/a.png", b"1"), ("__MACOSX/x/._a.png", b"2"), ("x/.DS_Store", b"3"), ("x/._b", b"4")])
    assert unpack(path, tmp_path / "out") == ["x/a.png"]


ESCAPES = ["../evil", "set/../../evil", "/tmp/evil", "..", "C:/evil", "\\evil", "set\\..\\..\\evil"]


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize("name", ESCAPES)
def test_no_path_leaves_the_folder(tmp_path, kind, name):
    make = {"zip": make_zip, "tar": make_tar}[kind]
    path = make(tmp_path / f"a.{kind}", [("good", b"1"), (name, b"evil")])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_bytes(b"kept")
    with pytest.raises(MissingData, match="nothing was unpacked"):
        unpack(path, tmp_path / "out")
    assert tree(tmp_path / "out") == {"mine": b"kept"}
    assert sorted(f.name for f in tmp_path.iterdir()) == [f"a.{kind}", "out"]


def test_zip_links_are_refused(tmp_path):
    path = make_zip(tmp_path / "a.zip", [("good", b"1")], links=[("link", "/etc/passwd")])
    with pytest.raises(MissingData, match="'link' is a link or a device"):
        unpack(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_tar_links_and_devices_are_refused(tmp_path, kind):
    path = make_tar(tmp_path / "a.tar", [("good", b"1")], extra=[("bad", kind, "../../etc/passwd")])
    with pytest.raises(MissingData, match="'bad' is a link, a device"):
        unpack(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_bombs_are_refused(tmp_path, kind, monkeypatch):
    monkeypatch.setattr(unpacking, "ALLOWANCE", 1 << 20)
    members = [(f"{k}", bytes(1 << 20)) for k in range(8)]
    path = make_zip(tmp_path / "a.zip", members) if kind == "zip" else make_tar(tmp_path / "a.tar.gz", members, "w:gz")
    assert path.stat().st_size < 20_000
    with pytest.raises(MissingData, match="unpacks to .*more than"):
        unpack(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert len(unpack(path, tmp_path / "out", limit=8 << 20)) == 8


def test_a_zip_that_understates_a_size_is_refused(tmp_path):
    """The size in the central directory decides what may be written; a member that goes on is damaged."""
    path = make_zip(tmp_path / "a.zip", [("a", bytes(100_000))])
    raw = path.read_bytes()
    path.write_bytes(raw.replace((100_000).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    with pytest.raises(MissingData, match="cannot be unpacked"):
        unpack(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_too_many_members_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(unpacking, "MEMBERS", 3)
    with pytest.raises(MissingData, match="more than 3 files"):
        unpack(make_zip(tmp_path / "a.zip", [(str(k), b"") for k in range(4)]), tmp_path / "out")


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_cut_archives_are_named(tmp_path, kind):
    members = [(str(k), bytes([k]) * 50_000) for k in range(5)]
    path = make_zip(tmp_path / "a.zip", members) if kind == "zip" else make_tar(tmp_path / "a.x", members, f"w:{kind[4:]}")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(MissingData, match=r"a\.(zip|x)"):
        unpack(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_damaged_members_are_named(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a", b"x" * 1000)
    path.write_bytes(path.read_bytes().replace(b"xxxx", b"yxxx", 1))
    with pytest.raises(MissingData, match="cannot be unpacked .*CRC.*; delete it and download it again"):
        unpack(path, tmp_path / "out")


def test_other_files_are_refused(tmp_path):
    (tmp_path / "a.rar").write_bytes(b"Rar!" + bytes(1000))
    with pytest.raises(MissingData, match="neither a zip nor a tar"):
        unpack(tmp_path / "a.rar", tmp_path / "out")
    with pytest.raises(MissingData, match="is not a file"):
        unpack(tmp_path / "none.zip", tmp_path / "out")
    with pytest.raises(MissingData, match="holds no files"):
        unpack(make_zip(tmp_path / "empty.zip", []), tmp_path / "out")


def test_names_that_clash_are_refused(tmp_path):
    with pytest.raises(MissingData, match="'a' is in it twice"):
        unpack(make_zip(tmp_path / "a.zip", [("a", b"1"), ("a", b"2")]), tmp_path / "out")
    with pytest.raises(MissingData, match="is a file and a folder at once"):
        unpack(make_zip(tmp_path / "b.zip", [("a", b"1"), ("a/b", b"2")]), tmp_path / "out")


def test_a_password_is_named(tmp_path):
    path = make_zip(tmp_path / "a.zip", [("a", b"1")])
    raw = bytearray(path.read_bytes())
    raw[6] |= 1
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(raw)
    with pytest.raises(MissingData, match="wants a password"):
        unpack(path, tmp_path / "out")


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize(
    "one, two",
    [("Imgs/a.jpg", "imgs/b.jpg"), ("a.PNG", "A.png"), ("é.png", "e\u0301.png"), ("ß.png", "SS.png")],
    ids=["folder", "file", "accent", "sharp s"],
)
def test_names_that_some_system_takes_for_one_are_refused_on_all(tmp_path, kind, one, two):
    """macOS and Windows would unpack one file where Linux unpacks two: the data would differ by machine."""
    make = {"zip": make_zip, "tar": make_tar}[kind]
    with pytest.raises(MissingData, match="are one file on some systems; nothing was unpacked"):
        unpack(make(tmp_path / f"a.{kind}", [(one, b"1"), (two, b"2")]), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize(
    "name", ["a\nb.png", "a\x1b[2Jb.png", "a\u202egnp.exe", "a\u200b.png", "a\x7f.png", "\ufeffa.png", "a\u2028b"]
)
def test_names_that_do_not_print_are_refused_in_a_line_that_does(tmp_path, kind, name):
    make = {"zip": make_zip, "tar": make_tar}[kind]
    with pytest.raises(MissingData, match="a character that no path here may have") as caught:
        unpack(make(tmp_path / f"a.{kind}", [("good", b"1"), (name, b"2")]), tmp_path / "out")
    assert str(caught.value).isprintable() and not (tmp_path / "out").exists()


def test_a_name_that_is_no_text_is_refused(tmp_path):
    """In a tar a name is bytes: what is no UTF-8 could be written, but in no record and on no terminal."""
    path = make_tar(tmp_path / "a.tar", [("a?.png", b"1")])
    raw = bytearray(path.read_bytes())
    raw[1] = 0xFF
    raw[148:156] = b" " * 8
    raw[148:156] = f"{sum(raw[:512]):06o}\0 ".encode()
    path.write_bytes(raw)
    with pytest.raises(MissingData, match="a character that no path here may have"):
        unpack(path, tmp_path / "out")
    path = make_zip(tmp_path / "a.zip", [("é.png", b"1")])
    path.write_bytes(path.read_bytes().replace("é".encode(), b"\xff\xfe"))
    with pytest.raises(MissingData, match="a.zip"):
        unpack(path, tmp_path / "out")


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize("name", ["x" * 300, "é" * 120, "a/" * 40 + "b", "a/" * 3000 + "b"])
def test_paths_without_end_are_refused(tmp_path, kind, name):
    make = {"zip": make_zip, "tar": make_tar}[kind]
    with pytest.raises(MissingData, match="is too long a path") as caught:
        unpack(make(tmp_path / f"a.{kind}", [(name, b"1")]), tmp_path / "out")
    assert len(str(caught.value)) < 1000 and not (tmp_path / "out").exists()


def test_folders_count_as_members_too(tmp_path, monkeypatch):
    monkeypatch.setattr(unpacking, "MEMBERS", 5)
    path = make_tar(tmp_path / "a.tar", [("good", b"1")], extra=[(f"{k}", tarfile.DIRTYPE, "") for k in range(9)])
    with pytest.raises(MissingData, match="more than 5 files"):
        unpack(path, tmp_path / "out")
    with pytest.raises(MissingData, match="more than 5 files"):
        unpack(make_zip(tmp_path / "a.zip", [], folders=[f"{k}/" for k in range(9)]), tmp_path / "out")


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.xz"])
def test_an_archive_in_an_archive_stays_a_file(tmp_path, kind):
    inner = make_zip(tmp_path / "inner.zip", [("../../evil", b"1")]).read_bytes()
    if kind == "zip":
        path = make_zip(tmp_path / "a.zip", [("inner.zip", inner)])
    else:
        path = make_tar(tmp_path / "a.tar", [("inner.zip", inner)], f"w:{kind[4:]}")
    assert unpack(path, tmp_path / "out") == ["inner.zip"] and tree(tmp_path / "out") == {"inner.zip": inner}


def test_overlapping_members_are_refused(tmp_path):
    """Many members of one content, a bomb without a high ratio: the sum of what they state counts."""
    path = make_zip(tmp_path / "a.zip", [("a", bytes(1000)), ("b", bytes(1000))])
    raw = bytearray(path.read_bytes())
    second = raw.index(b"PK\x01\x02", raw.index(b"PK\x01\x02") + 4)
    raw[second + 42 : second + 46] = bytes(4)  # where its content begins: at the first's
    path.write_bytes(raw)
    with pytest.raises(MissingData, match="cannot be unpacked"):
        unpack(path, tmp_path / "out")
    with pytest.raises(MissingData, match="unpacks to 2,000 bytes, more than 1,999"):
        unpack(path, tmp_path / "out", limit=1999)


def test_a_link_over_which_a_later_member_would_write_is_refused_first(tmp_path):
    path = make_tar(tmp_path / "a.tar", [], extra=[("x", tarfile.SYMTYPE, str(tmp_path))])
    with tarfile.open(path, "a") as file:
        info = tarfile.TarInfo("x/evil")
        info.size = 1
        file.addfile(info, io.BytesIO(b"1"))
    with pytest.raises(MissingData, match="'x' is a link"):
        unpack(path, tmp_path / "out")
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("member", ["set", "set/a"])
def test_a_link_that_lies_in_the_folder_is_named_and_not_followed(tmp_path, member):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "set").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(MissingData, match="out/set is in the way .*; move it away"):
        unpack(make_zip(tmp_path / "a.zip", [(member, b"1")]), tmp_path / "out")
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_every_damaged_byte_is_one_line_or_harmless(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    make_zip(path, FILES.items()) if kind == "zip" else make_tar(path, FILES.items(), f"w:{kind[4:]}")
    whole = path.read_bytes()
    for k in range(0, len(whole), max(1, len(whole) // 150)):
        data = bytearray(whole)
        data[k] ^= 0x55
        path.write_bytes(data)
        try:
            unpack(path, tmp_path / "out" / str(k))
        except MissingData as error:
            assert str(error).isprintable()
            assert not (tmp_path / "out" / str(k)).exists()


def test_a_full_disk_is_not_taken_for_a_damaged_archive(tmp_path, monkeypatch):
    import errno

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(unpacking, "_copy", full)
    with pytest.raises(OSError, match="No space left"):
        unpack(make_zip(tmp_path / "a.zip", [("a", b"1")]), tmp_path / "out")
    assert [f.name for f in tmp_path.iterdir()] == ["a.zip"]
