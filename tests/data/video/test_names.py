"""The names of videos, by their files and folders."""

from data.video.names import KnownNames, content_digest, name_videos, sources_of
from tests.support.small_videos import (
    write_video,
)


def test_names_come_from_folders_where_stems_are_not_enough(tmp_path):
    files = [tmp_path / "x.mp4", tmp_path / "case 1" / "left.avi", tmp_path / "case 2" / "left.avi"]
    files += [tmp_path / side / "case 3" / "right.avi" for side in "ab"]
    files += [tmp_path / "case 3" / "y.avi"]
    names = ["x", "case 1_left", "case 2_left", "a_case 3_right", "b_case 3_right", "y"]
    for folder in (tmp_path, tmp_path.parent):
        remarks = []
        assert list(name_videos(folder, files, remarks)) == names
        assert len(remarks) == 4
        assert remarks[0] == f"{files[1]}: named case 1_left, as other videos are called left"
    assert list(name_videos(files[5].parent, files[5:], [])) == ["y"]


def test_a_name_that_is_known_stays_and_nobody_else_gets_it(tmp_path):
    files = [write_video(tmp_path / name / "left.mp4", frames=5) for name in ("a", "b")]
    known = KnownNames({sources_of(files[1])[0]: "left"}, {}, frozenset({"left", "gone"}))
    assert name_videos(tmp_path, files, [], known) == {"left": files[1], "a_left": files[0]}
    (tmp_path / "c").mkdir()
    new = write_video(tmp_path / "c" / "gone.mp4", frames=5)
    assert name_videos(tmp_path, [new], [], known) == {"c_gone": new}
    size, content = new.stat().st_size, content_digest(new)
    for name in ("gone", "c_gone"):  # of a moved file; as earlier versions named it
        for noted in (content, None):
            moved = KnownNames({}, {(name, size): noted}, frozenset({name}))
            assert name_videos(tmp_path, [new], [], moved) == {name: new}
    other = KnownNames({}, {("gone", size): "another"}, frozenset({"gone"}))
    assert name_videos(tmp_path, [new], [], other) == {"c_gone": new}


def test_names_that_would_be_one_are_kept_apart_and_said(tmp_path):
    names = ("a/b.mp4", "b.mp4", "a_b.mp4", "a_b.mkv", "a_b_mkv.avi", "op.avi", "op.mkv")
    remarks = []
    files = [tmp_path / name for name in names]
    assert list(name_videos(tmp_path, files, remarks)) == [
        *("a_b", f"{tmp_path.name}_b", "a_b_mp4", "a_b_2", "a_b_mkv", "op", "op_mkv")
    ]
    assert len(remarks) == 5
    assert remarks[4] == f"{files[6]}: named op_mkv, as op is {files[5]}"


def test_a_file_is_said_to_have_one_name(tmp_path):
    """Of two of one stem in a folder, where a third is called so elsewhere."""
    files = [tmp_path / name for name in ("a/op.avi", "a/op.mp4", "b/op.mp4")]
    remarks = []
    found = name_videos(tmp_path, files, remarks)
    assert list(found) == ["a_op", "a_op_mp4", "b_op"]
    said = dict(line.split(": named ") for line in remarks)
    assert len(said) == len(remarks) == 3
    for name, file in found.items():
        assert said[str(file)].startswith(f"{name}, as ")
