"""Facts about Cholec80: phases, tools, rates, splits, where the archive is.

Sources: Twinanda et al., "EndoNet: A Deep Architecture for Recognition Tasks on Laparoscopic
Videos", IEEE TMI 2017 (phases, tools, rates, the 40/40 split); CAMMA's TF-Cholec80 (archive URL,
checksum, order of the phases in its records); Czempiel et al., "TeCNO", MICCAI 2020 (the 32/8/40
split); Hirsch et al., MICCAI 2023, section 4 (Cholec80 protocol).
"""

SOURCE_FPS = 25  # frame rate of the videos and of the phase annotations
LABEL_FPS = 1  # rate at which frames are extracted and at which tools are annotated

# In surgical order: evaluation protocols that look at neighbouring phases rely on it.
PHASES = (
    "Preparation",
    "CalotTriangleDissection",
    "ClippingCutting",
    "GallbladderDissection",
    "GallbladderPackaging",
    "CleaningCoagulation",
    "GallbladderRetraction",
)
UNKNOWN_PHASE = -1

TOOLS = ("Grasper", "Bipolar", "Hook", "Scissors", "Clipper", "Irrigator", "SpecimenBag")

# TF-Cholec80's record files number the phases in their own order: join by name, never by number.
TFRECORD_PHASES = (
    "Preparation",
    "CalotTriangleDissection",
    "ClippingCutting",
    "GallbladderDissection",
    "GallbladderRetraction",
    "CleaningCoagulation",
    "GallbladderPackaging",
)

ARCHIVE_URL = "https://s3.unistra.fr/camma_public/datasets/cholec80/cholec80.tar.gz"
ARCHIVE_MD5 = "aee27edbb4454d399e8dc8195d128833"
ARCHIVE_BYTES_NEEDED = 166 * 10**9  # archive and unpacked files side by side


def video_name(number: int) -> str:
    """Name of the video with this number, counted from 1: 7 -> "video07"."""
    return f"video{number:02d}"


def _names(first: int, last: int) -> tuple[str, ...]:
    return tuple(video_name(number) for number in range(first, last + 1))


# Name -> the videos of training, validation and test; no video is in two of them.
SPLITS = {
    "40/8/32": {
        "train": _names(1, 40),
        "validation": _names(41, 48),
        "test": _names(49, 80),
    },
    "40/40": {"train": _names(1, 40), "validation": (), "test": _names(41, 80)},
    "32/8/40": {
        "train": _names(1, 32),
        "validation": _names(33, 40),
        "test": _names(41, 80),
    },
}
DEFAULT_SPLIT = "40/8/32"
