"""What must be true of the facts, whoever edits them; figures are those of the publications."""

from itertools import chain

import pytest

from data.dataset.cholec80 import (
    DEFAULT_SPLIT,
    LABEL_FPS,
    PHASES,
    SOURCE_FPS,
    SPLITS,
    TFRECORD_PHASES,
    TOOLS,
    UNKNOWN_PHASE,
    video_name,
)

ALL_VIDEOS = [video_name(number) for number in range(1, 81)]


def test_videos_are_named_as_in_the_release():
    assert len(ALL_VIDEOS) == 80
    assert (ALL_VIDEOS[0], ALL_VIDEOS[9], ALL_VIDEOS[-1]) == ("video01", "video10", "video80")
    assert sorted(ALL_VIDEOS) == ALL_VIDEOS, "the order of names is that of numbers"


@pytest.mark.parametrize("name", SPLITS)
def test_splits_are_disjoint_and_complete(name):
    split = SPLITS[name]
    assert list(split) == ["train", "validation", "test"]
    assert list(chain(*split.values())) == ALL_VIDEOS  # none twice, none left out


@pytest.mark.parametrize(
    ("name", "sizes", "first_of_test"),
    [
        ("40/8/32", (40, 8, 32), "video49"),  # Hirsch et al. 2023
        ("40/40", (40, 0, 40), "video41"),  # Twinanda et al. 2017
        ("32/8/40", (32, 8, 40), "video41"),  # Czempiel et al. 2020
    ],
)
def test_splits_have_the_published_sizes(name, sizes, first_of_test):
    assert tuple(map(len, SPLITS[name].values())) == sizes
    assert SPLITS[name]["test"][0] == first_of_test
    assert len(SPLITS) == 3
    assert DEFAULT_SPLIT == "40/8/32"


def test_phases_are_in_surgical_order():
    """No step can come before the one that it needs; the ids are the places."""
    course = [
        "Preparation",
        "CalotTriangleDissection",  # exposes what is clipped
        "ClippingCutting",  # cuts what holds the gallbladder
        "GallbladderDissection",  # takes it off
        "GallbladderPackaging",  # into the bag
        "GallbladderRetraction",  # out of the body, with the bag
    ]
    places = [PHASES.index(phase) for phase in course]
    assert places == sorted(places)
    # The bed is cleaned once the gallbladder is off; TF-Cholec80 has packaging last.
    assert PHASES.index("CleaningCoagulation") == 5
    assert len(PHASES) == len(set(PHASES)) == 7
    assert UNKNOWN_PHASE not in range(7)


def test_record_files_have_the_same_phases_in_another_order():
    assert sorted(TFRECORD_PHASES) == sorted(PHASES)
    by_name = [PHASES.index(phase) for phase in TFRECORD_PHASES]
    assert by_name == [0, 1, 2, 3, 6, 5, 4]  # as a number of the records reads here


def test_tools_and_rates_are_those_of_the_official_files():
    header = "Grasper Bipolar Hook Scissors Clipper Irrigator SpecimenBag"
    assert tuple(header.split()) == TOOLS
    assert SOURCE_FPS == 25 * LABEL_FPS, "a tool row every 25 source frames"
