"""Features that were computed elsewhere, in files as inference.py or another program writes."""

import dataclasses
import json
from pathlib import PosixPath

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.common.errors import InputError
from data.dataset.frame_index import load_index
from data.frames.listing import list_dataset
from down_stream.experiment import run
from down_stream.inference.embeddings import Options, embed
from down_stream.lookup.tables import Table
from msn.encoders import load_encoder, save_encoder
from msn.formats.files.feature_table import FeatureTable, metadata_of
from msn.networks.encoder import create_encoder
from tests.support.forked_commands import call
from tests.support.small_msn import VARIANT
from tests.support.small_phases import small_config

pytestmark = pytest.mark.usefixtures("eager")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    path = tmp_path_factory.mktemp("encoder") / "encoder"
    return save_encoder(create_encoder(VARIANT, 16, seed=3), path, {})


@pytest.fixture(scope="module")
def tables(encoder, small_dataset, tmp_path_factory):
    """What inference.py writes of the whole dataset, {suffix: file}."""
    folder, found = tmp_path_factory.mktemp("tables"), {}
    for suffix in (".npz", ".parquet"):
        found[suffix] = folder / f"features{suffix}"
        embed(encoder, list_dataset(small_dataset, None), found[suffix], Options())
    return found


def columns_of(tables):
    with np.load(tables[".npz"]) as content:
        return {name: content[name] for name in content.files if content[name].ndim}  # by row


def experiment(root, encoder, workdir, **changes):
    changes = {"encoder": str(encoder), "model__variant": "", "batch_size": 14} | changes
    results = run(small_config(root, **changes), workdir)
    return results, (workdir / "predictions.csv").read_text()


@pytest.mark.parametrize(
    "suffix, changes",
    [
        (".npz", {"mode": "knn", "temporal": "tecno", "tecno__epochs": 2}),
        (".parquet", {"mode": "logistic"}),
        (".npz", {"mode": "probe"}),
    ],
)
def test_experiments_find_what_they_find_with_the_encoder(
    suffix, changes, encoder, tables, small_dataset, tmp_path
):
    ours, predictions = experiment(small_dataset, encoder, tmp_path / "encoder", **changes)
    theirs, same = experiment(small_dataset, tables[suffix], tmp_path / "table", **changes)
    assert ours["metrics"]["video"]["f1"] == pytest.approx(theirs["metrics"]["video"]["f1"])
    classes = [[line.split(",")[:4] for line in text.splitlines()] for text in (predictions, same)]
    assert classes[0] == classes[1]
    assert theirs["features"] == f"those of features{suffix}"
    assert theirs["encoder"] == str(tables[suffix])
    assert (tmp_path / "table" / "report.html").is_file()
    assert not (tmp_path / "table" / "model").exists()
    assert theirs["warnings"] == ours["warnings"]


def test_rows_may_be_in_any_order_and_of_other_videos(tables, small_dataset, tmp_path):
    columns, index = columns_of(tables), load_index(small_dataset)
    whole = FeatureTable(tables[".npz"]).of(index)[0]
    numbers = np.round(columns["second"]).astype(int) + 1
    assert FeatureTable(tables[".npz"]).key == "second"
    order = np.random.default_rng(0).permutation(len(numbers) + 1)
    other = {
        "video": np.append(columns["video"], "elsewhere")[order],
        "frame": np.append(numbers, 1)[order],
        "embeddings": np.append(columns["embeddings"], columns["embeddings"][:1], axis=0)[order],
    }
    path = tmp_path / "by_frame.parquet"
    lists = pa.array(other.pop("embeddings").astype(np.float64).tolist())
    pq.write_table(pa.table({"embeddings": lists, **other}), path)
    table = FeatureTable(path)
    assert table.key == "frame"
    for part in (index, index.select(["video02", "video04"])):
        features, rows = table.of(part)
        np.testing.assert_array_equal(rows, np.arange(len(part)))
        expected = whole[[index.videos.index(part.videos[v]) * 14 for v in part.video]]
        assert features.shape == expected.shape
    np.testing.assert_allclose(table.of(index)[0], whole, rtol=1e-6)


def test_no_file_of_pythons_is_given_to_arrow(tmp_path):
    """A thread of Arrow that lets go of one when the interpreter ends aborts the process."""
    columns = {"embeddings": [[0.5]], "video": ["video01"], "frame": [1]}
    pq.write_table(pa.table(columns), tmp_path / "table.parquet")

    class Watched(PosixPath):
        def open(self, *_):
            raise AssertionError("opened by Python")

    path = Watched(tmp_path / "table.parquet")
    assert FeatureTable(path).key == "frame"
    assert metadata_of(path) == {}
    assert len(Table(path).read()) == 1


def test_frames_may_be_counted_from_0(small_dataset, tmp_path):
    index = load_index(small_dataset)
    index = dataclasses.replace(index, frame=index.frame - 1)
    values = np.random.default_rng(0).normal(size=(len(index), 2)).astype(np.float32)
    names = np.array(index.videos)[index.video]
    np.savez(tmp_path / "table.npz", embeddings=values, video=names, frame=index.frame)
    features, rows = FeatureTable(tmp_path / "table.npz").of(index)
    assert len(rows) == len(index) and index.frame.min() == 0
    np.testing.assert_array_equal(features, values)


def test_frames_that_are_missing_are_named_and_do_not_count(
    tables, small_dataset, tmp_path, caplog
):
    columns = columns_of(tables)
    is_kept = ~((columns["video"] == "video04") & (columns["second"] >= 5))
    path = tmp_path / "part.npz"
    np.savez(path, **{name: values[is_kept] for name, values in columns.items()})
    results, predictions = experiment(small_dataset, path, tmp_path / "run", mode="knn")
    assert results["unreadable_frames"] == {"train": 0, "validation": 0, "test": 9}
    assert len(predictions.splitlines()) == 1 + 5
    assert "9 of 14 frames of video04 are missing: second 5, 6, 7 and 6 more" in caplog.text


@pytest.mark.parametrize("fps", [3, 29.97, 30])
def test_a_missing_frame_is_missing_at_any_rate(fps, small_dataset, tmp_path):
    """Thirds of a second, in milliseconds, are not as far apart as they are."""
    index = load_index(small_dataset).select(videos=["video01"])
    index = dataclasses.replace(index, fps=np.array([fps]))
    features = np.random.default_rng(0).normal(size=(14, 4)).astype(np.float32)
    for lost in (1, 5, 12):
        kept = np.arange(14) != lost
        file = tmp_path / f"{lost}.npz"
        video = np.full(13, "video01")
        np.savez(file, video=video, second=index.second[kept], embeddings=features[kept])
        found, rows = FeatureTable(file).of(index)
        assert rows.tolist() == np.flatnonzero(kept).tolist()
        np.testing.assert_array_equal(found, features[kept])


@pytest.mark.parametrize(
    "change, said",
    [
        (
            lambda c: c | {"second": c["second"] + 0.4 * (c["video"] == "video02")},
            r"14 frames of video02 are misaligned: 0.4 s for 0 s, .* and 11 more; expected the",
        ),
        (
            lambda c: {n: np.concatenate([v, v[:7]]) for n, v in c.items()},
            r"7 frames of video01 are in it more than once: second 0, 1, 2 and 4 more",
        ),
        (
            lambda c: c | {"video": np.char.add(c["video"], "x")},
            r"none of 28 frames of video01, video02; it has video01x, ",
        ),
        (lambda c: {n: v for n, v in c.items() if n != "video"}, "no video among its columns"),
        (lambda c: {n: v for n, v in c.items() if n != "second"}, "no frame or second among"),
        (lambda c: c | {"second": np.full(56, np.nan)}, "second is unknown in some rows"),
        (lambda c: c | {"frame": np.arange(56) - 1}, "frame -1; expected the numbers in"),
        (lambda c: c | {"embeddings": c["embeddings"][:, None]}, r"embeddings .* \[56, 1, 12\]"),
        (lambda c: c | {"embeddings": c["embeddings"] / 0}, "56 embeddings are not finite"),
        (lambda c: c | {"video": c["video"][:5]}, "video has the shape"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_what_cannot_be_told_apart_is_said(change, said, tables, small_dataset, tmp_path):
    path = tmp_path / "odd.npz"
    np.savez(path, **change(columns_of(tables)))
    with pytest.raises(InputError, match=f"odd.npz: {said}") as refusal:
        experiment(small_dataset, path, tmp_path / "run", mode="knn")
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "run" / "results.json").exists()


def test_what_a_table_is_not_for_is_refused(tables, small_dataset, tmp_path):
    table = tables[".parquet"]
    for changes, said in (
        (
            {"mode": "finetune"},
            "features.parquet: a table of features: can be probed, not fine-tuned; expected",
        ),
        ({"features": "mean"}, "features is 'mean' for .*features.parquet, which holds one kind"),
        ({"encoder_num_heads": 3}, "features.parquet: num_heads given for a table of features"),
        ({"encoder": str(tmp_path / "none.npz")}, "none.npz: no such file"),
        (
            {"encoder": "", "model__like": str(table)},
            "like=.*parquet: .* nor a table",
        ),
    ):
        with pytest.raises(InputError, match=said):
            experiment(small_dataset, changes.pop("encoder", table), tmp_path / "run", **changes)
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    (tmp_path / "broken.npz").write_bytes(b"PK")
    for name in ("broken.parquet", "broken.npz"):
        with pytest.raises(InputError, match=f"{name}: not a table that can be read"):
            FeatureTable(tmp_path / name)
    for path in tables.values():
        with pytest.raises(InputError, match="a table of features, not an encoder"):
            load_encoder(path)


def test_the_commands(tables, small_dataset, tmp_path):
    """New video is refused in one line; a grid over few labels takes a table like an encoder."""
    images = f"--image_path={small_dataset / 'frames' / 'video01'}"
    output = f"--output={tmp_path / 'new.npz'}"
    done = call("inference.py", f"--model_path={tables['.npz']}", images, output)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "a table of features, not an encoder: it has none of other frames" in done.stderr
    done = call(
        *("down_stream/main.py", "--config=configs/phase_low_shot.py"),
        f"--config.data.root={small_dataset}",
        f"--config.encoders=(('theirs', '{tables['.npz']}'),)",
        *("--config.baseline=theirs", "--config.numbers=(1, 2)", "--config.fractions=()"),
        *("--config.seeds=(0,)", "--config.train_videos=video01", "--config.train_videos=video02"),
        *("--config.validation_videos=video03", "--config.test_videos=video04"),
        *("--config.mode=logistic", f"--config.workdir={tmp_path / 'grid'}"),
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "grid" / "low_shot.json").read_text())["table"]["theirs"].keys()
