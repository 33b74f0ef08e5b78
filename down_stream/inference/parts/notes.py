"""Notes in the folder of a table's parts: what all are made with, and which video one is of."""

import json
from collections.abc import Mapping

from data.storage.paths import AnyPath
from data.storage.whole import write_json

SUFFIX = ".parts"
MADE_WITH, VIDEO = "made_with.json", "video.json"


def parts_folder(output: AnyPath) -> AnyPath:
    """Where the parts of a table are."""
    return output.with_name(output.name + SUFFIX)


def write_note(path: AnyPath, content: Mapping) -> None:
    """Writes a note."""
    write_json(path, content, durable=True)


def read_note(path: AnyPath) -> dict:
    """What a note says of a video; of none, where a run was killed before it was written."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return {"video": "", "frames": 0}


def difference(note: AnyPath, made_with: Mapping) -> str:
    """Which entry of `made_with` is another in a file, in words; "" for none."""
    try:
        found = dict(json.loads(note.read_text()))
    except (ValueError, TypeError):
        return "something that cannot be read"
    keys = [key for key in made_with if found.get(key) != made_with[key]]
    return f"{keys[0]} {found.get(keys[0])!r}, not {made_with[keys[0]]!r}" if keys else ""
