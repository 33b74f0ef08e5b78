r"""What to annotate next: chooses videos, sequences of images, or intervals, and says why.

  python -m down_stream.select --embeddings=ours.parquet --budget=10 --output=round1.csv

Videos are chosen that are typical of clusters of all in which there are no labels yet (TypiClust);
sequences and intervals whose frames are like most others (coverage, after ProbCover). --strategy
says otherwise; uncertain takes, with a table of probabilities, those that the model is uncertain of
and that differ in their predicted classes (StepAL). The table is one that inference.py has written;
or it is made first, of a data set or of videos (--video_path):

  python -m down_stream.select --model_path=runs/ours/encoder --data_rootdir=datasets --name=ours \
      --budget=10% --output=round1.csv

--data_rootdir also says what has labels already (by --task) and which videos are for testing in
the default split: these are never chosen, nor are videos of their patients. --labelled=FILE names
more: a table with the column video, as round1.csv, or a name a line. Beside round1.csv, round1.html
shows where the chosen ones are among all, and key frames of each.

Exit code: 0 done, 1 some videos could not be read or used, 2 nothing could be done.
"""

if __name__ == "__main__":  # before what takes long to import
    from data.common import stopping

    stopping.end_at_once()

from absl import flags

from data.common import cli, summary
from data.common.errors import InputError, some

TABLES = flags.DEFINE_multi_string("embeddings", None, "table of inference.py; may be repeated")
MODEL = flags.DEFINE_string(
    "model_path", None, "instead of --embeddings: encoder, or the model/ of an experiment"
)
VIDEOS = flags.DEFINE_multi_string("video_path", None, "videos that --model_path is to embed")
DATA = flags.DEFINE_string("data_rootdir", None, "folder that holds the data set --name")
NAME = flags.DEFINE_string("name", "cholec80", "data set in --data_rootdir")
TASK = flags.DEFINE_string(
    "task", None, "labels of the data set that count: phases, classes, tools or another group"
)
UNIT = flags.DEFINE_enum(
    "unit",
    None,
    ["video", "sequence", "interval"],
    "what is annotated at a time; by default intervals for tools, sequences for classes, else "
    "whole videos",
)
INTERVAL = flags.DEFINE_float("interval", 60.0, "seconds of an interval", lower_bound=1.0)
BUDGET = flags.DEFINE_string("budget", "10", "how many to choose, or a share of all: 10%")
STRATEGY = flags.DEFINE_enum(
    "strategy",
    None,
    ["typical", "coverage", "uncertain", "random", "longest"],
    "how to choose; by default typical for videos, else coverage",
)
LABELLED = flags.DEFINE_multi_string(
    "labelled", [], "file that lists what has labels; may be repeated"
)
EXCLUDE = flags.DEFINE_multi_string("exclude", [], "video never to choose; may be repeated")
SEED = flags.DEFINE_integer("seed", 0, "seed of clusters and of random draws")
OUTPUT = flags.DEFINE_string("output", "selection.csv", "table to write; its page is beside it")
summary.define_summary()


def main() -> int:
    """Runs the command and returns its exit code."""
    from data.storage.locking import locked_file
    from data.storage.paths import output_file, to_path, to_paths
    from down_stream.lookup.tables import Table

    if bool(TABLES.value) == bool(MODEL.value):
        raise InputError("input: expected either --embeddings or --model_path")
    output = output_file("output", OUTPUT.value, ".csv")
    root = to_path(DATA.value) / NAME.value if DATA.value else None
    faults = []
    tables = to_paths(TABLES.value) if TABLES.value else [_embed(root, output, faults)]
    for path in tables:
        Table(path)  # refused before scikit-learn is imported, which takes seconds
    from down_stream.selection.selecting import Wanted, select

    wanted = Wanted(
        root=root,
        task=TASK.value,
        unit=UNIT.value,
        interval=INTERVAL.value,
        budget=BUDGET.value,
        strategy=STRATEGY.value,
        labelled=tuple(to_paths(LABELLED.value)),
        excluded=tuple(EXCLUDE.value),
        seed=SEED.value,
    )
    with locked_file(output):
        names, remarks = select(tables, wanted, output, faults)
    print(f"chosen: {some(names)}; written to {output} and {output.with_suffix('.html')}")
    for line in remarks:
        print(line)
    summary.note(faults + remarks, outputs=[output, output.with_suffix(".html")])
    return cli.DONE_IN_PART if faults or remarks else cli.DONE


def _embed(root, output, faults):
    """The table of --model_path, made or brought up to date beside the output."""
    from data.common.machine import user_cache
    from data.frames.listing import list_dataset, list_videos

    if bool(root) == bool(VIDEOS.value):
        raise InputError("--model_path: expected either --data_rootdir or --video_path with it")
    kept = user_cache("clocks")
    frames = list_dataset(root, kept=kept) if root else list_videos(VIDEOS.value, kept=kept)
    cli.import_tensorflow()
    from down_stream.inference.embeddings import Options, embed
    from down_stream.inference.result import describe
    from msn.formats.hub import encoder_path

    table = output.with_name(f"{output.stem}_embeddings.parquet")
    result = embed(encoder_path(MODEL.value), frames, table, Options())
    print(describe(result))
    faults += result.faults
    return table


if __name__ == "__main__":
    cli.run(main, (InputError,), kept="frames that are embedded are kept; the same command goes on")
