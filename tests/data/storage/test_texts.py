"""Tables as Excel saves them in Germany."""

import codecs

import pytest

from data.annotations.patients import check_patients
from data.common.errors import InputError
from data.dataset.audit import Audit
from data.image_classes.image_table import read_images
from data.images.finding import find_images
from data.storage.texts import read_any_text
from down_stream.metrics.predictions import read_predictions
from tests.data.images.test_folders import write_image

TEXT = "video;patient\nop1;Müller\n"
ENCODED = {
    "utf-8": TEXT.encode(),
    "utf-8 with a mark": codecs.BOM_UTF8 + TEXT.encode(),
    "utf-16-le": codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"),
    "utf-16-be": codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
    "windows": TEXT.encode("cp1252"),
}


@pytest.mark.parametrize("kind", ENCODED)
def test_texts_are_read_in_the_encodings_that_people_have(tmp_path, kind):
    path = tmp_path / "patients.csv"
    path.write_bytes(ENCODED[kind])
    text, remark = read_any_text(path)
    assert text == TEXT
    expected = f"{path}:2: not UTF-8; read as Windows-1252 (Western European): 'op1;Müller'"
    assert remark == (expected if kind == "windows" else "")
    assert check_patients(path) == [(2, "op1", "Müller")]


@pytest.mark.parametrize("content", [b"a\0b", b"\xff\xfe\0", b"a\n\x81", b"\x1b[31m", b"\x89P\1"])
def test_what_is_no_text_is_refused(tmp_path, content):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.csv:\d: (not text|holds the byte)"):
        read_any_text(tmp_path / "a.csv")


def test_tables_of_images_and_lists_and_predictions_are_read_so_too(tmp_path, caplog):
    write_image(tmp_path / "für_1.png")
    (tmp_path / "images.csv").write_bytes("image,sequence\nfür_1.png,Möller\n".encode("cp1252"))
    audit, files = Audit(), [tmp_path / "für_1.png"]
    found = read_images(tmp_path / "images.csv", ["sequence"], tmp_path, files, audit)
    assert found["sequence"] == {files[0]: "Möller"} and len(audit.remarks) == 1
    (tmp_path / "list.txt").write_bytes("für_1.png\n".encode("cp1252"))
    assert find_images(tmp_path / "list.txt", [])[0] == files
    table = "video,second,label,prediction\nMüller,0,Näht,Näht\nMüller,1,Näht,Knotet\n"
    (tmp_path / "predictions.csv").write_bytes(table.encode("cp1252"))
    predictions = read_predictions(tmp_path / "predictions.csv")
    assert set(predictions.video) == {"Müller"} and "Näht" in predictions.classes
    assert caplog.text.count("read as Windows-1252") == 2
