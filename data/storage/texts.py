"""Text files as people have them: in UTF-8, or as Excel and older programs write them."""

import codecs
import re

from data.common.errors import InputError
from data.storage.paths import AnyPath

_BINARY = re.compile(r"[\x00-\x08\x0e-\x1f]")


def read_any_text(path: AnyPath) -> tuple[str, str]:
    """Reads a text in UTF-8, in UTF-16 with its mark, or else in Windows-1252.

    Returns:
      The text, without a mark at its beginning; and a remark where it is read as Windows-1252,
      since any other one-byte encoding looks the same, "" elsewhere.

    Raises:
      InputError: no text.
      OSError: the file cannot be read.
    """
    content = path.read_bytes()
    is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    remark = ""
    try:
        try:
            text = content.decode("utf-16" if is_utf16 else "utf-8-sig")
        except UnicodeDecodeError as error:
            if is_utf16:
                raise
            line = content.count(b"\n", 0, error.start) + 1
            text = content.decode("cp1252")
            found = text.split("\n")[line - 1].strip()[:80]
            remark = f"{path}:{line}: not UTF-8; read as Windows-1252 (Western European): {found!r}"
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}:{line}: not text in UTF-8, UTF-16 or Windows-1252") from error
    if binary := _BINARY.search(text):
        line = text.count("\n", 0, binary.start()) + 1
        raise InputError(
            f"{path}:{line}: holds the byte {ord(binary[0])}; expected text in UTF-8, or in "
            "UTF-16 with its mark"
        )
    return text, remark
