"""Which patient a video is of: as a file says it, else as folders and names suggest it.

`patients.csv` in a dataset, which `data/annotations/patients.py` writes, has the columns video,
patient, by: "file" is what a user has given, "dicom" what DICOM files say, "folders" what the
places of files suggest. Videos that are not in it are known by their names: `Pat_003_video` and
`pat3-b` are of one patient.
"""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from data.common.errors import InputError, some
from data.splits.overlaps import identity
from data.storage.paths import AnyPath

PATIENTS = "patients.csv"
COLUMNS = ("video", "patient", "by")
FILE, DICOM, FOLDERS, NAMES = "file", "dicom", "folders", "names"  # the surest first
SAID_BY = {
    FILE: f"by {PATIENTS}",
    DICOM: "by what DICOM files say",
    FOLDERS: "by the folders of files",
    NAMES: "by their names",
}
_YEAR = r"(?:19|20)\d\d(?!\d)"
_PATIENT = re.compile(
    rf"(?<![a-z])(patient|pat|pt|subject|subj|case)[ _-]*(?!{_YEAR})(\d+)", re.IGNORECASE
)
FEWEST = 3  # patients that a split is drawn by, where nobody has said who they are


def suggested_patient(name: str) -> str | None:
    """What all names of one patient have in common; None for a name that says nothing.

    What stands before it counts, too: hospitals number their patients each for itself.
    """
    found = _PATIENT.search(name)
    if found is None:
        return None
    word, number = found.groups()
    kind = {"pat": "patient", "pt": "patient", "subj": "subject"}.get(word.lower(), word.lower())
    return f"{name[: found.start()].lower()}{kind} {int(number)}"


class Groups(NamedTuple):
    """Videos that belong together.

    Attributes:
      groups: {what they have in common: videos}; every video is in one.
      by: how it is known that these are patients, the surest of `SAID_BY` that says something; ""
        where the groups are operations alone.
      fault: why nothing but operations was believed, in words, else "".
      unknown: the videos of which no patient is known, or believed.
    """

    groups: dict[str, list[str]]
    by: str
    fault: str
    unknown: frozenset[str]

    @property
    def known(self) -> int:
        """How many patients are known."""
        return sum(self.unknown.isdisjoint(videos) for videos in self.groups.values())


def counted(patients: int, by: str, unknown: int, noun: str = "video") -> str:
    """How many patients are known, in words: "12 patients, by patients.csv".

    Args:
      patients: that are known.
      by: how, of `SAID_BY`.
      unknown: videos of which no patient is known.
      noun: what these are called.
    """
    text = f"{patients} patient{'' if patients == 1 else 's'}, {SAID_BY[by]}"
    if unknown:
        of = f"{noun}{'' if unknown == 1 else 's'}"
        text += f", and {unknown} {of} whose patient is not known"
    return text


@dataclass(frozen=True)
class Patients:
    """What is known of the patients of videos.

    Attributes:
      given, placed: {`data.splits.overlaps.identity` of a video: (patient, how that is known)}, by
        a file, and by what paths suggest.
    """

    given: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    placed: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def find(self, video: str) -> tuple[str, str] | None:
        """(patient, how that is known); None of a video of which nothing is."""
        operation = identity(video)
        known = self.given.get(operation) or self.placed.get(operation)
        suggested = None if known else suggested_patient(video)
        return (suggested, NAMES) if suggested else known

    def group(self, videos: Iterable[str]) -> Groups:
        """The videos that a draw leaves together: of one operation, or of one patient.

        What is only suggested is not believed where it would leave too little to draw: one patient
        with most videos, or fewer than three.
        """
        videos = list(videos)
        found = {video: self.find(video) for video in videos}
        groups = _grouped(videos, found)
        fault, by = "", {known[1] for known in found.values() if known}
        largest = max(groups.values(), key=len, default=[])
        if by - {FILE} and len(groups) < len(_grouped(videos, {})):
            how = SAID_BY[next(kind for kind in (FOLDERS, DICOM, NAMES) if kind in by)]
            if len(groups) < FEWEST:
                fault = f"all videos: fewer than {FEWEST} patients {how}"
            elif 2 * len(largest) > len(videos) and not all(
                found[video][1] == FILE for video in largest
            ):
                fault = f"{some(largest)}: one patient {how}, of most videos"
        if fault:
            found = {v: known for v, known in found.items() if known and known[1] == FILE}
            groups, by = _grouped(videos, found), by & {FILE}
        surest = next((kind for kind in SAID_BY if kind in by), "")
        return Groups(groups, surest, fault, frozenset(v for v in videos if not found.get(v)))

    def shared(self, videos: Iterable[str], others: Iterable[str]) -> dict[str, list[str]]:
        """The videos of a patient of one of the others, {how that is known: "b (a)", ...}.

        Those that are among the others by name are left out.
        """
        others, of_patient = set(others), {}
        for other in sorted(others):
            if known := self.find(other):
                of_patient.setdefault(known[0], []).append((other, known[1]))
        found = {}
        for video in videos:
            if video in others or not (known := self.find(video)) or known[0] not in of_patient:
                continue
            names = [name for name, _ in of_patient[known[0]]]
            sources = {known[1], *(how for _, how in of_patient[known[0]])}
            how = next(kind for kind in reversed(SAID_BY) if kind in sources)
            found.setdefault(how, []).append(f"{video} ({some(names)})")
        return found

    def believing(self, videos: Iterable[str]) -> "Patients":
        """The same without folders, where they leave too little to draw of these videos."""
        return self if not self.placed or not self.group(videos).fault else Patients(self.given)


NOBODY = Patients()


def _grouped(videos: Sequence[str], found: Mapping[str, tuple | None]) -> dict[str, list[str]]:
    groups = {}
    for video in videos:
        known = found.get(video)
        groups.setdefault(known[0] if known else identity(video), []).append(video)
    return groups


def read_patients(roots: AnyPath | Sequence[AnyPath]) -> Patients:
    """What the `patients.csv` of one or several datasets say; one name is one patient in all.

    Raises:
      InputError: such a file is damaged, or a video has two patients.
    """
    roots = roots if isinstance(roots, Sequence) else (roots,)
    patients = Patients({}, {})
    for path in (root / PATIENTS for root in roots):
        for video, (patient, by) in read_rows(path).items():
            known, row = patients.placed, (patient, by)
            if by == FILE:
                known, row = patients.given, (f"patient {patient}", by)  # "video1" is no video
            if known.setdefault(identity(video), row) != row and by == FILE:
                raise InputError(
                    f"{path}: {video} is of {row[0]}, and of {known[identity(video)][0]} "
                    "elsewhere; expected one patient of a video"
                )
    return patients


def read_rows(path: AnyPath) -> dict[str, tuple[str, str]]:
    """{video: (patient, by)} of a `patients.csv`, of none where there is no such file."""
    if not path.is_file():
        return {}
    try:
        header, *rows = csv.reader(io.StringIO(path.read_text(encoding="utf-8"), newline=""))
        if tuple(header) != COLUMNS:
            raise ValueError(f"columns {some(header)}")
        return {video: (patient, by) for video, patient, by in rows}
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: damaged ({error}); delete it, and prepare again") from error
