from pathlib import Path

import numpy as np
import pytest

from data.annotation_formats.labels import Intervals
from data.annotations.naming import Names, read_phase_list, read_phase_map
from data.common.errors import InputError
from data.dataset.audit import Audit
from data.dataset.cholec80 import PHASES, TOOLS
from data.dataset.classes import Classes


def names_of(*phases, **groups):
    """Names that one file has, a line each from line 2 on."""
    names = Names()
    for group, values in {"phase": phases, **groups}.items():
        values = tuple(values)
        none, lines = np.empty(0), tuple(range(2, 2 + len(values)))
        names.add(Intervals(Path("t.csv"), group, values, none, none, none, lines=lines))
    return names


def test_phases_are_numbered_in_the_order_of_their_appearance():
    audit = Audit()
    classes = names_of("Zugang", "Naht", "手術", tools=("Schere",)).classes(Classes(), audit)
    assert classes == Classes(("Zugang", "Naht", "手術"), {"tools": ("Schere",)})
    assert (audit.problems, audit.remarks) == ([], [])


def test_cholec80_s_are_used_where_the_names_are_cholec80_s():
    names = names_of(PHASES[3], PHASES[0], tools=("Hook", "Grasper"))
    assert names.classes(Classes(), Audit()) == Classes(PHASES, {"tools": TOOLS})
    audit = Audit()
    names = names_of(*reversed(PHASES), "Lunch")
    assert names.classes(Classes(), audit).phases == PHASES, "the other is misspelt"
    assert "t.csv:9: 'Lunch' is unknown; expected Preparation" in audit.problems[0]
    other = names_of("Preparation", "Resection").classes(Classes(), Audit())
    assert other.phases == ("Preparation", "Resection"), "one word in common says nothing"


def test_ids_never_change_and_new_names_go_to_the_end():
    audit = Audit()
    classes = names_of("C", "A", "D").classes(Classes(("A", "B")), audit)
    assert classes.phases == ("A", "B", "C", "D")
    assert "'C' is a new phase" in audit.remarks[0]
    assert any("nothing is annotated as B any more" in remark for remark in audit.remarks)


@pytest.mark.parametrize(
    "other", ["naht", "NAHT ", "na-ht", "Na ht", "Nàht"], ids=["case", "end", "dash", "space", "è"]
)
def test_another_spelling_of_a_name_is_a_problem(other):
    audit = Audit()
    classes = names_of("Naht", "Zugang", other).classes(Classes(), audit)
    assert classes.phases == ("Naht", "Zugang")
    assert f"t.csv:4: {other!r} is spelled like 'Naht'" in audit.problems[0]


def test_umlauts_and_numbers_at_the_end():
    audit = Audit()
    names_of("Präparation", "Praeparation").classes(Classes(), audit)
    assert "spelled like" in audit.problems[0]
    audit = Audit()
    classes = names_of("Dissection", "Dissection 2").classes(Classes(), audit)
    assert classes.phases == ("Dissection", "Dissection 2")
    assert "'Dissection 2' is taken for a phase of its own" in audit.remarks[0]


def test_a_map_merges_spellings(tmp_path):
    path = tmp_path / "map.csv"
    path.write_text("from,to\nDissection 2,Dissection\npause,\n")
    mapped = Names(read_phase_map(path))
    file = names_of("Dissection", "Dissection 2", "pause").seen["phase"]
    none = np.empty(0)
    mapped.add(Intervals(path, "phase", tuple(file), none, none, none, lines=(2, 3, 4)))
    audit = Audit()
    assert mapped.classes(Classes(), audit).phases == ("Dissection",)
    assert (audit.problems, audit.remarks) == ([], [])
    path.write_text("from,to\na,b\na,c\n")
    with pytest.raises(InputError, match=r"map\.csv:3: 'a' stands for 'b'.*'c' here"):
        read_phase_map(path)
    path.write_text("old,new\na,b\n")
    with pytest.raises(InputError, match="columns old, new; expected from, to"):
        read_phase_map(path)


@pytest.mark.parametrize(("ids", "first"), [("012", 0), ("321", 1)])
def test_a_list_names_numbers(tmp_path, ids, first):
    path = tmp_path / "phases.txt"
    path.write_text("A\nB\nC\n")
    names, audit = names_of(*ids), Audit()
    known = names.use_list(read_phase_list(path), Classes(), path, audit)
    assert names.classes(known, audit, is_closed=True).phases == ("A", "B", "C")
    assert [names.name_of("phase", k) for k in ids] == [
        ("A", "B", "C")[int(k) - first] for k in ids
    ]
    assert f"numbered from {first}" in audit.remarks[0]
    assert audit.problems == []


def test_a_list_with_numbers_of_its_own(tmp_path):
    path = tmp_path / "phases.txt"
    path.write_text("7 Zugang\n3, Naht\n")
    assert read_phase_list(path) == {"7": "Zugang", "3": "Naht"}
    path.write_text("A\nB\nA\n")
    with pytest.raises(InputError, match=r"phases\.txt:3: 'A' again"):
        read_phase_list(path)


def test_a_list_is_complete_and_keeps_ids(tmp_path):
    path, audit = tmp_path / "phases.txt", Audit()
    path.write_text("A\nB\n")
    names = names_of("B", "C")
    known = names.use_list(read_phase_list(path), Classes(), path, audit)
    assert names.classes(known, audit, is_closed=True).phases == ("A", "B")
    assert "t.csv:3: 'C' is unknown; expected A, B" in audit.problems[0]
    with pytest.raises(InputError, match="this dataset has B already"):
        names_of("A").use_list(read_phase_list(path), Classes(("B",)), path, audit)
