"""What an encoder has seen in its training, as far as anything that lies with it says so.

An encoder directory names its videos. A directory of transformers that we wrote names them in
config.json, under VIDEOS; another one has a model card, whose head may name data sets (`datasets:`,
huggingface.co/docs/hub/model-cards). All else does not say it, and then it is not known.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from data.storage.paths import AnyPath
from msn.encoders import ENCODER_FILE
from msn.formats.files.feature_table import is_table, metadata_of
from msn.formats.hugging_face import CONFIG_FILE
from msn.formats.model_card import CARD, head_of

VIDEOS = "pretraining_videos"
_NAMES = r"\[(.*)\]|((?:\n[ \t]*-[ \t]*.+)+)|([\w./-]+)"  # in brackets, a line each, or one
_LIST = re.compile(rf"^datasets:[ \t]*(?:{_NAMES})", re.MULTILINE)


@dataclass(frozen=True)
class Seen:
    """What an encoder was trained on.

    Attributes:
      videos: their names, as far as they are known.
      data: names of data sets that are named instead.
      is_all: whether that is everything.
    """

    videos: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    is_all: bool = False

    @property
    def words(self) -> str:
        """For people."""
        parts = []
        if self.videos or self.is_all:
            count = len(self.videos)
            parts.append(f"{count} video{'' if count == 1 else 's'}")
        if self.data:
            parts.append(f"data sets: {', '.join(self.data)}")
        if not self.is_all:
            parts.append("what else is not known" if parts else "not known")
        return "; ".join(parts)

    def to_json(self) -> dict:
        """What `seen_in_json` reads."""
        return asdict(self)


def seen_in_json(told: Mapping | None) -> Seen:
    """What `Seen.to_json` gave; not known for None."""
    told = told or {}
    return Seen(
        tuple(told.get("videos", ())), tuple(told.get("data", ())), bool(told.get("is_all"))
    )


def seen_of(path: AnyPath) -> Seen:
    """What the encoder at a path has seen, or that of a table of features."""
    if is_table(path):
        return seen_in_json(metadata_of(path).get("seen"))
    for folder in (path, path.parent):  # a SavedModel lies in the encoder directory
        if (description := folder / ENCODER_FILE).is_file():
            return seen_of_source(json.loads(description.read_text())["source"])
    folder = path if path.is_dir() else path.parent
    if path.is_dir() and (config := path / CONFIG_FILE).is_file():
        try:
            told = json.loads(config.read_text())
        except ValueError:
            told = {}
        if isinstance(told, dict) and VIDEOS in told:
            return seen_in_json(told[VIDEOS])
    card = folder / CARD
    if not card.is_file():
        return Seen()
    return Seen(data=datasets_in(card.read_text(encoding="utf-8", errors="replace")))


def seen_of_source(source: Mapping) -> Seen:
    """What "source" in encoder.json says: of a run of ours, of its beginning, of a conversion."""
    before = [
        seen_of_source(source[key].get("source", {}))
        for key in ("init", "teacher")
        if key in source
    ]
    if "seen" in source:  # of the file that it was converted from
        before.append(seen_in_json(source["seen"]))
    is_all = ("method" in source or "seen" in source) and all(one.is_all for one in before)
    videos = [*source.get("videos", ()), *(video for one in before for video in one.videos)]
    data = dict.fromkeys(name for one in before for name in one.data)
    return Seen(tuple(dict.fromkeys(videos)), tuple(data), is_all)


def datasets_in(card: str) -> tuple[str, ...]:
    """The data sets that the head of a model card names."""
    found = _LIST.search(head_of(card))
    if not found:
        return ()
    inline, lines, single = found.groups()
    names = inline.split(",") if inline else (lines or f"- {single}").split("\n")
    cleaned = (name.strip().removeprefix("-").strip().strip("'\"") for name in names)
    return tuple(name for name in cleaned if name)
