"""What a tracker has of a run: WORKDIR/trackers/NAME.json."""

import json
import uuid
from dataclasses import asdict, dataclass, field

from data.storage.paths import AnyPath
from data.storage.whole import write_json

FOLDER = "trackers"  # in the run directory


@dataclass
class Record:
    """What was sent, kept beside the run, so that a run that goes on is the same in the tracker.

    Attributes:
      path: of its file.
      key: by which the tracker knows the run.
      step: the last one whose row was sent.
      status: how the run stood when the tracker was last told; "" before.
      scores: those that were sent.
      files: {name in the tracker: [size, time] of the file that was sent}.
    """

    path: AnyPath
    key: str = field(default_factory=lambda: uuid.uuid4().hex)
    step: int = 0
    status: str = ""
    scores: dict[str, float] = field(default_factory=dict)
    files: dict[str, list[int]] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: AnyPath, tracker: str) -> "Record":
        """The record of a run directory; a new one where there is none, or a damaged one.

        Raises:
          OSError: it cannot be read now: with a new key the run would begin again in the tracker.
        """
        path = folder / FOLDER / f"{tracker}.json"
        try:
            return cls(path, **json.loads(path.read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return cls(path)

    def forget(self) -> None:
        """Nothing was sent: the tracker does not know the run."""
        self.step, self.status, self.scores, self.files = 0, "", {}, {}

    def changed(self, files: dict[str, AnyPath]) -> dict[str, AnyPath]:
        """Those files that were not sent, or are others since."""
        return {name: path for name, path in files.items() if self.files.get(name) != _state(path)}

    def add_files(self, files: dict[str, AnyPath]) -> None:
        """Notes that files were sent."""
        self.files |= {name: _state(path) for name, path in files.items()}

    def write(self) -> None:
        """Keeps it beside the run."""
        self.path.parent.mkdir(exist_ok=True)
        values = asdict(self)
        del values["path"]
        write_json(self.path, values)


def _state(path: AnyPath) -> list[int]:
    found = path.stat()
    return [found.st_size, int(found.st_mtime)]
