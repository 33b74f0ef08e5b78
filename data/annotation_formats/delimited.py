"""Text tables as people have them: tabs, semicolons or commas, Windows line ends, UTF-16.

The first line is the header. Nothing is lost silently: what is no row is a problem that names its
line.
"""

import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import compute, csv

from data.common.errors import InputError, some
from data.dataset.audit import Audit
from data.dataset.classes import MAX_CLASSES
from data.storage.texts import read_any_text

DELIMITERS = "\t;,"
MAX_BYTES = 1 << 30
EXCEL = re.compile(r'"?sep=.(".*)?')  # what it may have above the header
QUOTED = r'(?:^|(?<=%s))"[^"]*(?:""[^"]*)*("?)'  # a cell, between delimiters
_ZEROS = re.compile(r"(\d+)[.,](0+)")
UNCLOSED = "quotes that do not close; expected one at each end of a cell"


@dataclass(frozen=True, eq=False)
class Table:
    """Rows of a text table.

    Attributes:
      path: the file.
      delimiter: between its columns.
      columns: their names, as the header has them, without spaces around them.
      cells: of each column its texts, as an array of categories [rows].
      lines: int64 [rows], number of each row's line in the file, from 1.
    """

    path: Path
    delimiter: str
    columns: tuple[str, ...]
    cells: tuple[pa.DictionaryArray, ...]
    lines: np.ndarray

    def texts(self, column: int) -> tuple[list[str], np.ndarray]:
        """The different contents of a column, without spaces around them, and int [rows] places.

        Line breaks within them are spaces: names of classes and videos are on one line elsewhere.
        """
        array = self.cells[column]
        texts = [" ".join(text.split("\n")).strip() for text in array.dictionary.to_pylist()]
        return texts, array.indices.to_numpy()

    def row(self, place: int) -> str:
        """The text of a row, "" of one without any."""
        text = self.delimiter.join(column[place].as_py() for column in self.cells)
        return text if text.strip(self.delimiter) else ""

    def taken(self, rows: np.ndarray) -> "Table":
        """The table with some of its rows, bool [rows]."""
        mask = pa.array(rows)
        cells = tuple(column.filter(mask) for column in self.cells)
        return Table(self.path, self.delimiter, self.columns, cells, self.lines[rows])

    def whole_numbers(self, column: int) -> np.ndarray:
        """int64 [rows], a column's numbers from 0 on; -1 where a cell is none."""
        array = self.cells[column]
        texts = pa.array(without_zeros(self.texts(column)[0]), pa.string())
        is_number = compute.match_substring_regex(texts, r"^[0-9]{1,18}$")
        numbers = compute.if_else(is_number, texts, "-1").cast(pa.int64())
        return numbers.take(array.indices).to_numpy(zero_copy_only=False)


def without_zeros(texts: list[str]) -> list[str]:
    """Numbers that all have decimals, and all of them zero, without these: 12 for "12.0".

    Three zeros may be those of a thousand behind a mark ("12.000"): they are decimals where a
    number is 0, or has more than three digits in front of them. Else all stay as they are.
    """
    numbers = [_ZEROS.fullmatch(text) for text in texts if text]
    found = [number for number in numbers if number]
    if not found or len(found) < len(numbers) or len({len(number[2]) for number in found}) > 1:
        return texts
    if len(found[0][2]) == 3 and not any(int(n[1]) == 0 or len(n[1]) > 3 for n in found):
        return texts
    return [re.split("[.,]", text)[0] for text in texts]


def read_table(path: Path, audit: Audit) -> Table:
    """Reads a table; Excel's line "sep=;" above the header is passed over.

    Args:
      path: the file.
      audit: receives what is odd, and a problem for each line that is no row.

    Raises:
      InputError: the file is missing, empty, not text, has one column, or quotes that do not close.
    """
    header, _, body = read_text(path, audit).partition("\n")
    line = 1
    if EXCEL.fullmatch(header.strip()):
        header, _, body = body.partition("\n")
        line = 2
    delimiter = max(DELIMITERS, key=header.count)
    columns = tuple(cell.strip().strip('"').strip() for cell in header.split(delimiter))
    if len(columns) < 2:
        raise InputError(
            f"{path}:{line}: header {header[:200]!r}; expected names of columns, with tabs, "
            "semicolons or commas between them"
        )
    if len(set(columns)) < len(columns):
        raise InputError(f"{path}:{line}: header {header[:200]!r}; expected each column once")
    return _parse(path, delimiter, columns, body, line + 1, audit)


def read_text(path: Path, audit: Audit) -> str:
    """A text file with Unix line ends and no blank lines at its end; raises as `read_table`."""
    if not path.is_file():
        raise InputError(f"{path}: no such annotation file")
    if path.stat().st_size > MAX_BYTES:
        raise InputError(f"{path}: more than {MAX_BYTES >> 20} MB; expected a table")
    text, remark = read_any_text(path)
    if not text.strip():
        raise InputError(f"{path}: empty")
    if remark:
        audit.remark(remark)
    text = unicodedata.normalize("NFC", text)  # an umlaut is one letter, or two on a Mac
    if "\r" in text:
        audit.remark(f"{path}:1: lines end with a carriage return (Windows); read all the same")
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.endswith("\n"):
        line = text.count("\n") + 1
        audit.remark(f"{path}:{line}: no newline at the end; rows may be missing after this one")
    return text.rstrip("\n")


def refuse_rows(table: Table, is_good: np.ndarray, expected: str, audit: Audit) -> Table:
    """The good rows, bool [rows], of a table; the others are a problem."""
    if is_good.all():
        return table
    first = int(np.argmin(is_good))
    count = int((~is_good).sum())
    audit.problem(
        f"{table.path}:{table.lines[first]}: {table.row(first)!r} is not a row; expected "
        f"{expected} ({count} such lines)"
    )
    return table.taken(is_good)


def check_names(table: Table, column: int, names: list[str]) -> None:
    """Raises `InputError` for more names in a column than a dataset can have."""
    if len(names) > MAX_CLASSES:
        raise InputError(
            f"{table.path}: {len(names)} names in the column {table.columns[column]!r}: "
            f"{some(names)}; expected at most {MAX_CLASSES}"
        )


def _row_lines(path: Path, body: str, first: int, delimiter: str) -> np.ndarray:
    """int64 [rows], in which line each row begins: a cell in quotes may go on over several.

    As for Arrow, quotes are those of a cell where they are the first of it: 5" is an inch.
    """
    number = body.count("\n") + 1 if body else 0
    begins, line, at = np.ones(number, bool), 0, 0
    if delimiter != "\t" and '"' in body:
        for cell in re.finditer(QUOTED % delimiter, body, re.MULTILINE):
            line, at = line + body.count("\n", at, cell.start()), cell.start()
            if not cell[1]:
                raise InputError(f"{path}:{first + line}: {UNCLOSED}")
            begins[line + 1 : line + 1 + cell[0].count("\n")] = False
    return first + np.flatnonzero(begins)


def _parse(path: Path, delimiter: str, columns, body: str, first: int, audit: Audit) -> Table:
    wrong = []  # (place, text) of what is no row

    def skip(row):
        wrong.append((row.number - 1, row.text))
        return "skip"

    lines = _row_lines(path, body, first, delimiter)
    names = [str(place) for place in range(len(columns))]
    types = dict.fromkeys(names, pa.dictionary(pa.int32(), pa.string()))
    rows = pa.schema(types).empty_table()
    if body:
        try:
            rows = csv.read_csv(
                pa.py_buffer(body.encode()),
                csv.ReadOptions(column_names=names, use_threads=False),
                csv.ParseOptions(
                    delimiter=delimiter,
                    quote_char=False if delimiter == "\t" else '"',
                    newlines_in_values=True,
                    ignore_empty_lines=False,
                    invalid_row_handler=skip,
                ),
                csv.ConvertOptions(column_types=types, null_values=[], strings_can_be_null=False),
            )
        except pa.ArrowInvalid as error:  # a cell of a megabyte: two that do not close
            raise InputError(f"{path}: {UNCLOSED}") from error
    if len(rows) + len(wrong) != len(lines):
        raise InputError(f"{path}: {UNCLOSED}")
    if wrong:
        audit.problem(
            f"{path}:{lines[wrong[0][0]]}: {wrong[0][1]!r} is not a row of {len(columns)} columns "
            f"({len(wrong)} such lines)"
        )
        lines = np.delete(lines, [place for place, _ in wrong])
    cells = tuple(column.unify_dictionaries().combine_chunks() for column in rows.columns)
    return Table(path, delimiter, columns, cells, lines)
