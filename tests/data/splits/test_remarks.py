import json

from data.dataset.audit import Audit
from data.splits.remarks import audit_patients, remark_shared


def test_the_audit_says_what_shares_of_frames_came_out(tmp_path):
    audit = Audit()
    for patient in range(10):
        for video in range(1 + patient % 2):
            audit.videos[f"Pat_{patient}_{video}"] = {"frames": 10}
    audit_patients(tmp_path, audit)
    (line,) = (line for line in audit.remarks if line.startswith("split 70/10/20 by video: "))
    assert "73 % train, 7 % validation, 20 % test of 150 frames" in line
    same = Audit()
    same.videos |= {f"op{n}": {"frames": n} for n in range(10)}
    audit_patients(tmp_path, same)
    assert same.remarks == [], "one video each: drawn by number, as ever"


def dataset(root, *videos, synthetic=False):
    for video in videos:
        (root / "frames" / video).mkdir(parents=True)
    audit = Audit(videos={video: {"frames": 1} for video in videos})
    audit.write(root / "audit.json")
    if synthetic:
        (root / "synthetic.json").write_text("{}")
    return root


def remarks(root):
    audit = Audit()
    remark_shared(root, audit)
    assert audit.problems == []
    return audit.remarks + audit.neighbours


def test_data_sets_beside_one_another_are_compared(tmp_path):
    cholec80 = dataset(tmp_path / "cholec80", "video68", "video69", "video77")
    other = dataset(tmp_path / "t50", "VID68", "VID92")
    workflow = dataset(tmp_path / "workflow", "workflow_video_05")
    ours = dataset(tmp_path / "ours", "op1")
    dataset(tmp_path / "demo", "video68", synthetic=True)
    advice = "do not pre-train on one and test on the other"
    assert remarks(cholec80) == [
        f"{other}: shares recordings with cholec80; {advice}: video68 (VID68)",
        f"{workflow}: may share recordings with cholec80; {advice}: "
        "video77 (one of workflow_video_05)",
    ]
    assert remarks(ours) == remarks(tmp_path / "demo") == []


def test_a_recording_that_is_twice_in_a_data_set_and_a_damaged_neighbour(tmp_path):
    root = dataset(tmp_path / "all", "video68", "VID68", "video01")
    (dataset(tmp_path / "bad", "op1") / "audit.json").write_text(json.dumps([1]))
    twice, damaged = remarks(root)
    assert twice == f"{root}: the same recordings as others in it: video68 (VID68)"
    assert str(tmp_path / "bad" / "audit.json") in damaged


def test_names_that_only_spelling_tells_apart_are_said(tmp_path):
    ours = dataset(tmp_path / "ours", "Video 4", "video_05", "op1")
    public = dataset(tmp_path / "cholec80", "video04", "video05", "video06")
    dataset(tmp_path / "demo", "video04", synthetic=True)
    (line,) = remarks(ours)
    assert line.startswith(f"2 videos may be one with videos in {public}, spelt otherwise: ")
    assert "'Video 4' and 'video04'" in line
    (line,) = remarks(public)
    assert f"with videos in {ours}" in line, "from the other side, too"
    both = dataset(tmp_path / "elsewhere" / "both", "Video 4", "video04", "VIDEO05", "video05")
    twice, spelt = remarks(both)
    assert twice == f"{both}: the same recordings as others in it: video05 (VIDEO05)"
    assert spelt.startswith(f"1 video may be one operation with others in {both}")


def test_a_drawn_split_says_which_of_its_parts_have_names_alike(tmp_path):
    audit = Audit()
    for number in range(5):
        for video in (f"lap{number}", f"lap_{number:02d}"):
            audit.videos[video] = {"frames": 10}
    audit_patients(tmp_path, audit)
    lines = [line for line in audit.remarks if "spelt otherwise" in line]
    assert lines and all(line.startswith("split 70/10/20 by video: ") for line in lines)
