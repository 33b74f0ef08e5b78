import subprocess
import sys

import numpy as np

from data.common.configurations import ROOT
from data.dataset.frame_index import load_index
from data.storage.paths import to_path
from down_stream.comparison.colours import BRIGHTNESSES, HUES, SATURATIONS, colours_of
from down_stream.features.labelled_splits import seen_by
from msn.formats.files.feature_table import FeatureTable


def test_colours_are_told_apart_and_places_are_not():
    red, green = (np.zeros((40, 60, 3), np.uint8) for _ in range(2))
    red[..., 0], green[..., 1] = 255, 255
    half = np.concatenate([red[:, :30], green[:, :30]], axis=1)
    assert colours_of(red).shape == (HUES + SATURATIONS * BRIGHTNESSES,)
    assert colours_of(red) @ colours_of(red) == 2  # the shares of either histogram are 1
    assert colours_of(red)[:HUES] @ colours_of(green)[:HUES] == 0
    np.testing.assert_allclose(colours_of(half), colours_of(half[:, ::-1]), atol=0.02)
    assert 0.6 < colours_of(half)[:HUES] @ colours_of(red)[:HUES] < 0.8  # sqrt(1 / 2)


def test_a_thumbnail_tells_where_colours_are():
    red, green = (np.zeros((40, 60, 3), np.uint8) for _ in range(2))
    red[..., 0], green[..., 1] = 255, 255
    half = np.concatenate([red[:, :30], green[:, :30]], axis=1)
    found = colours_of(half, 8)
    np.testing.assert_array_equal(found[:48], colours_of(half))
    pixels = found[48:].reshape(8, 8, 3)
    np.testing.assert_allclose(pixels[:, :3], np.broadcast_to([1, 0, 0], (8, 3, 3)))
    np.testing.assert_allclose(pixels[:, 5:], np.broadcast_to([0, 1, 0], (8, 3, 3)))


def test_the_command_writes_a_table_that_stands_for_an_encoder(small_dataset, tmp_path):
    command = [sys.executable, "-m", "down_stream.comparison.colours"]
    command += [f"--data_rootdir={small_dataset.parent}", f"--name={small_dataset.name}"]
    command += [f"--output={tmp_path / 'colours.parquet'}", "--thumbnail=2"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    path = to_path(tmp_path / "colours.parquet")
    features, rows = FeatureTable(path).of(load_index([small_dataset]))
    assert features.shape == (56, 48 + 12)
    assert len(rows) == 56
    assert seen_by(path).is_all  # nothing was trained
