"""Builds the index of tables of embeddings, piece by piece; a stopped call goes on."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data.common.errors import InputError
from data.common.progress import ProgressBar
from data.storage.locking import locked
from data.storage.paths import AnyPath
from data.storage.whole import whole_file, write_json
from down_stream.lookup.tables import ROWS_AT_ONCE, Rows, Table
from down_stream.search_index.codes import LARGE, import_faiss, write_codes
from down_stream.search_index.searching import MANIFEST, NAMES, SearchIndex, unit_vectors


def build_index(tables: Sequence[AnyPath], folder: Path, large: int = LARGE) -> SearchIndex:
    """Builds an index, or opens the one that is there of the same tables.

    Pieces that an earlier call has written are kept.

    Args:
      tables: of embeddings, as inference.py writes them.
      folder: of the index, local.
      large: frames from which codes are used.

    Raises:
      InputError: a table cannot be read, or they do not fit each other; or Faiss is needed and not
        there.
    """
    opened = [Table(path) for path in tables]
    first = opened[0]
    for table in opened[1:]:
        if table.width != first.width or _print(table) != _print(first):
            raise InputError(f"{table.path}: of another encoder than {first.path}")
    length = sum(table.length for table in opened)
    if length >= large:
        import_faiss()
    of = [[str(table.path), *_state(table.path)] for table in opened]
    with locked(folder):
        if _is_built(folder, of):
            return SearchIndex(folder)
        (folder / MANIFEST).unlink(missing_ok=True)
        centre = _centre(opened, folder, of)
        names = _write_pieces(opened, folder, centre, length)
        write_json(folder / NAMES, names)
        if length >= large:
            write_codes(folder, length, first.width)
        manifest = {"tables": of, "length": length, "width": first.width}
        manifest |= {"fps": first.metadata.get("fps"), "model": first.metadata.get("model")}
        manifest |= {"fingerprint": _print(first), "features": first.metadata.get("features")}
        write_json(folder / MANIFEST, {**manifest, "centre": centre.tolist()})
        return SearchIndex(folder)


def _print(table):
    return table.metadata.get("fingerprint")


def _state(path):
    state = path.stat()
    return state.st_size, state.st_mtime_ns


def _is_built(folder, of):
    try:
        return json.loads((folder / MANIFEST).read_text())["tables"] == json.loads(json.dumps(of))
    except (OSError, ValueError, KeyError):
        return False


def _centre(tables, folder, of):
    """The mean embedding; where tables have changed, pieces of before are removed."""
    kept = folder / "centre.json"
    if kept.is_file():
        told = json.loads(kept.read_text())
        if told["tables"] == json.loads(json.dumps(of)):
            return np.array(told["centre"], np.float32)
    for file in [*folder.glob("piece_*"), *folder.glob("*.faiss")]:
        file.unlink(missing_ok=True)
    total, count = 0, 0
    for table in tables:
        for rows in table.parts():
            total, count = total + rows.embeddings.sum(axis=0, dtype=np.float64), count + len(rows)
    write_json(kept, {"tables": of, "centre": (total / count).tolist()})
    return (total / count).astype(np.float32)


def _write_pieces(tables, folder, centre, length) -> dict:
    """Writes the pieces that are missing; returns the names of videos and files."""
    videos, paths = {}, {}
    bar = ProgressBar(desc="index", total=length, unit="frame")
    with bar:
        for number, rows in enumerate(_even_pieces(tables)):
            codes = [_numbers(rows.video, videos), _numbers(rows.path, paths)]
            vectors, columns = (folder / f"piece_{number:05d}{s}" for s in (".npy", ".npz"))
            if not columns.is_file():
                with whole_file(vectors) as side:
                    np.save(side, unit_vectors(rows.embeddings, centre).astype(np.float16))
                with whole_file(columns) as side:
                    np.savez(side, video=codes[0], second=rows.second, path=codes[1])
            bar.update(len(rows))
    return {"videos": list(videos), "paths": list(paths)}


def _even_pieces(tables):
    """The rows of all tables in pieces of one length, but for the last."""
    waiting = []
    for table in tables:
        for rows in table.parts(ROWS_AT_ONCE):
            waiting.append(rows)
            if sum(map(len, waiting)) >= ROWS_AT_ONCE:
                joined = Rows.joined(waiting)
                yield joined.take(slice(ROWS_AT_ONCE))
                waiting = [joined.take(slice(ROWS_AT_ONCE, None))]
    if sum(map(len, waiting)):
        yield Rows.joined(waiting)


def _numbers(names, known):
    different, place = np.unique(names, return_inverse=True)
    numbers = [known.setdefault(str(name), len(known)) for name in different]
    return np.array(numbers, np.int32)[place]
