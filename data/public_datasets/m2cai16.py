r"""M2CAI16-workflow: 41 cholecystectomies of Strasbourg and Munich, eight phases.

    train_dataset/workflow_video_01.mp4, ... 27       25 fps
    train_dataset/workflow_video_01.txt               Frame<TAB>Phase, a row per frame from 0
    train_dataset/workflow_video_01_timestamp.txt     not used
    test_dataset/test_workflow_video_01.mp4, ... 14   and .txt as above

As read by github.com/Cadene/torchnet-m2caiworkflow (src/main/data/02_create_datasets.py: names,
columns, the names of the phases) and github.com/isyangshu/SurgVISTA (datasets/data_processing/
finetune_preprosses/generate_pkl_m2cai16.py). The split is the challenge's, which has no validation
videos.
"""

from pathlib import Path

from data.annotation_formats.delimited import read_text
from data.dataset.audit import Audit
from data.dataset.cholec80 import PHASES
from data.public_datasets.layout import Found, Rows, matching

TRAIN = tuple(f"workflow_video_{number:02d}" for number in range(1, 28))
TEST = tuple(f"test_workflow_video_{number:02d}" for number in range(1, 15))


def find_m2cai16(folder: Path) -> Found:
    """M2CAI16-workflow below a folder; raises `InputError` where it is not."""
    name = r"((?:test_)?workflow_video_\d\d)"
    videos, texts = matching(folder, "workflow_video_01.mp4", rf"{name}\.mp4", rf"{name}\.txt")
    return Found(
        ("TrocarPlacement", *PHASES),
        {f"{video}.csv": _rows(file) for video, file in texts.items()},
        videos=videos,
        protocols={"27/14": {"train": TRAIN, "validation": (), "test": TEST}},
    )


def _rows(file: Path) -> Rows:
    return (line.split("\t") for line in read_text(file, Audit()).split("\n"))
