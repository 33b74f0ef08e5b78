"""Images of colonoscopy without classes: Kvasir-SEG, CVC-ClinicDB, PolypGen and EndoTect.

    Kvasir-SEG/images/cju0qkwl35piu0993l0dewei2.jpg, ... 1,000; masks/, kavsir_bboxes.json
    CVC-ClinicDB/Original/1.tif, ... 612; Ground Truth/       on Kaggle also PNG/Original/1.png
    EndoTect_2020_Segmentation_Test_Dataset/images/3a8b7449-61cf-4b91-843d-b0f2b458aba7.jpg, ... 200
    PolypGen2021_MultiCenterData_v3/data_C1/images_C1/*.jpg   ... C6, 1,537 single frames
        sequenceData/positive/seq1/images_seq1/*.jpg          ... seq23, 2,225 frames
        sequenceData/negativeOnly/seq1_neg/*.jpg              ... seq23_neg, 4,275 frames
        imagesAll_positive/                                   copies of these: not used

Masks and boxes are not read. What is known of belonging together is in the names of the videos: the
29 sequences of CVC-ClinicDB, and those of PolypGen, whose single frames have their centre in the
name. Every other image is a video of its own: nothing is known of patients, and one may have
several images. No time is known of any of them.

Sources: Jha et al., "Kvasir-SEG: A segmented polyp dataset", MMM 2020; Bernal et al., "WM-DOVA maps
for accurate polyp highlighting in colonoscopy", Computerized Medical Imaging and Graphics 43, 2015;
Hicks et al., "The EndoTect 2020 challenge", ICPR 2021; Ali et al., "A multi-centre polyp detection
and segmentation dataset for generalisability assessment", Scientific Data 10:75, 2023. Names of
files and folders are as public code reads them; we have not seen the archives. Which frames of
CVC-ClinicDB are one sequence is as two projects on GitHub have it, alike (the authors' own table we
have not seen); measured on a reduced copy, neighbours differ by 38 grey values at these boundaries
and by 14 elsewhere (medians of the mean difference of 32x24 pixels).
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from pathlib import Path

from data.common.errors import InputError, some
from data.images.names import natural_key
from data.public_datasets.layout import Found, matching

# The last frame of each sequence of CVC-ClinicDB, whose frames are numbered through.
CVC_LAST = (
    *(25, 50, 67, 78, 103, 126, 151, 177, 199, 205, 227, 252, 277, 297, 317),
    *(342, 363, 383, 408, 428, 447, 466, 478, 503, 528, 546, 571, 591, 612),
)
UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"


def find_kvasir_seg(folder: Path) -> Found:
    """Kvasir-SEG below a folder; raises `InputError` where it is not."""
    example = "images/cju0qkwl35piu0993l0dewei2.jpg"
    (images,) = matching(folder, example, r"images/(c[0-9a-z]{24})\.(?:jpg|png)")
    return _single("kvasir_seg", images)


def find_endotect(folder: Path) -> Found:
    """EndoTect's images for segmentation below a folder; raises `InputError` where they are not."""
    example = "images/3a8b7449-61cf-4b91-843d-b0f2b458aba7.jpg"
    (images,) = matching(folder, example, rf"images/({UUID})\.(?:jpg|png)")
    return _single("endotect", images)


def find_cvc_clinicdb(folder: Path) -> Found:
    """CVC-ClinicDB below a folder, as TIFF or PNG; raises `InputError` where it is not."""
    (images,) = matching(folder, "Original/1.tif", r"Original/(\d+)\.(?:tif|tiff|png)")
    numbers = {int(name): file for name, file in images.items()}
    if wrong := [file.name for number, file in numbers.items() if not 0 < number <= CVC_LAST[-1]]:
        raise InputError(
            f"{folder}: {some(wrong)} in Original/; expected CVC-ClinicDB's frames, of which "
            f"sequences are known: 1 to {CVC_LAST[-1]}"
        )
    videos = {}
    for number in sorted(numbers):
        sequence = bisect_left(CVC_LAST, number) + 1
        videos.setdefault(f"cvc_clinicdb_{sequence:02d}", []).append(numbers[number])
    return Found((), {}, images=videos)


def find_polypgen(folder: Path) -> Found:
    """PolypGen, frames and sequences, below a folder; raises `InputError` where it is not."""
    name = r"[^/.][^/]*\.(?:jpg|png)"
    centres, positive, negative = matching(
        folder,
        "data_C1/images_C1/100H0050.jpg",
        rf"data_(C\d+/images_C\d+/{name})",
        rf"sequenceData/positive/(seq\d+/images_seq\d+/{name})",
        rf"sequenceData/negativeOnly/(seq\d+(?:_neg)?/{name})",
    )
    videos = {}
    for path, file in centres.items():
        videos[f"polypgen_{path.partition('/')[0]}_{file.stem}"] = [file]
    for path, file in positive.items():
        videos.setdefault(f"polypgen_{path.partition('/')[0]}", []).append(file)
    for path, file in negative.items():
        sequence = path.partition("/")[0].removesuffix("_neg")
        videos.setdefault(f"polypgen_{sequence}_neg", []).append(file)
    return Found((), {}, images=_sorted(videos))


def _single(dataset: str, images: Mapping[str, Path]) -> Found:
    """Images of which each is a video of its own."""
    return Found((), {}, images={f"{dataset}_{name}": [file] for name, file in images.items()})


def _sorted(videos: Mapping[str, Iterable[Path]]) -> dict[str, list[Path]]:
    return {
        name: sorted(files, key=lambda file: natural_key(file.name))
        for name, files in videos.items()
    }
