"""The figures are those of the sources that the module names."""

import pytest

from data.dataset.cholec80 import SPLITS
from data.splits.overlaps import (
    find_public,
    identity,
    may_be_same_operation,
    overlaps,
    same_operation,
)

# Fold by fold, from dataloader_pth.py of CAMMA-public/cholect50.
CHOLECT50 = [
    *(79, 2, 51, 6, 25, 14, 66, 23, 50, 111, 80, 32, 5, 15, 40, 47, 26, 48, 70, 96),
    *(31, 57, 36, 18, 52, 68, 10, 8, 73, 103, 42, 29, 60, 27, 65, 75, 22, 49, 12, 110),
    *(78, 43, 62, 35, 74, 1, 56, 4, 13, 92),
]


def test_45_of_50_videos_of_cholect50_are_of_cholec80():
    cholec80 = [f"video{number:02d}" for number in range(1, 81)]
    cholect50 = [f"VID{number:02d}" for number in CHOLECT50]
    same, possible = overlaps(cholect50, cholec80)
    assert len(same) == 45
    assert "VID68 (video68)" in same
    assert possible == []
    assert {"VID92", "VID96", "VID103", "VID110", "VID111"} == {
        name for name in cholect50 if not any(line.startswith(f"{name} ") for line in same)
    }
    in_test = overlaps(SPLITS["40/8/32"]["test"], cholect50)[0]
    assert len(in_test) == 18  # 12 + 2 + 4 in the table of camma_dataset_overlaps


@pytest.mark.parametrize(
    ("video", "other", "same", "maybe"),
    [
        ("video68", "video68", True, False),
        ("video68", "VID68", True, False),
        ("Video68", "videos_VID68", True, False),
        ("video06", "VID68", False, False),
        ("VID110", "VID110", True, False),
        ("op1", "op1", True, False),
        ("op1", "VID01", False, False),
        ("our_video68", "VID68", False, False),  # anybody's name
        ("tool_video_03", "video67", False, True),
        ("train_dataset_tool_video_10", "VID73", False, True),
        ("tool_video_03", "video66", False, False),
        ("tool_video_11", "video66", False, True),
        ("tool_video_11", "video63", False, False),  # not in M2CAI16-tool
        ("workflow_video_01", "video77", False, True),
        ("test_workflow_video_01", "video73", False, True),
        ("workflow_video_01", "video76", False, False),
        ("workflow_video_01", "tool_video_03", False, True),
        ("workflow_video_01", "tool_video_11", False, False),
        ("workflow_video_01", "test_workflow_video_01", False, False),
        ("x_test_workflow_video_01", "test_workflow_video_01", True, False),
        ("x_workflow_video_01", "workflow_video_01", True, False),
    ],
)
def test_pairs(video, other, same, maybe):
    assert same_operation(video, other) == same_operation(other, video) == same
    assert may_be_same_operation(video, other) == may_be_same_operation(other, video) == maybe


@pytest.mark.parametrize("name", ["video00", "video81", "video100", "VID121", "tool_video_16", "1"])
def test_names_that_no_public_data_set_has(name):
    assert find_public(name) is None
    assert identity(name) == name


def test_overlaps_are_lines_to_print():
    seen = ["op1", "VID68", *(f"workflow_video_{n:02d}" for n in range(1, 28))]
    assert overlaps(["video01", "op1", "video68", "video80"], seen) == (
        ["op1", "video68 (VID68)"],
        [
            "video80 (one of workflow_video_01, workflow_video_02, workflow_video_03 and 24 more)",
        ],
    )
    assert overlaps(["video68"], ["VID68", "video68"]) == (["video68"], [])
    assert overlaps(["video68"], ["VID68", "Video68"]) == (["video68 (VID68, Video68)"], [])
    named = [f"workflow_video_{n:02d}" for n in (1, 2, 3)]
    assert overlaps(["video80"], named)[1] == [f"video80 (one of {', '.join(named)})"]
