r"""Where is another one like this: the frames nearest to an image or to a frame of a video.

  python -m down_stream.search --embeddings=ours.parquet --video=op1 --second=754
  python -m down_stream.search --embeddings=ours.parquet --image=bleeding.jpg --output=like.html

--embeddings are tables of inference.py; they become an index in the folder --index, which is
searched the next time without them. --image, and --second of --video, may be repeated: what is like
all of them is found. Of one video and --apart seconds, one frame is given. From 100,000 frames on,
Faiss is needed: pip install -r requirements-search.txt

The page has pictures and times, and opens recordings at these times where they are on this machine.

Exit code: 0 done, 2 nothing could be done.
"""

if __name__ == "__main__":  # before what takes long to import
    from data.common import stopping

    stopping.end_at_once()

from pathlib import Path

from absl import flags

from data.common import cli
from data.common.errors import InputError

TABLES = flags.DEFINE_multi_string("embeddings", None, "table of inference.py; may be repeated")
INDEX = flags.DEFINE_string(
    "index", None, "folder of the index; by default beside the first table, its name with .index"
)
IMAGES = flags.DEFINE_multi_string("image", [], "file with what is looked for; may be repeated")
MODEL = flags.DEFINE_string(
    "model_path", None, "encoder for --image, where it is not at the place that the tables name"
)
VIDEO = flags.DEFINE_string("video", None, "instead of --image: the name of a video in the tables")
SECONDS = flags.DEFINE_multi_float("second", [], "a time in --video; may be repeated")
NUMBER = flags.DEFINE_integer("number", 24, "how many frames to show", lower_bound=1)
APART = flags.DEFINE_float(
    "apart", 10.0, "least seconds between two frames of a video; 0 for all", 0.0
)
OUTPUT = flags.DEFINE_string("output", "search.html", "page to write")


def main() -> int:
    """Runs the command and returns its exit code."""
    from data.storage.locking import locked_file
    from data.storage.paths import check_local, output_file, to_paths
    from down_stream.search_index.building import build_index
    from down_stream.search_index.page import place_of, write_page
    from down_stream.search_index.query import find, query_of_images, query_of_rows
    from down_stream.search_index.searching import SearchIndex

    if not (TABLES.value or INDEX.value):
        raise InputError("input: expected --embeddings, or --index, where one was built")
    if bool(IMAGES.value) == bool(VIDEO.value) or bool(VIDEO.value) != bool(SECONDS.value):
        raise InputError("what to look for: expected either --image, or --video with --second")
    check_local("--output", OUTPUT.value)
    output = output_file("output", OUTPUT.value, ".html")
    tables = to_paths(TABLES.value or [])
    folder = Path(INDEX.value or f"{TABLES.value[0]}.index")
    check_local("--index", str(folder))
    index = build_index(tables, folder) if tables else SearchIndex(folder)
    asked, images = [], [Path(image) for image in IMAGES.value]
    if images:
        if missing := [image for image in images if not image.is_file()]:
            raise InputError(f"--image={missing[0]}: no such file")
        cli.import_tensorflow()
        query = query_of_images(index, images, MODEL.value)
    else:
        asked = [index.frame(index.row_of(VIDEO.value, second)) for second in SECONDS.value]
        query = query_of_rows(index, [one.row for one in asked])
    found = find(index, query, NUMBER.value, APART.value, asked)
    facts = {"Searched": f"{len(index):,} frames of {len(index.names['videos'])} videos"}
    output.parent.mkdir(parents=True, exist_ok=True)
    before = index.files_before([*asked, *found])
    with locked_file(output):
        write_page(output, asked, images, found, facts, index.manifest["fps"], before)
    for number, one in enumerate(found, 1):
        print(f"{number:3}  {one.likeness:.3f}  {place_of(one)}  {one.path}")
    print(f"written to {output}")
    return cli.DONE


if __name__ == "__main__":
    cli.run(main, (InputError,), kept="pieces of the index are kept; the same command goes on")
