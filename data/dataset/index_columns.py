"""The file of a frame index: one row per frame of a dataset, the one table that every loader reads.

`index.parquet` has the columns video, frame (the number NNNNNN in the file's name, counted from 1;
one more where a video's names count from 0), phase (-1 unknown), one per tool or other name of a
multi-label group (1, 0, -1 unknown), file (relative to the dataset directory) and template: `file`
with the number left open, "frames/video68/video68_{0:06d}.jpg", or {1:06d} where it is one less
than the frame. There are few templates, so that an index of millions of frames fits into memory
without a string per frame. Data sets of images in classes (data/image_classes/class_folders.py)
have one column more, label, -1 unknown. `classes.json` says what the ids of phases and classes
mean, and which groups there are (data/dataset/classes.py).
"""

from collections.abc import Mapping, Sequence

import pyarrow as pa

from data.dataset.cholec80 import TOOLS

INDEX = "index.parquet"
PRETRAINING_INDEX = "pretraining.parquet"  # without the frames that cleaning took out
BEFORE_LABELS = [("video", pa.string()), ("frame", pa.int32()), ("phase", pa.int8())]
AFTER_LABELS = [("file", pa.string()), ("template", pa.string())]
LABEL = pa.field("label", pa.int16())  # where a data set has classes


def column_of(group: str, name: str) -> str:
    """The column of a name of a multi-label group; Cholec80's tools have no prefix."""
    return name if group == "tools" and name in TOOLS else f"{group}/{name}"


def index_schema(multi_label: Mapping[str, Sequence[str]]) -> pa.Schema:
    """Columns of an index, but for `LABEL`, with these groups."""
    columns = [column_of(group, name) for group, names in multi_label.items() for name in names]
    return pa.schema([*BEFORE_LABELS, *((c, pa.int8()) for c in columns), *AFTER_LABELS])
