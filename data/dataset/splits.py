"""The manifest of a data set's splits: which videos train, validate and test, and what they hold.

Cholec80 gets the published protocols (`data/dataset/cholec80.py`), and so do other public datasets
(`protocols.json`, written by `data/public_datasets`). Every other data set gets one split, drawn by
video from a seed. No operation is in two splits of a protocol. A drawn one has no patient in two
parts, either, as far as the names of the videos tell (`data/dataset/patients.py`).
"""

import fnmatch
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from data.common.errors import ELSE_USED, InputError, some
from data.dataset.audit import Audit
from data.dataset.cholec80 import DEFAULT_SPLIT, SPLITS
from data.dataset.classes import read_classes
from data.dataset.frame_index import INDEX
from data.dataset.overlaps import SYNTHETIC, identity
from data.dataset.patients import FILE, NOBODY, PATIENTS, SAID_BY, Patients, read_patients
from data.images.names import natural_key
from data.storage.folders import local_copy
from data.storage.paths import AnyPath, to_path
from data.storage.whole import write_json

MANIFEST = "splits.json"
PROTOCOLS = "protocols.json"  # published splits, {name: {part: videos}}, the default first
DRAWN = "70/10/20 by video"  # per cent of the operations
PARTS = ("train", "validation", "test")
SHARES = (0.2, 0.1)  # of test and of validation
SEEN = "scores of patients that were seen promise too much"
SIGNS = "*?["  # of patterns that stand for many videos
PAIRS = (("test", "train"), ("test", "validation"), ("validation", "train"))


def write_splits(root: str | Path) -> dict:
    """Writes `root/splits.json`, from the index of the data set.

    Returns:
      {"default": name, "protocols": {name: {"train": part, "validation": part, "test": part}}},
      where a part has its "videos"; "absent", those of the published split that are not here;
      "frames", "labelled" and, by name, "phases", numbers of frames.

    Raises:
      InputError: an operation would be in two splits.
    """
    root = to_path(root)
    phases = read_classes(root).phases
    counts = count_phases(root, len(phases))
    videos = sorted(counts, key=natural_key)
    default, protocols = choose_protocols(root, videos)
    for name, split in protocols.items():
        check_disjoint(name, split)
    manifest = {
        "default": default,
        "protocols": {
            name: {part: describe_part(split[part], counts, "phases", phases) for part in PARTS}
            for name, split in protocols.items()
        },
    }
    write_json(root / MANIFEST, manifest)
    return manifest


def choose_protocols(root: Path, videos: Sequence[str]) -> tuple[str, dict]:
    """The name of the default protocol of a data set, and all of its protocols by name."""
    if (root / PROTOCOLS).is_file():
        protocols = json.loads((root / PROTOCOLS).read_text())
        return next(iter(protocols)), protocols
    published = {video for part in SPLITS[DEFAULT_SPLIT].values() for video in part}
    if set(videos) <= published and not (root / SYNTHETIC).is_file():
        return DEFAULT_SPLIT, dict(SPLITS)
    patients, before = read_patients(root), drawn_before(root, DRAWN)
    return DRAWN, {DRAWN: draw_split(videos, patients=patients, before=before)}


def write_protocols(root: Path, protocols: Mapping[str, Mapping[str, Sequence[str]]]) -> None:
    """Notes the published splits of a data set, {name: {part: videos}}, the default first."""
    write_json(root / PROTOCOLS, protocols)


def count_phases(root: Path, number: int) -> dict[str, np.ndarray]:
    """{video: int64 [number + 1]}, its frames by phase id; the last are those without a phase."""
    with local_copy(root / INDEX) as index:
        table = pq.read_table(index, columns=["video", "phase"], read_dictionary=["video"])
    table = table.unify_dictionaries()  # each group of rows has one of its own
    groups = table.group_by(["video", "phase"]).aggregate([([], "count_all")]).to_pydict()
    counts = {video: np.zeros(number + 1, np.int64) for video in groups["video"]}
    for video, phase, count in zip(*groups.values(), strict=True):
        counts[video][phase] = count  # unknown is -1, the last
    return counts


def draw_split(
    videos: Iterable[str],
    seed: int = 0,
    patients: Patients = NOBODY,
    before: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, tuple[str, ...]]:
    """Splits videos at random, in the proportions of `DRAWN`, one patient in one part.

    `before` is the split that is there: one that earlier versions drew of these, by the number of
    patients, stays.
    """
    groups = patients.group(videos).groups

    def drawn(sizes):
        return {
            part: tuple(sorted((v for name in names for v in groups[name]), key=natural_key))
            for part, names in draw(groups, seed, sizes=sizes).items()
        }

    return stays(drawn(None), before) or drawn({name: len(of) for name, of in groups.items()})


def audit_patients(root: Path, audit: Audit) -> None:
    """Says who is one patient in a drawn split, and who is in two parts of any other.

    Args:
      root: dataset directory.
      audit: with the videos; patients in two parts are a problem where a user has said who they
        are, and a remark where names or folders suggest it.
    """
    videos, patients = sorted(audit.videos, key=natural_key), read_patients(root)
    default, protocols = choose_protocols(root, videos)
    if default != DRAWN:
        say_torn_patients(protocols, patients.believing(videos), audit)
        return
    remark_groups(patients, videos, "video", audit)
    if len({len(group) for group in patients.group(videos).groups.values()}) > 1:
        frames = {video: counts["frames"] for video, counts in audit.videos.items()}
        say_shares(DRAWN, protocols[DRAWN], frames, audit)


def remark_groups(patients: Patients, videos: Sequence[str], unit: str, audit: Audit) -> None:
    """Says which videos (or sequences, the `unit`) a drawn split takes for one patient's."""
    found = patients.group(videos)
    groups = [some(names) for names in found.groups.values() if len(names) > 1]
    if found.fault:
        audit.remark(f"{found.fault}; the split is drawn by {unit}")
    elif groups and found.by:
        each = "each " if len(groups) > 1 else ""
        end = "" if found.by == FILE else "; if they are not, --patients=FILE says who is"
        audit.remark(
            f"{some(groups, '; ')}: {each}one patient {SAID_BY[found.by]}, and so in one part of "
            f"the split, which is drawn{end}"
        )
    if found.by == FILE and len(found.groups) < len(PARTS):
        audit.problem(
            f"{PATIENTS}: {len(found.groups)} patients in all; a split without a patient in two "
            f"parts needs {len(PARTS)}"
        )


def say_torn_patients(
    protocols: Mapping[str, Mapping[str, Sequence[str]]], patients: Patients, audit: Audit
) -> None:
    """Says which patients are in two parts of a split, {name: {part: videos}}."""
    for name, split in protocols.items():
        for part, other in PAIRS:
            for how, found in patients.shared(split[part], split[other]).items():
                say = audit.problem if how == FILE else audit.remark
                text = f"{some(found)}: in {part}, of patients who are in {other} {SAID_BY[how]}"
                say(f"split {name}: {text}; {SEEN}; {ELSE_USED}")


def draw(
    names: Iterable[str],
    seed: int,
    shares: tuple[float, float] = SHARES,
    sizes: Mapping[str, int] | None = None,
) -> dict[str, list[str]]:
    """Splits names at random into `PARTS`.

    The order is that of a hash of seed and name: the same on every machine, whatever the order of
    `names`. Two names or more have one to test, where there is a test, and one more to validate.

    Args:
      names: what is drawn as a whole.
      seed: another one draws another split.
      shares: of test and of validation.
      sizes: {name: how large it is}: of them `shares` are then, as near as whole names come. Where
        all are of one size, and without it, of the number of names.
    """
    order = sorted(names, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())
    if sizes and len({sizes[name] for name in order}) > 1:
        return _draw_by_size(order, shares, sizes)
    test = max(round(shares[0] * len(order)), shares[0] > 0 and len(order) >= 2)
    validation = test + max(round(shares[1] * len(order)), len(order) >= test + 2)
    return {
        "train": order[validation:],
        "validation": order[test:validation],
        "test": order[:test],
    }


def _draw_by_size(
    order: Sequence[str], shares: tuple[float, float], sizes: Mapping[str, int]
) -> dict[str, list[str]]:
    """The same of names in a random order: each part takes what fits, then what is nearest."""
    left, drawn, total = dict.fromkeys(order), {}, sum(sizes[name] for name in order)
    kept = 2 if len(order) > 2 else 1  # for the parts that follow
    for part, share in (("test", shares[0]), ("validation", shares[1])):
        drawn[part], missing = [], share * total
        for name in order if share else ():
            if name in left and sizes[name] <= missing and len(left) > kept:
                drawn[part].append(name)
                del left[name]
                missing -= sizes[name]
        if share and len(left) > kept:
            nearest = min(left, key=lambda name: abs(sizes[name] - missing))
            if not drawn[part] or abs(sizes[nearest] - missing) < missing:
                drawn[part].append(nearest)
                del left[nearest]
        kept = 1
    return {"train": list(left), "validation": drawn["validation"], "test": drawn["test"]}


def stays(
    split: dict[str, Any], before: Mapping[str, Sequence[str]] | None
) -> dict[str, Any] | None:
    """The split, or parts of one, if it is there, as `drawn_before` returns it, else None."""
    is_there = before and all(before[part] == sorted(split[part]) for part in split)
    return split if is_there else None


def default_split(root: AnyPath) -> dict:
    """The default protocol of a dataset's manifest; raises `InputError` where there is none."""
    path = root / MANIFEST
    try:
        manifest = json.loads(path.read_text())
        split = manifest["protocols"][manifest["default"]]
        for part in PARTS:
            list(split[part]["videos"])
        return split
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: not there or damaged ({type(error).__name__}); prepare.py writes it"
        ) from error


def with_held_out(names: Iterable[str], roots: Iterable[AnyPath]) -> frozenset[str]:
    """Names, with what the manifests of datasets validate and test in place of `MANIFEST`."""
    names = frozenset(names)
    if MANIFEST not in names:
        return names
    splits = [default_split(root) for root in roots]
    held_out = {v for of in splits for part in PARTS[1:] for v in of[part]["videos"]}
    return names - {MANIFEST} | held_out


def drawn_before(root: Path, protocol: str) -> dict[str, list[str]] | None:
    """The videos of each part of a split that the manifest of a dataset has; None without one."""
    try:
        parts = json.loads((root / MANIFEST).read_text())["protocols"][protocol]
        return {part: sorted(parts[part]["videos"]) for part in PARTS}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def say_shares(
    protocol: str, split: Mapping[str, Iterable[str]], frames: Mapping[str, int], audit: Audit
) -> None:
    """Says what shares of all frames, {video: number}, came out of a draw of groups."""
    sizes = {part: sum(frames[name] for name in split[part]) for part in PARTS}
    total = sum(sizes.values())
    if total:
        said = ", ".join(f"{100 * sizes[part] / total:.0f} % {part}" for part in PARTS)
        audit.remark(
            f"split {protocol}: {said} of {total} frames, as near as whole groups of different "
            "size come"
        )


def check_disjoint(name: str, split: Mapping[str, Iterable[str]]) -> None:
    """Raises `InputError` if an operation is in two parts of a split, under whatever names."""
    seen = {}  # operation -> (video, part)
    for part, videos in split.items():
        for video in videos:
            first, where = seen.setdefault(identity(video), (video, part))
            if where != part:
                called = video if video == first else f"{first}, which is {video},"
                raise InputError(
                    f"split {name}: {called} is in {where} and in {part}; one operation, one part"
                )


def phase_table(manifest: Mapping) -> str:
    """The phases in the default split of a manifest, to be printed: frames of each part."""
    parts = manifest["protocols"][manifest["default"]]
    names = list(parts["train"]["phases"])
    if not names:
        return "phases: none are annotated"
    width = max(map(len, (*names, "phase")))
    lines = [f"{'phase':{width}}" + "".join(f"{part:>12}" for part in PARTS)]
    for name in names:
        cells = "".join(f"{parts[part]['phases'][name]:>12}" for part in PARTS)
        lines.append(f"{name:{width}}{cells}")
    return "\n".join(lines)


def describe_part(
    videos: Sequence[str], counts: Mapping[str, np.ndarray], kind: str, classes: Sequence[str]
) -> dict:
    """What the manifest says about a part: its videos and, under `kind`, its frames by class.

    Args:
      videos: names, some of which may be absent from the data set.
      counts: {video: int64 [len(classes) + 1]}, frames by class; the last have none.
      kind: "phases" or "classes".
      classes: their names.
    """
    here = [video for video in videos if video in counts]
    total = sum((counts[video] for video in here), np.zeros(len(classes) + 1, np.int64))
    return {
        "videos": here,
        "absent": [video for video in videos if video not in counts],
        "frames": int(total.sum()),
        "labelled": int(total[:-1].sum()),
        kind: dict(zip(classes, total[:-1].tolist(), strict=True)),
    }


def expand(names: Iterable[str], videos: Sequence[str]) -> tuple[str, ...]:
    """Names with every pattern, such as "test2019-*", replaced by the videos that it matches.

    Args:
      names: names and patterns; a name stays, whether there is such a video or not. What is the
        name of a video is no pattern.
      videos: those that a pattern can match.

    Returns:
      Names, each once; those of a pattern, which may be none, in natural order.
    """
    found = []
    for name in names:
        matching = [name]
        if name not in videos and any(sign in name for sign in SIGNS):
            matching = sorted(fnmatch.filter(videos, name), key=natural_key)
        found += [video for video in matching if video not in found]
    return tuple(found)
