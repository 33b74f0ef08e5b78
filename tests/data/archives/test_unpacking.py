"""Members of an archive that would be written outside of the target."""

import io
import tarfile
import zipfile

import pytest

from data.archives.unpack_tar import unpack
from data.archives.unpack_zip import unpack_zip
from data.archives.unpacking import is_zip
from data.common.errors import InputError
from data.public_datasets.layout import matching
from tests.support.archives import FILES, check_unpacked, make_tar, names, one_line
from tests.support.forked_commands import call

FOLDER = {"type": tarfile.DIRTYPE}


def link(to, kind=tarfile.SYMTYPE):
    return {"type": kind, "linkname": to}


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"../evil": b"x"}, "leads out"),
        ({"videos/../../evil": b"x"}, "leads out"),
        ({"videos/../evil": b"x"}, "leads out"),
        ({"cholec80/../../evil": b"x"}, "leads out"),
        ({"/evil": b"x"}, "leads out"),
        ({"{target}/evil": b"x"}, "leads out"),
        ({"..": b"x"}, "leads out"),
        ({"cholec80": b"x"}, "leads out"),
        ({".": b"x"}, "leads out"),
        ({"../evil": FOLDER}, "leads out"),
        ({"link": link(".."), "link/evil": b"x"}, "neither a file nor a folder"),
        ({"link": link("videos")}, "neither a file nor a folder"),
        ({"a": b"x", "link": link("a", tarfile.LNKTYPE)}, "neither a file nor a folder"),
        ({"link": link("../secret", tarfile.LNKTYPE)}, "neither a file nor a folder"),
        ({"pipe": {"type": tarfile.FIFOTYPE}}, "neither a file nor a folder"),
        ({"disk": {"type": tarfile.BLKTYPE, "devmajor": 8}}, "neither a file nor a folder"),
        ({"null": {"type": tarfile.CHRTYPE, "devmajor": 1}}, "neither a file nor a folder"),
        ({"nul": {"pax_headers": {"path": "nul\0byte"}}}, "embedded null"),
        ({"a": b"x", "./a": b"y"}, "twice"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_malicious_members_are_refused(tmp_path, members, reason):
    target = tmp_path / "out" / "cholec80"
    members = {name.format(target=target): content for name, content in members.items()}
    (tmp_path / "secret").write_bytes(b"secret")
    archive = make_tar(tmp_path / "a.tar", members)
    with pytest.raises(InputError) as error:
        unpack(archive, target)
    assert one_line(error, archive, reason)
    before = {"out/cholec80/a"} if "a" in members else set()  # the good file before the bad one
    there = {path for path in tmp_path.rglob("*") if path not in (target, target.parent)}
    assert {str(path.relative_to(tmp_path)) for path in there} == {"a.tar", "secret", *before}
    assert (tmp_path / "secret").read_bytes() == b"secret"


def test_links_from_earlier_times_are_not_followed(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_bytes(b"before")
    target = tmp_path / "cholec80"
    target.mkdir()
    (target / "videos").symlink_to(outside)
    (target / "file").symlink_to(outside / "kept")
    (target / ".part-file").symlink_to(outside / "kept")
    for members in ({"videos/evil": b"x"}, {"videos/sub": {"type": tarfile.DIRTYPE}}):
        with pytest.raises(InputError, match="leads out of"):
            unpack(make_tar(tmp_path / "a.tar", members), target)
    unpack(make_tar(tmp_path / "a.tar", {"file": b"after!"}), target)  # as long as "before"
    assert names(outside) == ["kept"]
    assert (outside / "kept").read_bytes() == b"before"
    assert (target / "file").read_bytes() == b"after!"
    assert not (target / "file").is_symlink()


def test_a_target_that_is_a_link_itself_is_the_users_choice(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "cholec80").symlink_to(tmp_path / "disk")
    unpack(make_tar(tmp_path / "a.tar", FILES), tmp_path / "cholec80")
    check_unpacked(tmp_path / "disk", FILES)


INNER = io.BytesIO()
with zipfile.ZipFile(INNER, "w") as opened:
    opened.writestr("images/1.png", b"inner")


@pytest.mark.parametrize(
    ("begin", "said"),
    [
        (b"PK\x03\x04" + bytes(1000), "a zip archive that is cut off or damaged"),
        (b"(\xb5/\xfd" + bytes(1000), "compressed by Zstandard"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(1000), "a 7z archive"),
        (b"Rar!\x1a\x07" + bytes(1000), "a RAR archive"),
        (b"\n<html><body>Please log in", "a web page"),
    ],
)
def test_what_is_no_archive_that_is_read_is_called_by_its_kind(tmp_path, begin, said):
    archive = tmp_path / "images.tar.gz"
    archive.write_bytes(begin)
    words = (f"--data_rootdir={tmp_path}/data", "--dataset=kvasir_seg", f"--archive={archive}")
    done = call("prepare.py", *words)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {archive}: {said}")
    assert ".tar.bz2, .tar.xz, or the folder with what is in it" in line


@pytest.mark.parametrize("name", ["images.tar", "PK.tar"])
def test_a_tar_archive_that_ends_with_a_zip_is_a_tar_archive(tmp_path, name):
    archive = make_tar(tmp_path / name, {"PK/a.png": b"a", "images.zip": INNER.getvalue()})
    assert not is_zip(archive)
    unpack(archive, tmp_path / "out")
    assert names(tmp_path / "out") == ["PK/a.png", "images.zip"]
    with pytest.raises(InputError, match=r"it holds images\.zip: unpack that first"):
        matching(tmp_path / "out", "images/1.png", r"images/(\d+)\.png")


def test_an_encrypted_zip_is_called_so_before_anything_is_written(tmp_path):
    content = bytearray(INNER.getvalue())
    for header in (b"PK\x03\x04", b"PK\x01\x02"):
        content[content.index(header) + (6 if header.endswith(b"\4") else 8)] |= 1
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.zip: encrypted; expected .* without a password"):
        unpack_zip(tmp_path / "a.zip", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_tar_archives_of_windows_have_folders(tmp_path):
    unpack(make_tar(tmp_path / "a.tar", {"images\\1.png": b"a"}), tmp_path / "out")
    assert names(tmp_path / "out") == ["images/1.png"]
    with pytest.raises(InputError, match="leads out of"):
        unpack(make_tar(tmp_path / "b.tar", {"..\\1.png": b"a"}), tmp_path / "out")
