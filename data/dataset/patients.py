"""Which videos are of one patient, as far as their names say so.

The names of prepared videos begin with the folders that the files lay in, so that a folder for each
patient counts like a name with the patient in it: `Pat_003/video.mp4` is `Pat_003_video`.
"""

import re
from collections.abc import Iterable

from data.common.errors import some
from data.dataset.overlaps import identity

_YEAR = r"(?:19|20)\d\d(?!\d)"
_PATIENT = re.compile(
    rf"(?<![a-z])(patient|pat|pt|subject|subj|case)[ _-]*(?!{_YEAR})(\d+)", re.IGNORECASE
)
FEWEST = 3  # patients that a split is drawn by


def suggested_patient(video: str) -> str | None:
    """What all names of one patient have in common; None for a name that says nothing.

    What stands before it counts, too: hospitals number their patients each for itself.
    """
    found = _PATIENT.search(video)
    if found is None:
        return None
    word, number = found.groups()
    kind = {"pat": "patient", "pt": "patient", "subj": "subject"}.get(word.lower(), word.lower())
    return f"{video[: found.start()].lower()}{kind} {int(number)}"


def suggested_groups(videos: Iterable[str]) -> dict[str, list[str]]:
    """{patient: the videos that are called so}, of patients with several."""
    groups = {}
    for video in videos:
        if patient := suggested_patient(video):
            groups.setdefault(patient, []).append(video)
    return {patient: names for patient, names in groups.items() if len(names) > 1}


def drawn_groups(videos: Iterable[str]) -> tuple[dict[str, list[str]], str]:
    """The videos that a drawn split leaves together, by what they have in common.

    They are of one operation, or of one patient by their names. Names that would leave too little
    to draw are not believed: one patient with most videos, or fewer than three.

    Returns:
      The groups, and why they are not of patients, in words; "" where they are.
    """
    videos = list(videos)
    patients, operations = {}, {}
    for video in videos:
        operations.setdefault(identity(video), []).append(video)
        patients.setdefault(suggested_patient(video) or identity(video), []).append(video)
    largest = max(patients.values(), key=len, default=[])
    if len(patients) == len(operations):
        return patients, ""
    if len(patients) < FEWEST:
        return operations, f"all videos: fewer than {FEWEST} patients by their names"
    if 2 * len(largest) > len(videos):
        return operations, f"{some(largest)}: one patient by their names, of most videos"
    return patients, ""


def suggested_overlaps(videos: Iterable[str], others: Iterable[str]) -> list[str]:
    """The videos that may be of a patient of one of the others: "Pat_3_b (Pat_3_a)".

    Those that are among the others by name are left out.
    """
    others = set(others)
    names = {}
    for other in sorted(others):
        names.setdefault(suggested_patient(other), []).append(other)
    names.pop(None, None)
    return [
        f"{video} ({some(names[patient])})"
        for video in videos
        if video not in others and (patient := suggested_patient(video)) in names
    ]
