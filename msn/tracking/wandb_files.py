"""Reads the files in which the client of Weights & Biases keeps a run, as far as they are written.

They are a log as LevelDB's (github.com/google/leveldb, doc/log_format.md), of protocol buffers,
behind a head of 7 bytes.
"""

import json
import struct
from collections.abc import Iterator
from pathlib import Path

from wandb.proto import wandb_internal_pb2

BLOCK, HEAD, HEAD_OF_FILE = 32768, 7, 7
FULL, LAST = 1, 4  # kinds of parts that a message ends with; the others are its first and middle


def messages(file: Path) -> Iterator[wandb_internal_pb2.Record]:
    """All messages in a file, in their order; what is cut off at its end is left out."""
    content, place, parts = file.read_bytes(), HEAD_OF_FILE, []
    while place + HEAD <= len(content):
        if BLOCK - place % BLOCK < HEAD:  # no head fits into what is left of a block
            place += BLOCK - place % BLOCK
            continue
        _, length, kind = struct.unpack_from("<IHB", content, place)
        place += HEAD + length
        if not kind or place > len(content):
            return
        parts.append(content[place - length : place])
        if kind in (FULL, LAST):
            message = wandb_internal_pb2.Record()
            message.ParseFromString(b"".join(parts))
            parts = []
            yield message


def messages_of(folder: Path, kind: str, key: str = "*") -> list:
    """What the offline runs below a folder have of a kind: "history", "run", "artifact", "exit"."""
    files = sorted(folder.glob(f"wandb/offline-run-*-{key}/*.wandb"))
    found = [message for file in files for message in messages(file)]
    return [getattr(m, kind) for m in found if m.WhichOneof("record_type") == kind]


def rows(folder: Path, key: str = "*") -> list[dict]:
    """The rows of the curves, in their order; each has its "_step"."""
    return [
        {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in row.item}
        for row in messages_of(folder, "history", key)
    ]


def last_step(folder: Path, key: str) -> int | None:
    """The last step of a run that offline files have; None where there are no files of it."""
    if not any(folder.glob(f"wandb/offline-run-*-{key}")):
        return None
    return max((row["_step"] for row in rows(folder, key)), default=0)
