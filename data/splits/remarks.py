"""What an audit says of splits: torn patients, shares of frames, operations that are elsewhere."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from data.common.errors import ELSE_USED, some
from data.dataset.audit import AUDIT, Audit
from data.images.names import natural_key
from data.splits.drawing import DRAWN
from data.splits.overlaps import SYNTHETIC, find_public, overlaps
from data.splits.parts import PAIRS, PARTS
from data.splits.patients import FILE, PATIENTS, SAID_BY, Patients, read_patients
from data.splits.protocols import choose_protocols
from data.splits.spellings import alike, say_alike, say_alike_parts
from data.storage.paths import is_remote

AS_ONE = (
    "exclude it where the other is tested (--config.data.exclude_videos), or call both alike in a "
    "new data set (--operations)"
)
SEEN = "scores of patients seen in training are too good"


def audit_patients(root: Path, audit: Audit) -> None:
    """Says who is one patient in a drawn split, and who is in two parts of any other.

    Args:
      root: dataset directory.
      audit: with the videos; patients in two parts are a problem where a user has said who they
        are, and a remark where names or folders suggest it.
    """
    videos, patients = sorted(audit.videos, key=natural_key), read_patients(root)
    default, protocols = choose_protocols(root, videos)
    for name, split in protocols.items():
        audit.remarks += [f"split {name}: {line}" for line in say_alike_parts(split)]
    if default != DRAWN:
        say_torn_patients(protocols, patients.believing(videos), audit)
        return
    remark_groups(patients, videos, "video", audit)
    if len({len(group) for group in patients.group(videos).groups.values()}) > 1:
        frames = {video: counts["frames"] for video, counts in audit.videos.items()}
        say_shares(protocols[DRAWN], frames, audit)


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


def say_shares(split: Mapping[str, Iterable[str]], frames: Mapping[str, int], audit: Audit) -> None:
    """Says what shares of all frames, {video: number}, came out of a draw of groups."""
    sizes = {part: sum(frames[name] for name in split[part]) for part in PARTS}
    total = sum(sizes.values())
    if total:
        said = ", ".join(f"{100 * sizes[part] / total:.0f} % {part}" for part in PARTS)
        audit.remark(
            f"split {DRAWN}: {said} of {total} frames, as near as whole groups of different "
            "size come"
        )


def remark_shared(root: Path, audit: Audit) -> None:
    """Says which public recordings a data set has twice, or shares with the data sets beside it.

    Args:
      root: dataset directory, with its videos as folders of `frames/`; it is compared with its
        neighbours that have an audit.json.
      audit: receives a remark for each neighbour that shares recordings.
    """
    if (root / SYNTHETIC).is_file():
        return
    names = sorted(folder.name for folder in (root / "frames").iterdir())
    videos = [name for name in names if find_public(name)]
    twice = []
    for place, name in enumerate(videos):
        twice += overlaps([name], videos[:place])[0]
    if twice:
        audit.remark(f"{root}: the same recordings as others in it: {some(twice)}")
    spelt = alike(names, videos, of_public=True)
    audit.remarks += say_alike(spelt, f"others in {root}", AS_ONE)
    if is_remote(root):
        return  # what lies beside it is nobody's to read
    for path in sorted(root.absolute().parent.glob(f"*/{AUDIT}")):
        neighbour = path.parent
        if neighbour == root.absolute() or (neighbour / SYNTHETIC).is_file():
            continue
        try:
            others = list(json.loads(path.read_text())["videos"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            audit.neighbours.append(f"{path}: damaged ({error!r}); not compared with {root.name}")
            continue
        for shared, verb in zip(overlaps(videos, others), ("shares", "may share"), strict=True):
            if shared:
                audit.neighbours.append(
                    f"{neighbour}: {verb} recordings with {root.name}; do not pre-train on one and "
                    f"test on the other: {some(shared)}"
                )
        spelt = alike(names, others, of_public=True)
        audit.neighbours += say_alike(spelt, f"videos in {neighbour}", AS_ONE)
