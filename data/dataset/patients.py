"""Which videos are of one patient, as far as their names say so.

The names of prepared videos begin with the folders that the files lay in, so that a folder for each
patient counts like a name with the patient in it: `Pat_003/video.mp4` is `Pat_003_video`.
"""

import re
from collections.abc import Iterable

from data.common.errors import some

_PATIENT = re.compile(r"(?<![a-z])(patient|pat|pt|subject|subj|case)[ _-]*(\d+)", re.IGNORECASE)


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
