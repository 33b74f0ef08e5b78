"""Which training videos have labels when only some are to have them: drawn once, in a manifest.

Whole videos are drawn, because that is what is annotated, and because frames of one video are too
alike for some of them to stand for few labels (Hirsch et al., arXiv 2308.12394, section 4). No
class is forced into a subset: who annotates five videos gets what is in them; an experiment warns
of the classes it does not find.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from data.batches.seeds import generator
from data.common.errors import InputError, check_range, reason_of
from data.images.names import natural_key
from data.storage.whole import write_json

FORMAT = "label subsets 1"


def draw_subsets(
    videos: Sequence[str],
    fractions: Iterable[float],
    seeds: Iterable[int],
    numbers: Iterable[int] = (),
) -> dict:
    """A manifest of subsets of the training videos.

    Of one seed, the videos of a smaller subset are among those of a larger one. Sizes that come to
    the same number of videos are one.

    Args:
      videos: names of the training videos.
      fractions: of the videos, above 0, up to 1; at least one video is taken.
      seeds: ints >= 0.
      numbers: sizes in videos, besides.

    Returns:
      {"format", "videos": all of them, "subsets": {number of videos: {seed: names}}}, ready for
      JSON: the keys are strings, rising.

    Raises:
      InputError: a size or a seed is out of range, there are none, or a video is named twice.
    """
    videos = sorted(videos, key=natural_key)
    if twice := [name for name in dict.fromkeys(videos) if videos.count(name) > 1]:
        raise InputError(
            f"train_videos: {', '.join(twice)} given more than once; expected each once"
        )
    if not videos:
        raise InputError("train_videos is empty; expected names of labelled videos")
    seeds = sorted(set(seeds))
    for number in numbers:
        check_range("a number of training videos", number, 1, len(videos))
    for seed in seeds:
        check_range("a seed of the label subsets", seed, 0)
    shares = [*fractions, *(number / len(videos) for number in numbers)]
    sizes = {len(label_fraction(videos, share)): share for share in shares}
    if not sizes or not seeds:
        raise InputError("label subsets: no sizes or no seeds; expected one or more of each")
    return {
        "format": FORMAT,
        "videos": videos,
        "subsets": {
            str(size): {
                str(seed): list(label_fraction(videos, sizes[size], seed)) for seed in seeds
            }
            for size in sorted(sizes)
        },
    }


def write_subsets(path: str | Path, manifest: dict) -> None:
    """Writes a manifest as JSON; what is there is replaced at once."""
    write_json(Path(path), manifest)


def read_subsets(path: str | Path) -> dict:
    """Reads a manifest that `write_subsets` or anyone else wrote.

    Raises:
      InputError: no such file, or not such a manifest.
    """
    path = Path(path)
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        all_videos = set(manifest["videos"])
        for size, by_seed in manifest["subsets"].items():
            for seed, names in by_seed.items():
                wrong = set(names) - all_videos
                if wrong or not int(seed) >= 0 or len(set(names)) != int(size):
                    raise ValueError(f"subset of {size} videos, seed {seed}: {names}")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({reason_of(error)})") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: not a manifest of label subsets ({error})") from error
    return manifest


def label_fraction(videos: Sequence[str], fraction: float, seed: int = 0) -> tuple[str, ...]:
    """The training videos whose labels are used when only a share of them is to be.

    Whole videos: frames of one video are too alike for some of them to stand for few labels. Those
    of a smaller fraction are among those of a larger one (12.5 % of 40 are 5 videos).

    Args:
      videos: names of the training videos.
      fraction: of the videos, above 0, up to 1; at least one is taken.
      seed: int >= 0, of the choice.

    Returns:
      Names, in natural order.

    Raises:
      InputError: the fraction is out of range.
    """
    if not 0 < fraction <= 1:
        raise InputError(f"label fraction is {fraction}; expected above 0 and at most 1")
    return draw_videos(videos, max(1, round(fraction * len(videos))), seed)


def draw_videos(videos: Sequence[str], number: int, seed: int = 0) -> tuple[str, ...]:
    """So many of the videos, drawn by a seed; those of a smaller number are among a larger's."""
    ordered = sorted(videos, key=natural_key)
    chosen = generator(seed, 0).permutation(len(ordered))[:number]
    return tuple(ordered[place] for place in sorted(chosen))
