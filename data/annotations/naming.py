"""Names of phases and tools as people spell them, and which of them are one.

Nothing is guessed silently: a spelling that differs from another by case, spaces or punctuation
alone is a problem, until `phase_map.csv` says what it means. What marks a missing label is none.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from data.annotation_formats.delimited import read_table, read_text
from data.annotation_formats.labels import MISSING, PHASE, Intervals, VideoLabels
from data.common.errors import InputError, some
from data.dataset.audit import Audit, Strict
from data.dataset.cholec80 import PHASES, TOOLS
from data.dataset.classes import CLASSES_FILE, Classes, choose

PHASE_MAP = "phase_map.csv"  # in a dataset directory: from,to
PHASE_LIST = "phases.txt"  # in a dataset directory: all phases, in the order of their ids


@dataclass
class Names:
    """Names that annotations have, by group, in the order of their first appearance.

    Attributes:
      phase_map: {spelling: name; "" for no phase}.
      seen: {group: {name: where it was first, as file:line}}.
      lasting: {group: names that are annotated as intervals}: outside of these they are absent,
        in a video that has none of them too.
    """

    phase_map: Mapping[str, str] = field(default_factory=dict)
    seen: dict[str, dict[str, str]] = field(default_factory=dict)
    lasting: dict[str, set[str]] = field(default_factory=dict)

    def add(self, labels: VideoLabels) -> None:
        """Notes the names of a video's labels; those of a multi-label group are its columns."""
        of_group = self.seen.setdefault(labels.group, {})
        for name, line in zip(labels.names, labels.lines, strict=True):
            if name := self.name_of(labels.group, name):
                of_group.setdefault(name, f"{labels.file}:{line}")
        if isinstance(labels, Intervals):
            self.lasting.setdefault(labels.group, set()).update(labels.names)

    def name_of(self, group: str, spelling: str) -> str:
        """The name that a spelling stands for, "" for none."""
        return self.phase_map.get(spelling, spelling) if group == PHASE else spelling

    def use_list(
        self, listed: Mapping[str, str], known: Classes, path: Path, audit: Audit
    ) -> Classes:
        """The known classes with the phases of a list, and no others.

        Args:
          listed: as `read_phase_list` gives it. Where the annotations have numbers and the list
            has none, they count its lines, from 0 if there is a 0 among them, else from 1.
          known: those that were written before.
          path: of the list, for messages.
          audit: is told how numbers were counted.

        Raises:
          InputError: the list gives other ids to phases that were written before.
        """
        phases = tuple(listed.values())
        if phases[: len(known.phases)] != known.phases:
            raise InputError(
                f"{path}: begins with {some(phases[: len(known.phases)], limit=8)}; this dataset "
                f"has {some(known.phases, limit=8)} already, whose ids stay; expected those first, "
                "or another --name"
            )
        seen = self.seen.get(PHASE, {})
        if tuple(listed) == phases and seen and all(name.isdecimal() for name in seen):
            first = 0 if "0" in seen else 1
            audit.remark(f"{path}: its lines are numbered from {first}, as the annotations are")
            listed = {str(number): name for number, name in enumerate(phases, first)}
        self.phase_map = {**self.phase_map, **listed}
        renamed = {}
        for name, where in seen.items():
            renamed.setdefault(listed.get(name, name), where)
        self.seen[PHASE] = renamed
        return Classes(phases, known.multi_label, known.classes)

    def classes(self, known: Classes, audit: Audit, is_closed: bool = False) -> Classes:
        """The classes of the dataset: known ones first, then those that are new.

        Args:
          known: those that were written, or asked for, before.
          audit: receives a problem for each spelling that is none of them but nearly is, and a
            remark for each new name.
          is_closed: whether the phases are `known` and no others.
        """
        phases = self.seen.get(PHASE, {})
        fresh = self._distinct(known.phases, phases, audit)
        chosen = known.phases if is_closed else choose(known.phases, fresh, PHASES)
        for name in fresh:
            if name not in chosen:
                audit.problem(
                    f"{phases[name]}: {name!r} is unknown; expected {some(chosen, limit=8)} "
                    "(--phases=FILE lists other phases, --phase_map=FILE says what is what)"
                )
            elif known.phases and name not in known.phases:
                audit.remark(f"{phases[name]}: {name!r} is a new phase, number {len(chosen)}")
        unused = [name for name in known.phases if name not in phases]
        if phases and unused and not is_closed and known.phases != PHASES:
            audit.remark(
                f"{CLASSES_FILE}: nothing is annotated as {some(unused, limit=8)} any more; ids "
                "stay until this file is deleted"
            )
        groups = dict(known.multi_label)
        for group, names in self.seen.items():
            if group != PHASE:
                before = groups.get(group, ())
                groups[group] = choose(before, self._distinct(before, names, audit), TOOLS)
        return Classes(chosen, groups, known.classes)

    def _distinct(self, known, seen: Mapping[str, str], audit: Audit) -> list[str]:
        """The names seen that are not another's spelling."""
        first = {_plain(name): name for name in known}
        distinct = []
        for name, where in seen.items():
            other = name if name in known else first.setdefault(_plain(name), name)
            if other == name:
                distinct.append(name)
                if (stem := re.sub(r"[\W_]*\d+$", "", name)) != name and stem in seen:
                    audit.remark(
                        f"{where}: {name!r} is taken for a phase of its own, beside {stem!r}; "
                        "--phase_map=FILE makes them one"
                    )
            else:
                audit.problem(
                    f"{where}: {name!r} is spelled like {other!r}, its rows have no label; "
                    "--phase_map=FILE says whether they are one"
                )
        return distinct


def read_phase_map(path: Path) -> dict[str, str]:
    """{spelling: name} of a table with the columns from,to; "" where a spelling is no phase.

    Raises:
      InputError: no such table, or one spelling stands for two names.
    """
    table = read_table(path, Strict())
    if [column.casefold() for column in table.columns[:2]] != ["from", "to"]:
        raise InputError(f"{path}:1: columns {some(table.columns)}; expected from, to")
    (froms, places), (tos, to_places) = table.texts(0), table.texts(1)
    result = {}
    for line, one, other in zip(table.lines, places, to_places, strict=True):
        name = "" if tos[other].casefold() in MISSING else tos[other]
        if result.setdefault(froms[one], name) != name:
            raise InputError(
                f"{path}:{line}: {froms[one]!r} stands for {result[froms[one]]!r} in a line "
                f"before, and for {name!r} here"
            )
    return result


def read_phase_list(path: Path) -> dict[str, str]:
    """Names of phases in order: {as it is annotated: name}, of a text file with one a line.

    A line "3 Dissection", "3,Dissection" or the like says that the annotations write 3 for it.

    Raises:
      InputError: not such a file, or a name is in it twice.
    """
    result = {}
    for number, line in enumerate(read_text(path, Audit()).split("\n"), 1):
        if not (text := line.strip()):
            continue
        match = re.fullmatch(r"(\d+)[\s,;:=]+(.+)", text)
        key, name = (match[1], match[2].strip()) if match else (text, text)
        if key in result or name in result.values():
            raise InputError(f"{path}:{number}: {text!r} again; expected each phase once")
        result[key] = name
    return result


def _plain(name: str) -> str:
    """What is left of a name without case, spaces, punctuation and accents; else the name itself.

    German umlauts are as they are typed without them: "Präparation" as "Praeparation".
    """
    folded = name.casefold()
    for umlaut, typed in (("ä", "ae"), ("ö", "oe"), ("ü", "ue")):
        folded = folded.replace(umlaut, typed)
    letters = unicodedata.normalize("NFKD", folded)
    return "".join(letter for letter in letters if letter.isalnum()) or name
