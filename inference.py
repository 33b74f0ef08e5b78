r"""Embeddings, phase timelines, attention and maps of images and videos, with a pre-trained model.

--model_path is an encoder (an encoder directory, the published EndoSSL weights or SavedModel, a
checkpoint of facebookresearch/msn, a Hugging Face ViTMSN directory), or the model/ of a down-stream
experiment: then probabilities are written, too. One of four inputs:

  images      an image, a folder, a glob pattern, or a text file with one path per line (# comment)
    python inference.py --model_path runs/demo/msn/encoder \
        --image_path runs/demo/data/cholec80/frames/video13 --output embeddings.npz

  videos      files or folders, DICOM too, decoded at --fps, nothing is extracted; --join_parts and
              --operations join the files of an operation, as prepare.py does
    python inference.py --model_path runs/demo/probe/model \
        --video_path runs/demo/data/cholec80/videos --output embeddings.parquet

  a dataset   as prepare.py makes it; also TFDS and TF-Cholec80's record files
    python inference.py --model_path runs/demo/probe/model \
        --data_rootdir runs/demo/data --output demo.npz --attention attention --map map.html

  a stream    a video file, a camera (0 is the first) or an address (rtsp://, http://), labelled
              causally while it runs; with --output=live.npz, live_phases/<video>_stream.csv has all
    python inference.py --model_path runs/demo/probe/model \
        --stream runs/demo/data/cholec80/videos/video13.mp4

The table has one row a frame. In Python:

  table = numpy.load("embeddings.npz")
  table["embeddings"]      float32 [frames, width]; with --tokens=all [frames, tokens, width]
  table["video"], table["second"], table["path"]        second is NaN where names do not tell it
  table["probabilities"]   float32 [frames, classes], with a phase model; names in table["classes"]

--annotations=FOLDER writes what a model of phases, tools or other labels says as intervals, which
annotators correct and prepare.py --annotations reads (docs/annotation_rounds.md):

    python inference.py --model_path runs/demo/probe/model \
        --video_path runs/demo/data/cholec80/videos --annotations to_correct

With a phase model, embeddings_phases/<video>.csv and <video>.png (the timeline) are beside it. The
same command again, whatever ended the one before, costs what is new: videos that were added or have
changed. Those that are gone are named; with --gone=keep their rows stay. What was made is kept in
embeddings.npz.parts/; without it, all is made again but for rows of videos that are gone. What
cannot be read is named last.

--shard=I/N makes it one of N processes that share the videos, as the tasks of a Slurm array
(docs/cluster.md): each makes its own, and the last one that ends writes the table.

--summary=FILE.json tells other programs what was done, what is new and what could not be used;
--known_problems=FILE, the summary of another run, keeps what was broken then from being a failure.

Exit code: 0 done, 1 some input could not be used, 2 nothing could be done, 75 stopped by a signal
or Ctrl-C, or another process is making the same output.
"""

if __name__ == "__main__":  # before what takes long to import
    from data.common import stopping

    stopping.end_at_once()

from absl import flags

from data.annotation_writers.forms import FORMS
from data.common import cli, summary
from data.common.errors import InputError

MODEL = flags.DEFINE_string("model_path", None, "encoder, or the model/ of an experiment")
IMAGES = flags.DEFINE_string("image_path", None, "image, folder, glob pattern or .txt of paths")
VIDEOS = flags.DEFINE_multi_string(
    "video_path", None, "video, or folder with videos; may be repeated"
)
OPERATIONS = flags.DEFINE_string(
    "operations",
    None,
    "CSV with the columns file, operation, order: which files of --video_path are one video",
)
JOIN = flags.DEFINE_bool(
    "join_parts", False, "join files of --video_path whose names say that they are parts of one"
)
DATA = flags.DEFINE_string("data_rootdir", None, "folder that holds the dataset --name")
NAME = flags.DEFINE_string("name", "cholec80", "dataset in --data_rootdir")
STREAM = flags.DEFINE_string(
    "stream", None, "video file, number of a camera or address (rtsp, http), labelled live"
)
FPS = flags.DEFINE_float("fps", 1.0, "frames per second that are taken of a video")
OUTPUT = flags.DEFINE_string("output", "embeddings.npz", "table to write, .npz or .parquet")
FEATURES = flags.DEFINE_enum(
    "features",
    None,
    ["cls", "mean", "cls+mean", "last4"],
    "what is taken of a frame; by default what the model was made with, else cls, or mean where "
    "the encoder's family has it so",
)
TOKENS = flags.DEFINE_enum(
    "tokens",
    None,
    ["cls", "mean", "all"],
    "instead of --features: which tokens of the last --layers",
)
LAYERS = flags.DEFINE_integer("layers", None, "last blocks whose tokens are put side by side")
ATTENTION = flags.DEFINE_string("attention", None, "folder for pictures of the last attention")
MAP = flags.DEFINE_string("map", None, ".html file for a map of the embeddings, with thumbnails")
ANNOTATIONS = flags.DEFINE_string(
    "annotations", None, "folder for the model's predictions as intervals, for annotators"
)
FORMAT = flags.DEFINE_enum(
    "annotation_format",
    "csv",
    FORMS,
    "what --annotations writes: a table a video, a file of ELAN a video, or tasks of Label Studio",
)
MIN_SECONDS = flags.DEFINE_float(
    "min_seconds",
    None,
    "how long an interval of --annotations lasts at least; by default 5 where no temporal model "
    "smooths, and 0 where one does",
    lower_bound=0.0,
)
GONE = flags.DEFINE_enum(
    "gone",
    "drop",
    ["drop", "keep"],
    "what becomes of the rows of videos that earlier runs have seen and that are gone",
)
BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", 32, "frames at a time; results do not depend on it", lower_bound=1
)
SHARD = flags.DEFINE_string(
    "shard",
    None,
    "I/N: which of N processes this is that share the videos; they may run on several machines "
    "that see the same --output; the last one that ends writes the table",
)
GIVEN = cli.define_encoder_facts()
flags.mark_flag_as_required("model_path")
summary.define_summary()


def main() -> int:
    """Runs the command and returns its exit code."""
    from down_stream.embedding import check_input

    inputs = {"image_path": IMAGES, "video_path": VIDEOS, "data_rootdir": DATA, "stream": STREAM}
    check_input({name: flag.value for name, flag in inputs.items()})
    if STREAM.value and (OPERATIONS.value or JOIN.value):
        raise InputError("--operations and --join_parts: need --video_path, the files to join")
    if STREAM.value and SHARD.value:
        raise InputError("--shard: a stream cannot be shared; expected --video_path")
    if STREAM.value and ANNOTATIONS.value:
        raise InputError("--annotations: a stream has none; expected --video_path")
    if STREAM.value and (FORMAT.present or MIN_SECONDS.present):
        raise InputError("--annotation_format and --min_seconds: need --annotations, a folder")
    summary.note(inputs=VIDEOS.value or [IMAGES.value or DATA.value or STREAM.value])
    return label_stream() if STREAM.value else embed_frames()


def label_stream() -> int:
    """--stream."""
    from data.storage.paths import check_local, to_path
    from down_stream.inference.options import check_stream
    from msn.formats.hub import encoder_path

    check_local("--output", OUTPUT.value)
    if given := GIVEN():
        raise InputError(
            f"--{next(iter(given))}: a frame model says it itself; expected none with --stream"
        )
    model, output = encoder_path(MODEL.value), to_path(OUTPUT.value) if OUTPUT.present else None
    check_stream(model, STREAM.value, FPS.value)  # before TensorFlow's import, which takes seconds
    cli.import_tensorflow()
    from down_stream.inference import phase_stream

    result = phase_stream.label_stream(model, STREAM.value, output, FPS.value)
    print(phase_stream.summary(result))
    summary.note(problems=filter(None, [result.fault]), outputs=filter(None, [result.file]))
    if result.is_stopped:
        return cli.TRY_AGAIN
    return cli.DONE_IN_PART if result.fault else cli.DONE


def embed_frames() -> int:
    """All other inputs."""
    from down_stream.embedding import embed
    from down_stream.inference.result import Share, describe, describe_share

    result = embed(
        MODEL.value,
        OUTPUT.value,
        image_path=IMAGES.value,
        video_path=VIDEOS.value,
        data_rootdir=DATA.value,
        name=NAME.value,
        operations=OPERATIONS.value,
        join_parts=JOIN.value,
        fps=FPS.value,
        features=FEATURES.value,
        tokens=TOKENS.value,
        layers=LAYERS.value,
        attention=ATTENTION.value,
        map=MAP.value,
        annotations=ANNOTATIONS.value,
        annotation_format=FORMAT.value if FORMAT.present else None,
        min_seconds=MIN_SECONDS.value,
        gone=GONE.value,
        batch_size=BATCH_SIZE.value,
        shard=SHARD.value,
        **GIVEN(),
    )
    if isinstance(result, Share):
        print(describe_share(result))
        summary.note(result.faults, done=result.videos)
        return cli.DONE_IN_PART if result.faults else cli.DONE
    print(describe(result))
    lists = {name: getattr(result, name) for name in ("new", "changed", "gone")}
    summary.note(result.faults, done=result.videos, outputs=result.files, **lists)
    return cli.DONE_IN_PART if result.faults else cli.DONE


if __name__ == "__main__":
    cli.run(main, (InputError,), kept="what is done is kept; the same command goes on")
