"""Features that see nothing but colours: what an encoder has to be better than.

  python -m down_stream.comparison.colours --data_rootdir=DIR --output=colours.parquet

Of each frame of a data set a histogram over hue, and one over saturation and brightness, in a table
that stands where an encoder would (--config.encoder=colours.parquet, or in a comparison). With
--thumbnail=8 the frame follows, 8 by 8 pixels: where the colours are.
"""

if __name__ == "__main__":  # before what takes long to import
    from data.common import stopping

    stopping.end_at_once()

import json
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from absl import flags

from data.common import cli
from data.common.errors import InputError
from data.common.logs import logger
from data.common.progress import ProgressBar
from data.dataset.frame_index import FrameIndex, load_index
from data.images.image_io import read_image, resize
from data.storage.locking import locked_file
from data.storage.paths import output_file, to_path
from data.storage.whole import whole_file

SIZE = 64  # pixels: a histogram needs no more
HUES, SATURATIONS, BRIGHTNESSES = 16, 4, 8  # bins

ROOT = flags.DEFINE_string("data_rootdir", None, "folder that holds the data set --name")
NAME = flags.DEFINE_string("name", "cholec80", "data set in --data_rootdir")
THUMBNAIL = flags.DEFINE_integer(
    "thumbnail", 0, "side in pixels of a thumbnail behind the colours; 0 for none", 0, SIZE
)
OUTPUT = flags.DEFINE_string("output", "colours.parquet", "table to write")


def colours_of(image: np.ndarray, thumbnail: int = 0) -> np.ndarray:
    """RGB uint8 [height, width, 3] -> float32 [48], square roots of two histograms' shares.

    The square root makes Euclidean distances those of Hellinger, which do not overrate what there
    is much of. With a thumbnail its pixels follow, 0..1, [48 + 3 * thumbnail ** 2].
    """
    hsv = cv2.cvtColor(resize(image, (SIZE, SIZE)), cv2.COLOR_RGB2HSV)
    hue = np.bincount(hsv[..., 0].ravel().astype(int) * HUES // 180, minlength=HUES)
    saturation = hsv[..., 1].ravel().astype(int) * SATURATIONS // 256
    place = saturation * BRIGHTNESSES + hsv[..., 2].ravel().astype(int) * BRIGHTNESSES // 256
    both = np.bincount(place, minlength=SATURATIONS * BRIGHTNESSES)
    shares = np.sqrt(np.concatenate([hue, both]) / SIZE**2).astype(np.float32)
    if not thumbnail:
        return shares
    pixels = resize(image, (thumbnail, thumbnail)).astype(np.float32) / 255
    return np.concatenate([shares, pixels.ravel()])


def write_colours(index: FrameIndex, path: Path, thumbnail: int = 0) -> None:
    """Writes the table of a data set's frames; those that cannot be read are not in it."""
    rows = []
    files = index.paths(np.arange(len(index)))
    for row, file in enumerate(ProgressBar(files, "colours", unit="frame")):
        try:
            rows.append((row, colours_of(read_image(file), thumbnail)))
        except InputError as error:
            logger.warning("left out: %s", error)
    if not rows:
        raise InputError(f"none of the {len(index)} frames can be read")
    places, features = zip(*rows, strict=True)
    chosen = index.take(np.array(places))
    table = pa.table(
        {
            "embeddings": pa.array([one.tolist() for one in features], pa.list_(pa.float32())),
            "video": np.asarray(chosen.videos)[chosen.video],
            "frame": chosen.frame,
        },
        metadata={"metadata": json.dumps({"seen": {"is_all": True}})},  # nothing was trained
    )
    with locked_file(path), whole_file(path) as side:
        pq.write_table(table, side)


def main() -> None:
    """Writes the table of --data_rootdir."""
    if ROOT.value is None:
        raise InputError("--data_rootdir is missing; expected the folder of a data set")
    path = output_file("output", OUTPUT.value, ".parquet")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_colours(load_index([to_path(ROOT.value) / NAME.value]), path, THUMBNAIL.value)
    print(f"written to {path}")


if __name__ == "__main__":
    cli.run(main, (InputError,))
