"""What is asked for, and the frames like it: at most one of a video within some seconds."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data.common.errors import InputError
from down_stream.lookup.tables import Table
from down_stream.search_index.searching import Found, SearchIndex, unit_vectors


def query_of_rows(index: SearchIndex, rows: Sequence[int]) -> np.ndarray:
    """float32 [width], of length 1: the mean of frames of the index."""
    return _mean(index.vectors(np.array(rows)))


def query_of_images(index: SearchIndex, images: Sequence[Path], model: str | None) -> np.ndarray:
    """float32 [width], of length 1: the mean of images, as the index's encoder sees them.

    Args:
      index: whose tables say the encoder.
      images: files.
      model: where the encoder is now; None for where the tables say it was.

    Raises:
      InputError: an image cannot be read, or the encoder is not there or another one.
    """
    from data.frames.listing import list_images
    from down_stream.choices import FEATURES
    from down_stream.inference.embeddings import Options, embed
    from msn.formats.hub import encoder_path

    model = model or index.manifest["model"]
    if not model:
        raise InputError(f"{index.folder}: does not say its encoder; expected --model_path")
    features = index.manifest["features"]
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder, "images.txt")
        listed.write_text("\n".join(str(image.absolute()) for image in images) + "\n")
        options = Options(features=features if features in FEATURES else None)
        output = Path(folder, "query.npz")
        result = embed(encoder_path(model), list_images(listed), output, options)
        if result.faults:
            raise InputError("; ".join(result.faults))
        table = Table(output)
        if table.width != index.manifest["width"] or (
            index.manifest["fingerprint"]
            and table.metadata["fingerprint"] != index.manifest["fingerprint"]
        ):
            raise InputError(f"{model}: another encoder than that of {index.folder}")
        return _mean(unit_vectors(table.read().embeddings, index.centre))


def find(
    index: SearchIndex,
    query: np.ndarray,
    number: int,
    apart: float = 10.0,
    known: Sequence[Found] = (),
) -> list[Found]:
    """The frames most like a query, best first.

    Args:
      index: of all frames.
      query: [width], of length 1.
      number: how many are wanted.
      apart: seconds; of frames of one video that are closer, the best is given. Of frames without a
        time, one of a video; with 0, every frame is given.
      known: frames next to which none is given.
    """
    wanted = 20 * number
    while True:
        rows, likeness = index.nearest(query, wanted)
        found, taken = [], {}
        for one in known:
            taken.setdefault(one.video, []).append(one.second)
        for row, value in zip(rows.tolist(), likeness.tolist(), strict=True):
            one = index.frame(row, value)
            seconds = taken.setdefault(one.video, [])
            if apart and any(not abs(one.second - other) >= apart for other in seconds):
                continue
            if any(one.row == other.row for other in known):
                continue
            seconds.append(one.second)
            found.append(one)
            if len(found) == number:
                return found
        if len(rows) >= len(index) or len(rows) < wanted:
            return found
        wanted *= 8


def _mean(vectors: np.ndarray) -> np.ndarray:
    mean = vectors.mean(axis=0)
    return mean / max(float(np.linalg.norm(mean)), 1e-12)
