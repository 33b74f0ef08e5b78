"""The labelled frames of training, validation and test, and what a reader should know of them."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from data.common.errors import InputError, some
from data.common.logs import logger
from data.dataset.frame_index import FrameIndex, load_index
from data.frames.frames import file_state
from data.splits.manifest import MANIFEST, default_split
from data.splits.overlaps import overlaps
from data.splits.parts import PAIRS, PARTS, expand
from data.splits.patients import NOBODY, SAID_BY, Patients, read_patients
from data.splits.remarks import SEEN
from data.splits.spellings import alike, say_alike, say_alike_parts
from data.storage.paths import AnyPath, is_remote
from down_stream.tasks import Task
from msn.workdir.seen import Seen, seen_of

OWN_SPLIT = " ".join(f"--config.{part}_videos={MANIFEST}" for part in PARTS)
STATED_AT_ONCE = 10_000  # paths that are in memory


class NothingToLearnError(InputError):
    """The labels of the training videos hold one class."""


def select_splits(
    roots: Sequence[AnyPath], videos: Mapping[str, Sequence[str]], task: Task
) -> dict[str, FrameIndex]:
    """The labelled frames of each split, with which there is something to learn.

    Args:
      roots: dataset directories.
      videos: names or patterns of each split, as `names_of` takes them.
      task: whose labels count.

    Raises:
      InputError: as of `labelled_splits`.
      NothingToLearnError: the labels of the training videos hold fewer than two classes.
    """
    splits = labelled_splits(roots, videos, task)
    if len(task.present(splits["train"])) < (1 if task.multi_label else 2):
        raise NothingToLearnError(
            f"train_videos: fewer than two {task.name} in the labels, nothing to learn"
        )
    return splits


def labelled_splits(
    roots: Sequence[AnyPath], videos: Mapping[str, Sequence[str]], task: Task
) -> dict[str, FrameIndex]:
    """The labelled frames of each split, as they are.

    Raises:
      InputError: a video in two splits, a split without labels, or labels that are no class ids.
    """
    index = load_index(roots)
    videos = {part: names_of(part, videos[part], roots, index.videos) for part in PARTS}
    left_out = _left_out(videos, task)
    videos = {part: task.usable(names, part) for part, names in videos.items()}
    for one, other in (("train", "validation"), ("train", "test"), ("validation", "test")):
        if shared := overlaps(videos[one], videos[other])[0]:
            raise InputError(
                f"{some(shared)}: in {one}_videos and in {other}_videos; a video belongs to "
                "one split"
            )
    splits = {}
    for name, names in videos.items():
        selected = index.select(videos=names)
        task.check_labels(selected, name)
        splits[name] = task.labelled(selected)
        if not len(splits[name]) and (names or name != "validation"):
            raise InputError(
                f"{name}_videos ({some(names) or 'none'}): no labelled frames; annotations "
                "go to the dataset directory, then run prepare.py again"
                + "".join(f"; {line}" for line in left_out)
            )
    return splits


def model_remarks(
    roots: Sequence[AnyPath], videos: Mapping[str, Sequence[str]], task: Task
) -> list[str]:
    """What a reader of the results should know about labels by models; also in the log."""
    if not task.by_models:
        return []
    index = load_index(roots)
    names = {part: names_of(part, videos[part], roots, index.videos) for part in PARTS}
    found = _left_out(names, task)
    if pseudo := [v for v in names["train"] if v in task.by_models and task.pseudo_labels]:
        found.append(
            f"{some(pseudo)}: in training with labels of a model that nobody has corrected, each "
            f"frame counting {task.pseudo_labels:g}"
        )
    for remark in found:
        logger.warning("%s", remark)
    return found


def _left_out(videos: Mapping[str, Sequence[str]], task: Task) -> list[str]:
    """A line for each part whose videos are not all used, since their labels are a model's."""
    found = []
    for part, names in videos.items():
        usable = task.usable(names, part)
        if left := [name for name in names if name not in usable]:
            found.append(
                f"{some(left)}: not in {part}: a model has labelled them, and nobody has corrected "
                "it; expected corrections, or --config.trust_model_labels"
                + (", or --config.pseudo_labels=0.3" if part == "train" else "")
            )
    return found


def labelled_frames(
    roots: Sequence[AnyPath], videos: Mapping[str, Sequence[str]], task: Task
) -> FrameIndex:
    """The labelled frames of all parts of a split together; raises `InputError` as `names_of`."""
    index = load_index(roots)
    names = [name for part in PARTS for name in names_of(part, videos[part], roots, index.videos)]
    names = task.usable(names, "test")  # each is tested once
    return task.labelled(index.select(videos=names))


def frames_to_fold(
    roots: Sequence[AnyPath], videos: Mapping[str, Sequence[str]], task: Task
) -> tuple[FrameIndex, Patients]:
    """What folds are drawn of: `labelled_frames`, and what is known of their patients."""
    index = labelled_frames(roots, videos, task)
    return index, patients_of(roots, {"test": index})


def labels_fingerprint(task: Task, splits: Mapping[str, FrameIndex]) -> str:
    """A text that changes with the frames of any split, and with their labels."""
    digest = hashlib.sha256()
    for part, index in splits.items():
        digest.update(json.dumps([part, *index.videos, *task.classes]).encode())
        for column in (index.video, index.frame, task.labels(index)):
            digest.update(np.ascontiguousarray(column, np.int64).tobytes())
    return digest.hexdigest()[:32]


def images_fingerprint(splits: Mapping[str, FrameIndex]) -> str:
    """A text that changes with the size or a time of change of any local image of the splits."""
    return _digest(splits, lambda file: f"{file_state(file, by_ctime=True)}\n".encode())


def contents_fingerprint(splits: Mapping[str, FrameIndex]) -> str:
    """The same of what local images hold, wherever they lie and whenever they were written."""
    return _digest(splits, _content)


def _digest(splits: Mapping[str, FrameIndex], say: Callable[[AnyPath], bytes]) -> str:
    """A text that changes with what is said of any image of the splits."""
    digest = hashlib.sha256()
    for index in splits.values():
        for start in range(0, len(index), STATED_AT_ONCE):
            for file in index.files(slice(start, start + STATED_AT_ONCE)):
                digest.update(say(file))
    return digest.hexdigest()[:32]


def _content(path: AnyPath) -> bytes:
    if is_remote(path) or not path.is_file():
        return b"remote" if is_remote(path) else b"missing"
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").digest()


def labelled_videos(
    roots: Sequence[AnyPath], part: str, wanted: Sequence[str], task: Task
) -> tuple[str, ...]:
    """Names of the videos of a split that have labels; raises `InputError` as `names_of` does."""
    index = load_index(roots)
    names = task.usable(names_of(part, wanted, roots, index.videos), part)
    frames = task.labelled(index.select(names))
    return tuple(frames.videos[place] for place in np.unique(frames.video))


def names_of(
    part: str, wanted: Sequence[str], roots: Sequence[AnyPath], videos: Sequence[str]
) -> tuple[str, ...]:
    """Names of the videos of a split, "train", "validation" or "test".

    Patterns are replaced by what they match in `videos`, and the name "splits.json" by what the
    data sets' own manifest says (`data.splits`).

    Raises:
      InputError: a pattern that matches nothing, or a name that is none; no such manifest.
    """
    if tuple(wanted) == (MANIFEST,):
        return tuple(name for root in roots for name in default_split(root)[part]["videos"])
    for name in wanted:
        if not expand((name,), videos):
            raise InputError(
                f"{part}_videos: no video has a name like {name}; expected names, patterns, or, "
                f"for the data set's own split, {OWN_SPLIT}"
            )
    names = expand(wanted, videos)
    if unknown := [name for name in names if name not in set(videos)]:
        raise InputError(
            f"{part}_videos: no such video: {some(unknown)}; the data set has "
            f"{some(videos, limit=8)}; for its own split {OWN_SPLIT}"
        )
    return names


def seen_by(encoder: AnyPath | None) -> Seen:
    """What an encoder was pre-trained on, or that of a table, as far as it says so."""
    return seen_of(encoder) if encoder else Seen(is_all=True)  # from scratch


def patients_of(roots: Sequence[AnyPath], splits: Mapping[str, FrameIndex]) -> Patients:
    """What is known of the patients of an experiment; raises `InputError` as `read_patients`."""
    videos = {video for index in splits.values() for video in index.videos}
    return read_patients(roots).believing(sorted(videos))


def describe_patients(patients: Patients, splits: Mapping[str, FrameIndex]) -> dict:
    """What results say of patients, without what they are called.

    Returns:
      {"by": how they are known, "" where they are not; "test": {video: number of its patient}, of
      those that the scores' intervals draw; "unknown": those of them of which no patient is known;
      "in_two_parts": a line for each two parts that share some}.
    """
    videos = {
        part: [index.videos[v] for v in np.unique(index.video)] for part, index in splits.items()
    }
    found = patients.group(sorted({video for of in videos.values() for video in of}))
    number = {video: n for n, of in enumerate(found.groups.values()) for video in of}
    test = {video: number[video] for video in videos.get("test", ())} if found.by else {}
    unknown = [video for video in test if video in found.unknown]
    torn = _torn(patients, videos)
    return {"by": found.by, "test": test, "unknown": unknown, "in_two_parts": torn}


def _torn(patients: Patients, videos: Mapping[str, Sequence[str]]) -> list[str]:
    """A line for each two parts of a split, {part: videos}, that have a patient in common."""
    called = {"train": "training"}
    return [
        f"{some(shared)}: in {part}, of patients who are in {called.get(other, other)} "
        f"{SAID_BY[how]}; {SEEN}"
        for part, other in PAIRS
        if part in videos and other in videos
        for how, shared in patients.shared(videos[part], videos[other]).items()
    ]


def _unlabelled(part: str, index: FrameIndex) -> str:
    """Which videos of a part have no labelled frame; "" where all have."""
    used = set(np.unique(index.video).tolist())
    left = [name for number, name in enumerate(index.videos) if number not in used]
    of = f"{len(left)} of {len(index.videos)} {part}_videos"
    return f"{of} have no labels, and add nothing: {some(left)}" if left else ""


def remarks(
    task: Task, splits: dict[str, FrameIndex], seen: Seen, patients: Patients = NOBODY
) -> list[str]:
    """What a reader of the results should know about the data; `seen` in pre-training.

    The same is said in the log.
    """
    learnt = task.present(splits["train"])
    found = [
        f"no training frame of {name}" for i, name in enumerate(task.classes) if i not in learnt
    ]
    found += [line for part, index in splits.items() if (line := _unlabelled(part, index))]
    same, possible = overlaps(splits["test"].videos, seen.videos)
    if same:
        found.append(f"pre-training has seen test videos: {some(same)}")
    if possible:
        found.append(f"pre-training may have seen test videos: {some(possible)}")
    advice = "test others, or pre-train without them"
    spelt = alike(splits["test"].videos, seen.videos)
    found += say_alike(spelt, "videos in pre-training", advice, of="test ")
    found += say_alike_parts({part: index.videos for part, index in splits.items()})
    found += describe_patients(patients, splits)["in_two_parts"]
    for how, shared in patients.shared(splits["test"].videos, seen.videos).items():
        found.append(f"{some(shared)}: in test, of patients in pre-training {SAID_BY[how]}")
    if not seen.is_all:
        found.append(
            f"what pre-training has seen: {seen.words}; whether test videos were in it is not known"
        )
    if task.unit == "sequence" and len(task.classes) == 2 and not task.positive:
        found.append(
            f"which of {' and '.join(task.classes)} is positive is not known: no sensitivity and "
            "specificity; say it by --config.positive_class=NAME"
        )
    if not len(splits["validation"]):
        found.append("no validation videos: the last epoch is tested")
    for remark in found:
        logger.warning("%s", remark)
    return found
