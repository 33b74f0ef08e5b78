"""What a model has said, kept beside the files that annotators correct: `model_intervals.json`.

{"format": "csv",
 "files": {"op1.csv": "sha256 ..."},            as they were written
 "model_intervals": {"op1": {"phase": [[0.0, 31.0, "Preparation"], ...]}}}    seconds
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from data.common.errors import InputError

SAID = "model_intervals.json"


@dataclass(frozen=True)
class Said:
    """The content of the file.

    Attributes:
      form: format of the files beside it.
      files: {name: sha256} of them.
      intervals: {video: {group: [(start, end, label)]}}.
    """

    form: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    intervals: Mapping[str, Mapping[str, list]] = field(default_factory=dict)

    def to_json(self) -> dict:
        """What the file holds."""
        return {"format": self.form, "files": self.files, "model_intervals": self.intervals}


def read_said(path: Path) -> Said:
    """Reads the file.

    Raises:
      InputError: it is damaged.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        intervals = {
            video: {
                group: [(float(start), float(end), str(label)) for start, end, label in rows]
                for group, rows in groups.items()
            }
            for video, groups in content["model_intervals"].items()
        }
        return Said(str(content["format"]), dict(content["files"]), intervals)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}: damaged ({error!r}); expected what inference.py --annotations has written"
        ) from error
