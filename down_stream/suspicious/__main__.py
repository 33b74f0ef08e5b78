r"""Labels that contradict what frames look like: a list, and a page of what to look at first.

  python -m down_stream.suspicious --encoder=runs/ours/encoder --data_rootdir=datasets --name=ours \
      --output=suspicious.csv

Classifiers on the encoder's features, which have not learnt from the patient that they are asked
about, say what each frame looks like; intervals are listed by the evidence against their
annotation, and suspicious.html shows the first --seconds of them. --encoder may be a table of
features. --rehearse=0.05 alters that share of the intervals first, in memory alone, and says how
many of these are in the first tenth of the list: whether it would work here.

Exit code: 0 done, 2 nothing could be done.
"""

if __name__ == "__main__":  # before what takes long to import
    from data.common import stopping

    stopping.end_at_once()

from absl import flags

from data.common import cli
from data.common.errors import InputError

ENCODER = flags.DEFINE_string("encoder", None, "encoder, or a table of features")
ROOT = flags.DEFINE_string("data_rootdir", None, "folder that holds the data set --name")
NAME = flags.DEFINE_string("name", "cholec80", "data set in --data_rootdir")
FOLDS = flags.DEFINE_integer("folds", 5, "parts that are asked about in turn", lower_bound=2)
AROUND = flags.DEFINE_float(
    "around", 3.0, "seconds within which frames are neighbours", lower_bound=0.0
)
SECONDS = flags.DEFINE_float("seconds", 40.0, "seconds that the page shows", lower_bound=1.0)
REHEARSE = flags.DEFINE_float("rehearse", 0.0, "share of intervals to alter and to find", 0.0, 1.0)
SEED = flags.DEFINE_integer("seed", 0, "seed of the rehearsal and of the frames to learn from")
BATCH_SIZE = flags.DEFINE_integer("batch_size", 256, "frames that are encoded at once", 1)
OUTPUT = flags.DEFINE_string("output", "suspicious.csv", "table to write; its page is beside it")
flags.mark_flags_as_required(["encoder", "data_rootdir"])


def main() -> int:
    """Runs the command and returns its exit code."""
    from data.storage.locking import locked_file
    from data.storage.paths import check_local, output_file, to_path
    from down_stream.tasks import open_task

    check_local("--output", OUTPUT.value)
    output = output_file("output", OUTPUT.value, ".csv")
    roots = [to_path(ROOT.value) / NAME.value]
    # What a model has labelled is asked about, too.
    task = open_task("phases", roots, trust_model_labels=True)
    cli.import_tensorflow()
    from data.common.machine import user_cache
    from down_stream.features.encoders import open_encoder
    from down_stream.suspicious import page
    from down_stream.suspicious.asking import ask
    from msn.formats.hub import encoder_path

    scratch = {"image_size": 0, "resnet_weights": "none", "seed": SEED.value, "given": {}}
    encoder = open_encoder(encoder_path(ENCODER.value), "", **scratch)
    cache = str(user_cache("features"))
    asked = ask(roots, task, encoder, BATCH_SIZE.value, cache, AROUND.value)
    if REHEARSE.value:
        return rehearse(asked, task.number)
    ranked, joint = asked.rank(asked.labels, task.number, FOLDS.value, SEED.value)
    facts = {
        "data set": str(roots[0]),
        "features": str(ENCODER.value),
        "annotated": f"{len(ranked)} intervals of {len(asked.index.videos)} videos, "
        f"{len(asked.index)} frames",
        "asked": f"{FOLDS.value} folds by patient or video",
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    beside = output.with_suffix(".html")
    with locked_file(output):
        page.write_table(output, asked.index, ranked, task.classes)
        page.write_page(beside, asked.index, ranked, joint, task.classes, SECONDS.value, facts)
    number = sum(one.score > 0 for one in ranked)
    print(f"{len(ranked)} intervals, {number} with a part that looks more like another class")
    print(f"written to {output} and {beside}")
    return cli.DONE


def rehearse(asked, classes: int) -> int:
    """--rehearse."""
    from down_stream.suspicious.rehearsal import TOP, alter, found_share

    labels, altered = alter(asked.index.video, asked.labels, classes, REHEARSE.value, SEED.value)
    ranked, _ = asked.rank(labels, classes, FOLDS.value, SEED.value)
    for kind in ("moved", "renamed"):
        if of := [one for one in altered if one.kind == kind]:
            print(f"{kind:8} {found_share(ranked, of):.0%} of {len(of)}")
    print(
        f"found    {found_share(ranked, altered):.0%} of {len(altered)} altered intervals in the "
        f"first {TOP:.0%} of {len(ranked)}"
    )
    return cli.DONE


if __name__ == "__main__":
    cli.run(main, (InputError,))
