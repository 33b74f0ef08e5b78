"""Files that pympi, the writer, has written."""

import numpy as np
import pympi
import pytest

from data.annotation_formats.elan import linked_videos, open_elan, read_elan
from data.common.errors import InputError
from data.dataset.audit import Audit
from data.indexing.building import build_index
from tests.data.indexing.test_building import write_frames


def write_eaf(path, tiers, media="file:///C:/recordings/op%201.mp4"):
    """An .eaf file; tiers: {name: [(start, end, label)]} in milliseconds."""
    eaf = pympi.Eaf(author="a clinician")
    eaf.remove_tier("default")
    if media:
        eaf.add_linked_file(media, mimetype="video/mp4")
    for name, rows in tiers.items():
        eaf.add_tier(name)
        for start, end, label in rows:
            eaf.add_annotation(name, start, end, label)
    path.parent.mkdir(parents=True, exist_ok=True)
    eaf.to_file(path)
    return path


PHASES = [(0, 2000, "Zugang"), (2000, 4500, "Präparation")]


def read(path):
    audit = Audit()
    return read_elan(path, open_elan(path), audit), audit


def test_the_phase_tier_has_phases_and_others_are_groups(tmp_path):
    tiers = {"Tools": [(500, 3000, "Hook"), (1000, 2000, "Clip")], "Surgical phase": PHASES}
    (tools, phases), audit = read(write_eaf(tmp_path / "a.eaf", tiers))
    assert (tools.group, tools.names) == ("Tools", ("Hook", "Clip"))
    assert (phases.group, phases.names) == ("phase", ("Zugang", "Präparation"))
    seconds = np.array([0, 0.5, 1.999, 2, 4.4, 4.5])
    assert phases.at(seconds, 1.0).tolist() == [0, 0, 0, 1, 1, -1]
    assert tools.at(seconds, 1.0).tolist() == [[0, 0], [1, 0], [1, 1], [1, 0], [0, 0], [0, 0]]
    assert phases.fps == 1.0
    assert audit.problems == audit.remarks == []


def test_the_only_tier_has_the_phases(tmp_path):
    (phases,), _ = read(write_eaf(tmp_path / "a.eaf", {"anything": PHASES, "empty": []}))
    assert phases.group == "phase"


def test_overlaps_and_missing_labels_are_reported(tmp_path):
    rows = [*PHASES, (4000, 6000, "Naht"), (6000, 7000, " "), (8000, 9000, "---")]
    (phases,), audit = read(write_eaf(tmp_path / "a.eaf", {"phase": rows}))
    assert phases.at(np.array([3, 4.2, 5, 6.5, 8.5]), 1.0).tolist() == [1, -1, 2, -1, -1]
    (problem,) = audit.problems
    assert "a.eaf: phase: 'Naht' from 4 to 6: overlaps with another phase from 4 to 4.5" in problem
    assert len(audit.remarks) == 2


def test_two_tiers_with_phases_raise(tmp_path):
    tiers = {"phase A": PHASES, "phase B": PHASES}
    with pytest.raises(InputError, match="phase A, phase B; expected phases in one of them"):
        read(write_eaf(tmp_path / "a.eaf", tiers))


def test_tiers_that_refer_to_others_are_not_used(tmp_path):
    path = write_eaf(tmp_path / "a.eaf", {"phase": PHASES})
    eaf = pympi.Eaf(str(path))
    eaf.add_linguistic_type("comment", constraints="Symbolic_Association")
    eaf.add_tier("notes", ling="comment", parent="phase")
    eaf.add_ref_annotation("notes", "phase", 100, "bled")
    eaf.to_file(path)
    found, audit = read(path)
    assert [labels.group for labels in found] == ["phase"]
    assert "tier 'notes' refers to another tier; not used" in audit.remarks[0]


def test_an_offset_of_the_video_raises(tmp_path):
    path = write_eaf(tmp_path / "a.eaf", {"phase": PHASES})
    text = path.read_text()
    path.write_text(text.replace("<MEDIA_DESCRIPTOR", '<MEDIA_DESCRIPTOR TIME_ORIGIN="80"'))
    with pytest.raises(InputError, match="TIME_ORIGIN=80; expected milliseconds"):
        read(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("<html><body/></html>", "^[^ ]*: XML of html; expected ANNOTATION_DOCUMENT"),
        ("<ANNOTATION_DOCUMENT>", "damaged"),
        ("<ANNOTATION_DOCUMENT/>", "damaged"),
    ],
)
def test_other_files_raise(tmp_path, content, message):
    path = tmp_path / "a.eaf"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        open_elan(path)


def test_the_linked_video_is_found_and_else_the_stem(tmp_path):
    linked = write_eaf(tmp_path / "annotations" / "first.xml", {"phase": PHASES})
    assert linked_videos(open_elan(linked)) == ["file:/C:/recordings/op 1.mp4"]
    write_eaf(tmp_path / "annotations" / "op2.eaf", {"phase": PHASES[:1]}, media="gone.mp4")
    write_frames(tmp_path, "op 1", range(1, 7))
    write_frames(tmp_path, "op2", range(1, 4))
    audit = build_index(tmp_path)
    assert audit.problems == []
    assert any("first.xml: read as ELAN" in remark for remark in audit.remarks)
    assert {name: counts["labelled"] for name, counts in audit.videos.items()} == {
        **{"op 1": 5, "op2": 2}
    }
