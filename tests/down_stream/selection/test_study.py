import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs.selection_study import get_config
from data.common.errors import InputError
from data.dataset.frame_index import load_index
from down_stream.selection import study
from tests.support.small_dataset import make_small_dataset


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """Twelve videos of two kinds, in which phases look otherwise: both kinds have to be seen."""
    root = make_small_dataset(tmp_path_factory.mktemp("study") / "ours", videos=12)
    index = load_index(root)
    random = np.random.default_rng(0)
    features = random.normal(0, 0.3, (len(index), 20))
    rare = index.video % 4 == 3
    features[np.arange(len(index)), index.phase + 7 * rare] += 2
    features[rare, 19] += 5
    table = pa.table(
        {
            "embeddings": pa.array(features.astype(np.float32).tolist()),
            "video": np.asarray(index.videos)[index.video],
            "frame": index.frame,
        }
    )
    pq.write_table(table, root / "table.parquet")
    config = get_config()
    config.data.root, config.embeddings = str(root), str(root / "table.parquet")
    config.budgets, config.draws, config.random_draws = (0.25, 0.5), 3, 2
    return config


def test_choosing_pays_where_kinds_differ_and_done_draws_are_kept(config, tmp_path, monkeypatch):
    summary = study.run_study(config, tmp_path)
    rows = {(row["strategy"], row["share"]): row for row in summary["table"]}
    assert len(rows) == 8
    assert rows["random", 0.25]["difference"] == 0
    assert rows["typical", 0.25]["difference"] > 0.05
    assert rows["typical", 0.5]["mean"] > rows["typical", 0.25]["mean"]
    for row in rows.values():
        assert row["interval"][0] <= row["mean"] <= row["interval"][1]
    assert json.loads((tmp_path / "study.json").read_text()) == summary
    assert len((tmp_path / "study.csv").read_text().splitlines()) == 1 + 3 * 8
    assert (tmp_path / "study.png").stat().st_size > 10_000
    assert "typical       25%" in study.text_table(summary)

    monkeypatch.setattr(study.Study, "draw", None)  # none is drawn again
    assert study.run_study(config, tmp_path) == summary
    config.C = 1.0
    with pytest.raises(InputError, match="holds another study"):
        study.run_study(config, tmp_path)
    config.C = 0.01
    table = pq.read_table(config.embeddings)
    doubled = np.stack(table["embeddings"].to_numpy()) * 2
    pq.write_table(table.set_column(0, "embeddings", pa.array(doubled.tolist())), config.embeddings)
    with pytest.raises(InputError, match="made with other features, labels or patients"):
        study.run_study(config, tmp_path)
    pq.write_table(table, config.embeddings)
    index = pq.read_table(f"{config.data.root}/index.parquet")
    other = np.roll(index["phase"].to_numpy(), 1)
    at = index.column_names.index("phase")
    changed = index.set_column(at, "phase", pa.array(other))
    pq.write_table(changed, f"{config.data.root}/index.parquet")
    with pytest.raises(InputError, match="made with other features, labels or patients"):
        study.run_study(config, tmp_path)
    pq.write_table(index, f"{config.data.root}/index.parquet")
    assert study.run_study(config, tmp_path) == summary


def test_patients_are_in_the_pool_or_in_the_test(config):
    found = study.Study(config)
    found.groups = [[0, 1, 2], *([n] for n in range(3, 12))]
    for seed in range(20):
        pool, test = found._split(seed)
        assert sorted([*pool, *test]) == list(range(12))
        assert len({n in pool for n in (0, 1, 2)}) == 1


def test_wrong_strategies_are_named(config, tmp_path):
    for strategies in (("random", "best"), ("typical",)):
        config.strategies = strategies
        with pytest.raises(InputError, match="strategies"):
            study.run_study(config, tmp_path / "none")
    assert not (tmp_path / "none").exists()
