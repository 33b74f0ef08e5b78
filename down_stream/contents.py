r"""What is in these videos: for each a page of key frames, phases, useless parts, and one of all.

  python -m down_stream.contents --embeddings=ours.parquet --output=overview

--embeddings are tables of inference.py; with a phase model there are phases and their confidence,
too. Open overview/index.html: it needs no network. Black parts, those outside of the body and those
in which nothing moves are named, as are videos that show the same as others.

Exit code: 0 done, 1 some videos could not be read, 2 nothing could be done.
"""

if __name__ == "__main__":  # before what takes long to import
    from data.common import stopping

    stopping.end_at_once()

from absl import flags

from data.common import cli, summary
from data.common.errors import InputError, some

TABLES = flags.DEFINE_multi_string("embeddings", None, "table of inference.py; may be repeated")
OUTPUT = flags.DEFINE_string("output", "overview", "folder of the pages")
flags.mark_flag_as_required("embeddings")
summary.define_summary()


def main() -> int:
    """Runs the command and returns its exit code."""
    from data.storage.locking import locked
    from data.storage.paths import check_local, output_folder, to_paths
    from down_stream.lookup.tables import read_tables

    check_local("--output", OUTPUT.value)
    output = output_folder("output", OUTPUT.value)
    rows, classes, fps = read_tables(to_paths(TABLES.value))
    from down_stream.lookup.overview import write_overview  # scikit-learn takes seconds

    with locked(output):
        names, faults = write_overview(output, rows, classes, fps)
    print(f"{len(names)} videos: {some(names)}; open {output / 'index.html'}")
    for line in faults[:3]:
        print(line)
    if len(faults) > 3:
        print(f"and {len(faults) - 3} more")
    summary.note(faults, done=names, outputs=[output])
    return cli.DONE_IN_PART if faults else cli.DONE


if __name__ == "__main__":
    cli.run(main, (InputError,), kept="pages that are written stay; the same command writes all")
