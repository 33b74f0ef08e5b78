"""Files are recognised by their content, and what a file may be is said everywhere."""

import re

import pytest

from data.annotations.recognising import FORMATS, parts_of
from data.common.errors import InputError
from data.dataset.audit import Audit
from tests.support.places import ROOT


def test_a_file_of_no_format_is_told_which_there_are(tmp_path):
    file = tmp_path / "notes.docx"
    file.write_bytes(b"PK\x03\x04")
    with pytest.raises(InputError, match=r"notes\.docx: no annotations") as raised:
        parts_of(file, Audit())
    assert all(known.title in str(raised.value) for known in FORMATS)


def test_an_empty_file_is_none(tmp_path):
    file = tmp_path / "empty"
    file.touch()
    with pytest.raises(InputError, match="empty: no annotations"):
        parts_of(file, Audit())


@pytest.mark.parametrize(("suffix", "content"), [(".csv", "<a>"), (".txt", '\ufeff\n  {"a": 1}')])
def test_content_counts_and_not_the_name(tmp_path, suffix, content):
    file = tmp_path / f"op1{suffix}"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match="ELAN" if "<" in content else "Label Studio"):
        parts_of(file, Audit())


@pytest.mark.parametrize("title", [known.title for known in FORMATS])
def test_the_page_about_data_has_every_format(title):
    section = (ROOT / "docs" / "data.md").read_text().partition("## Annotations of your own")[2]
    rows = re.findall(r"^\|(.*?)\|", section.partition("\n## ")[0], re.MULTILINE)
    name = title.partition(" (")[0].rpartition(" of ")[2].removeprefix("a ")
    assert any(name in row for row in rows), f"docs/data.md: no row about {name}"
