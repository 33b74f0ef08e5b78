r"""Makes a dataset: fetches, renders or takes videos, extracts frames, audits and indexes them.

The dataset is written to <data_rootdir>/<name>/. Every stage skips what is done, so that a run that
was stopped goes on when it is started again.

Examples:
  A miniature of Cholec80, rendered here, without any download (about a minute):
    python prepare.py --data_rootdir=datasets --synthetic

  Your own videos, of any format that FFmpeg reads, and images; annotations are not needed. The
  videos stay where they are and become frames, one a second:
    python prepare.py --data_rootdir=datasets --name=ours --videos=/recordings

  Operations that the recorder has cut into several files, joined; a remark of the call before says
  which ones are recognised by their names:
    python prepare.py --data_rootdir=datasets --name=ours --videos=/recordings --join_parts

  Cholec80 (85 GB, 166 GB while it is unpacked; mind its licence, CC BY-NC-SA 4.0):
    python prepare.py --data_rootdir=datasets --verify_checksum
    python prepare.py --data_rootdir=datasets --archive=/downloads/cholec80.tar.gz

  A dataset that is there already, in <data_rootdir>/<name>/videos or frames, or as TF-Cholec80's
  record files in <data_rootdir>/<name>, is never downloaded over: frames that are missing are
  extracted, and it is audited and indexed. Records become frames and annotations; they are kept.

  Polyps: PolypsSet (doi 10.7910/DVN/FCBUOR), the archive or the unpacked folder; whole frames, or
  crops of the polyps with a margin, a data set of their own; or a rendered miniature of it:
    python prepare.py --data_rootdir=datasets --dataset=polypsset --archive=/downloads/PolypsSet.zip
    python prepare.py --data_rootdir=datasets --dataset=polypsset --name=polyp_crops \
        --archive=datasets/polypsset --crop_margin=0.1
    python prepare.py --data_rootdir=datasets --dataset=polypsset --synthetic

  Any images in a folder for each class, with a CSV (image,sequence) of what is of one patient:
    python prepare.py --data_rootdir=datasets --dataset=classes --name=larynx \
        --images=/images --sequences=/images/sequences.csv

  Images of colonoscopy: Kvasir-SEG, CVC-ClinicDB, PolypGen and EndoTect, to pre-train on; NeoPolyp,
  whose masks become crops of polyps, neoplastic or not, or a class for whole frames:
    python prepare.py --data_rootdir=datasets --dataset=kvasir_seg --archive=/downloads/Kvasir-SEG
    python prepare.py --data_rootdir=datasets --dataset=neopolyp --name=neopolyp_crops \
        --archive=/downloads/bkai-igh-neopolyp --crop_margin=0.15

  CholecT45, CholecT50, M2CAI16, HeiChole, AutoLaparo, MultiBypass140 or Cataract-101, the archive
  or the unpacked folder, with the splits as published:
    python prepare.py --data_rootdir=datasets --dataset=cholect50 --archive=/downloads/CholecT50.zip

  The same with phases of any names, from a table with the columns video, start, end, phase:
    python prepare.py --data_rootdir=datasets --name=ours --videos=/recordings \
        --annotations=/recordings/phases.csv

Where patients have several videos, --patients=FILE (a CSV with the columns video and patient) says
whose each is; else DICOM files do, and names such as Pat_003_a and the folders of files suggest it.
No patient is in two parts of a split that is drawn, and the intervals of experiments draw patients.

Annotations are read from --annotations, which is copied to <name>/annotations, and from
<name>/phase_annotations/<video>-phase.txt and <name>/tool_annotations/<video>-tool.txt, in the
official format of Cholec80. The names of phases and tools are written to classes.json, what was
found to audit.json, the splits by video to splits.json.

Cleaning for pre-training deletes nothing: --drop_black, --drop_out_of_body and
--drop_near_duplicates write pretraining.parquet, an index without such frames, and --crop_borders
writes copies without borders to cropped/, which both indices then name.
data/indexing/cleaning.py says what is measured. Without these flags the next call goes back to
all frames as they are.

On many machines, by Apache Beam (docs/corpus.md); frames and index are the same:
    python prepare.py --data_rootdir=datasets --name=ours --videos=/recordings \
        --beam_pipeline_options=runner=FlinkRunner,flink_master=HOST:8081

--dry_run says what a call would do and what room it needs; --sheet=sheet.jpg draws frames of each
video with their times and phases.

The same command again adds what is new, and extracts again what has changed. What is not among the
usable files of --videos any more stays in the dataset, with a remark. --summary=FILE.json tells
other programs about it; --known_problems=FILE, the summary of another run, keeps what was broken
then from being a failure.

Images that were replaced by newer ones are taken again. A video is called by its file,
whichever folder was passed, and keeps its name; where several files have one, as many folders above
them are in the names as it takes to tell them apart.

Exit codes: 0 done; 1 done, but something could not be used (listed last); 2 wrong input (frames
that were extracted before it was found stay).
"""

if __name__ == "__main__":  # before what takes long to import
    from data.common import stopping

    stopping.end_at_once()

from absl import flags

from data.common import cli, summary
from data.common.errors import InputError
from data.dataset import cholec80
from data.kinds.kinds import KINDS

with cli.flag_group("The dataset"):
    flags.DEFINE_string("data_rootdir", None, "The folder of all datasets.", required=True)
    flags.DEFINE_string(
        "name",
        "cholec80",
        "The dataset's name, a folder in --data_rootdir. Other kinds have their own default.",
    )
    flags.DEFINE_enum(
        "dataset",
        "cholec80",
        [*KINDS],
        "The kind of dataset: Cholec80 and everything else with videos; a public dataset; or "
        "images in a folder for each class.",
    )

with cli.flag_group("Where videos and images come from"):
    flags.DEFINE_string(
        "videos",
        None,
        "A folder with videos, DICOM videos or images, which is searched recursively.",
    )
    flags.DEFINE_string(
        "archive",
        None,
        "The archive of a public dataset, fetched before. Of all but Cholec80, it may be unpacked.",
    )
    flags.DEFINE_string(
        "url", cholec80.ARCHIVE_URL, "Where to fetch Cholec80's archive, if --archive is not given."
    )
    flags.DEFINE_bool("verify_checksum", False, "Compare the MD5 of Cholec80's archive.")
    flags.DEFINE_bool("keep_archive", False, "Keep a fetched archive after unpacking it.")

with cli.flag_group("Operations in several files"):
    flags.DEFINE_string(
        "operations",
        None,
        "A CSV with the columns file, operation, order (1, 2, ...): which files of --videos are "
        "parts of one operation. They become one video of that name, whose clock runs on.",
    )
    flags.DEFINE_bool(
        "join_parts",
        False,
        "Join the files whose names say that they are parts: op12_part1.mp4, op12 (2).mp4, and "
        "equally long op12_001.mts. Without it, remarks say what it would join.",
    )

with cli.flag_group("A rendered miniature"):
    flags.DEFINE_bool("synthetic", False, "Render a miniature of Cholec80 or PolypsSet instead.")
    flags.DEFINE_integer(
        "synthetic_videos",
        16,
        "How many videos to render; of PolypsSet, how many sequences, 44 without this flag.",
    )
    flags.DEFINE_integer(
        "synthetic_seconds", 90, "The mean length of a rendered video, in seconds."
    )
    flags.DEFINE_integer(
        "seed", 0, "The seed of everything rendered; with --dataset=classes, of the split."
    )

with cli.flag_group("Frames that are extracted from videos"):
    flags.DEFINE_float("fps", 1.0, "How many frames to extract per second of video.")
    flags.DEFINE_string("format", "jpg", "The format of the frames, jpg or png.")
    flags.DEFINE_integer("quality", 95, "The quality of JPEG, from 1 to 100.")
    flags.DEFINE_integer(
        "size",
        None,
        "Reduce frames and images whose shorter side is longer than this, in pixels. Images of "
        "--videos become copies; the originals stay as they are.",
    )
    flags.DEFINE_integer(
        "workers", None, "How many videos to work on at once. Without it, one per core."
    )
    flags.DEFINE_string(
        "beam_pipeline_options",
        None,
        "Have workers of Apache Beam extract and read the videos: options of its pipelines, with "
        "commas between them, such as runner=DirectRunner. docs/corpus.md says more.",
    )

with cli.flag_group("Annotations of videos"):
    flags.DEFINE_string(
        "annotations",
        None,
        "A file or folder with phases or tools: tables of intervals or of frames, as CSV or text, "
        "files of ELAN, exports of Label Studio. It is copied into the dataset.",
    )
    flags.DEFINE_float(
        "annotation_fps",
        None,
        "How many annotated frames a second has, where the length of the videos does not tell.",
        lower_bound=0.001,
    )
    flags.DEFINE_string(
        "phases",
        None,
        "A text file with the names of all phases, one a line, in the order of their ids.",
    )
    flags.DEFINE_string(
        "phase_map",
        None,
        "A CSV with the columns from,to: which spelling stands for which phase.",
    )

with cli.flag_group("Patients"):
    flags.DEFINE_string(
        "patients",
        None,
        "A CSV with the columns video,patient (for images: sequence or image in place of video): "
        "whose the videos are. It is kept in the dataset.",
    )

with cli.flag_group("Cleaning for pre-training, which deletes nothing"):
    flags.DEFINE_bool("drop_black", False, "Leave out black frames.")
    flags.DEFINE_bool("drop_out_of_body", False, "Leave out frames without the colours of tissue.")
    flags.DEFINE_bool("drop_near_duplicates", False, "Leave out frames that repeat the one before.")
    flags.DEFINE_bool("crop_borders", False, "Cut off black borders, in copies of frames.")

with cli.flag_group("Frames packed for reading"):
    flags.DEFINE_bool(
        "pack",
        False,
        "Write the frames to packed/, too, a few large files that --config.data.source=packed "
        "reads: for millions of frames, or an object store. Given again, it packs what is new.",
    )
    flags.DEFINE_integer("pack_size", 256, "How many MB such a file has, at most 4000.")

with cli.flag_group("Images with classes"):
    flags.DEFINE_string(
        "images", None, "With --dataset=classes: the folder that has a folder for each class."
    )
    flags.DEFINE_string(
        "sequences",
        None,
        "With --dataset=classes: a CSV with the columns image,sequence that says which images are "
        "of one patient; with second, time or frame, also in which order. With --dataset=neopolyp: "
        "of its labelled images.",
    )
    flags.DEFINE_string(
        "split",
        None,
        "With --dataset=classes or neopolyp: a CSV with the columns image and split (train, "
        "validation, test) or fold.",
    )
    flags.DEFINE_enum(
        "class_folders",
        None,
        ["first", "last"],
        "With --dataset=classes: which folder names the class of images that lie deeper.",
    )
    flags.DEFINE_float(
        "crop_margin",
        None,
        "With --dataset=polypsset or neopolyp: crop the polyps, with this share of their size "
        "around them.",
    )

with cli.flag_group("Looking, before and after"):
    flags.DEFINE_bool(
        "dry_run",
        False,
        "Write nothing: say which videos there are, which frames would be extracted, how much room "
        "they need, and what cannot be used, as far as headers tell.",
    )
    flags.DEFINE_string(
        "sheet",
        None,
        "A picture, .jpg or .png, of frames of each video and their phases; of a dataset that is "
        "there, without other flags than its name, nothing else is done.",
    )

with cli.flag_group("For other programs"):
    summary.define_summary()


def main() -> int:
    """Makes the dataset; everything that can be checked is, before anything is written."""
    from data.kinds.request import Request
    from data.preparing import prepare

    holders = {name: flags.FLAGS[name] for name in Request.arguments()}
    prepared = prepare(**{name: flag.value for name, flag in holders.items() if flag.present})
    print(prepared)
    return cli.DONE_IN_PART if prepared.problems else cli.DONE


if __name__ == "__main__":
    cli.run(main, (InputError,), kept="what is done is kept; the same command goes on")
