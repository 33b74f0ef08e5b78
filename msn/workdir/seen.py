"""What an encoder has seen in its training, as far as anything that lies with it says so.

An encoder directory names its videos. A directory of transformers that we wrote names them in
config.json, under VIDEOS; another one has a model card, whose head may name data sets (`datasets:`,
huggingface.co/docs/hub/model-cards). All else does not say it, and then it is not known.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from data.common.errors import InputError, one_line
from data.storage.cards import CARD, head_of
from data.storage.paths import AnyPath
from data.storage.whole import write_json
from msn.formats.files.feature_table import is_table, metadata_of
from msn.formats.files.recognising import ENCODER_FILE, check_encoder
from msn.formats.files.recognising import HUGGING_FACE_FILE as CONFIG_FILE
from msn.formats.hub import encoder_path
from msn.formats.model_card import VIDEOS

RUN_VIDEOS = "videos.json"  # in a run directory: those it has been trained on
EXPECTED = '{"videos": [names], "data": [names], "is_all": true or false}'
# In brackets, a line each (others may be empty, or comments), or one.
_NAMES = r"\[([^\]]*)\]|((?:\n[ \t]*(?:-[ \t].*|#.*|(?=\n)))+)|([^\s#\[].*)"
_LIST = re.compile(rf"^datasets:[ \t]*(?:#.*)?(?:{_NAMES})", re.MULTILINE)
NOTHING = ("", "null", "~", "{}")  # as YAML has it


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


def seen_by_run(workdir: AnyPath, videos: list[str], goes_on: bool) -> list[str]:
    """The videos of a run, and those it had when it was begun: a split may be drawn anew meanwhile.

    Args:
      workdir: of the run; RUN_VIDEOS in it is read and written.
      videos: names of those that it has now.
      goes_on: whether it has been trained before.

    Raises:
      InputError: RUN_VIDEOS is damaged.
    """
    path, before = workdir / RUN_VIDEOS, ()
    if goes_on and path.is_file():
        try:
            before = _names(json.loads(path.read_text()), RUN_VIDEOS)
        except ValueError as error:
            raise InputError(
                f"{path}: damaged; expected the names of videos in brackets"
            ) from error
    seen = list(dict.fromkeys((*videos, *before)))
    if len(seen) != len(before):
        write_json(path, seen)
    return seen


def seen_in_json(told: Mapping | None) -> Seen:
    """What `Seen.to_json` gave; not known for None; raises `InputError` for anything else."""
    told = {} if told is None else told
    if not isinstance(told, Mapping):
        raise InputError(f"what was seen is {told!r}; expected {EXPECTED}")
    names = {key: _names(told.get(key, ()), key) for key in ("videos", "data")}
    if not isinstance(told.get("is_all", False), bool):
        raise InputError(f"what was seen: is_all is {told['is_all']!r}; expected {EXPECTED}")
    return Seen(**names, is_all=told.get("is_all", False))


def _names(values, key: str) -> tuple[str, ...]:
    """A list of names as it came from JSON; raises `InputError`."""
    is_list = isinstance(values, list | tuple)
    if not is_list or not all(isinstance(value, str) for value in values):
        raise InputError(f"what was seen: {key} is {one_line_of(values)}; expected {EXPECTED}")
    return tuple(values)


def one_line_of(value) -> str:
    """A value from a file, cut, for a message."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."


def check_encoder_at(path: str) -> None:
    """Raises `InputError` where no encoder is at a path, as a user gave it.

    Or where what lies with it about its own training cannot be read: what is made with it says
    that, too, at its end.
    """
    place = encoder_path(path)
    check_encoder(place)
    seen_of(place)


def seen_of(path: AnyPath) -> Seen:
    """What the encoder at a path has seen, or that of a table of features.

    Raises:
      InputError: what lies with it about that is malformed.
    """
    try:
        return _seen_of(path)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _seen_of(path: AnyPath) -> Seen:
    if is_table(path):
        return seen_in_json(metadata_of(path).get("seen"))
    for folder in (path, path.parent):  # a SavedModel lies in the encoder directory
        if (description := folder / ENCODER_FILE).is_file():
            try:
                source = json.loads(description.read_text(encoding="utf-8"))["source"]
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(f"{ENCODER_FILE}: damaged ({one_line(error)})") from error
            return seen_of_source(source)
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
    """What "source" in encoder.json says: of a run of ours, of its beginning, of a conversion.

    Raises:
      InputError: it is malformed.
    """
    if not isinstance(source, Mapping):
        raise InputError(f"its source is {one_line_of(source)}; expected names and values")
    before = []
    for key in ("init", "teacher"):
        if not isinstance(of := source.get(key, {}), Mapping):
            raise InputError(f"its {key} is {one_line_of(of)}; expected names and values")
        before += [seen_of_source(of.get("source", {}))] if key in source else []
    if "seen" in source:  # of the file that it was converted from
        before.append(seen_in_json(source["seen"]))
    is_all = ("method" in source or "seen" in source) and all(one.is_all for one in before)
    own = _names(source.get("videos", ()), "videos")
    videos = [*own, *(video for one in before for video in one.videos)]
    data = dict.fromkeys(name for one in before for name in one.data)
    return Seen(tuple(dict.fromkeys(videos)), tuple(data), is_all)


def datasets_in(card: str) -> tuple[str, ...]:
    """The data sets that the head of a model card names."""
    found = _LIST.search(head_of(card))
    if not found:
        return ()
    inline, lines, single = found.groups()
    if inline is not None:
        names = re.sub(r"[ \t]#.*", "", inline).split(",")
    else:
        names = (lines or single).split("\n")
    cleaned = (
        re.sub(r"(^|[ \t])#.*", "", name).strip().removeprefix("- ").strip().strip("'\"")
        for name in names
    )
    return tuple(name for name in cleaned if name not in NOTHING)
