import csv
import json
from pathlib import Path

import cv2
import pytest

from configs import phase_low_shot
from configs.videos import videos
from data.common.errors import InputError
from down_stream.cells.cell import GRID_KEYS
from down_stream.features.cache import fingerprint
from down_stream.features.encoders import open_encoder
from down_stream.low_shot.checks import check
from down_stream.low_shot.grid import run_grid
from down_stream.low_shot.table import tabulate, text_table
from msn.encoders import load_encoder, save_encoder
from msn.networks.encoder import Encoder
from tests.support.small_phases import small_config


class Experiment:
    """An experiment whose score is known: labels help, more so without pre-training.

    Args:
      stop_at: the call in which it is killed, its results half written.
    """

    def __init__(self, stop_at=None):
        self.configs = []
        self.stop_at = stop_at

    def more(self, config):
        return {}

    def __call__(self, config, workdir):
        self.configs.append(config)
        count = len(config.train_videos)
        score = (0.5 + 0.01 * count if config.encoder else 0.3 + 0.03 * count) + 0.01 * config.seed
        results = {
            "warnings": [],
            "metrics": {"video": {"f1": score}},
            **self.more(config),
            "config": json.loads(json.dumps(config.to_dict(), default=list)),
        }
        text = json.dumps(results)
        workdir.mkdir(parents=True, exist_ok=True)
        if len(self.configs) == self.stop_at:
            (workdir / "results.json").write_text(text[: len(text) // 2])
            raise KeyboardInterrupt
        (workdir / "results.json").write_text(text)
        return results


def grid_config(**changes):
    config = phase_low_shot.get_config()
    config.train_videos = videos(1, 10)
    config.encoders = (("msn", "runs/{seed}/encoder"), ("random", ""))
    config.fractions = (0.2, 0.5, 1.0)
    config.seeds = (0, 1)
    config.update(changes)
    return config


@pytest.fixture
def grid(tmp_path):
    experiment = Experiment()
    workdir = tmp_path / "grid"
    return workdir, run_grid(grid_config(), workdir, run=experiment), experiment


def test_every_cell_is_an_experiment_with_its_own_videos(grid):
    workdir, _, experiment = grid
    subsets = json.loads((workdir / "label_subsets.json").read_text())["subsets"]
    cells = {
        (config.encoder, len(config.train_videos), config.seed) for config in experiment.configs
    }
    assert len(cells) == len(experiment.configs) == 12
    for config in experiment.configs:
        names = subsets[str(len(config.train_videos))][str(config.seed)]
        assert list(config.train_videos) == names
        assert config.encoder in ("", f"runs/{config.seed}/encoder")
        assert config.validation_videos == videos(41, 48)
        assert "fractions" not in config
    assert (workdir / "msn_2videos_seed1" / "results.json").is_file()


def test_from_scratch_is_as_the_encoder_it_is_compared_with(grid):
    _, _, experiment = grid
    likes = {(config.encoder, config.seed): config.model.like for config in experiment.configs}
    assert likes == {
        ("", 0): "runs/0/encoder",
        ("", 1): "runs/1/encoder",
        ("runs/0/encoder", 0): None,
        ("runs/1/encoder", 1): None,
    }


def test_an_architecture_that_is_named_counts(tmp_path):
    experiment = Experiment()
    run_grid(grid_config(model={"variant": "vits16"}), tmp_path, run=experiment)
    assert {config.model.like for config in experiment.configs} == {None}


def test_networks_that_differ_are_said(tmp_path):
    class Networks(Experiment):
        def more(self, config):
            return {"network": {"image_size": 64 if config.encoder else 224}}

    summary = run_grid(grid_config(), tmp_path, run=Networks())
    (warning,) = summary["warnings"]
    assert warning == "msn differs from random in image size (64, not 224)"
    assert text_table(summary).endswith(f"warning: {warning}")


def test_the_table_has_means_and_sample_deviations(grid):
    workdir, summary, _ = grid
    assert json.loads((workdir / "low_shot.json").read_text()) == summary
    two = summary["table"]["msn"]["2"]
    assert two["mean"] == pytest.approx(0.525)
    assert two["std"] == pytest.approx(0.01 / 2**0.5)
    text = text_table(summary)
    assert "2 (20 %)" in text
    assert text.startswith("video f1 in %, mean ± deviation over 2 seeds\nlabelled videos ")
    assert "52.5 ± 0.7" in text
    with (workdir / "low_shot.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12
    assert list(rows[0]) == ["encoder", "videos", "seed", "score", "directory"]
    assert float(rows[0]["score"]) == pytest.approx(summary["cells"][0]["score"])
    picture = cv2.imread(str(workdir / "low_shot.png"))
    assert picture.std() > 10
    assert not list(workdir.glob(".*"))


def test_scores_that_are_undefined_do_not_count():
    rows = [
        {"encoder": "msn", "videos": 2, "score": score} for score in (0.25, None, 0.75, 0.5)
    ] + [{"encoder": "msn", "videos": 4, "score": None}]
    table = tabulate(rows)["msn"]
    assert (table["2"]["mean"], table["2"]["std"]) == (0.5, 0.25)
    assert (table["4"]["mean"], table["4"]["std"]) == (None, None)


def test_a_grid_that_was_killed_goes_on(tmp_path, grid):
    workdir, killed = tmp_path / "killed", Experiment(stop_at=5)
    with pytest.raises(KeyboardInterrupt):
        run_grid(grid_config(), workdir, run=killed)
    half = json.loads((workdir / "label_subsets.json").read_text())
    rest = Experiment()
    summary = run_grid(grid_config(), workdir, run=rest)
    assert len(rest.configs) == 12 - 4
    assert summary == grid[1]
    assert json.loads((workdir / "label_subsets.json").read_text()) == half
    done = Experiment()
    assert run_grid(grid_config(), workdir, run=done) == summary
    assert not done.configs


def test_a_manifest_that_is_there_counts(tmp_path):
    config = grid_config(fractions=(0.2,), seeds=(0,))
    run_grid(config, tmp_path, run=Experiment())
    manifest = json.loads((tmp_path / "label_subsets.json").read_text())
    manifest["subsets"]["2"]["0"] = ["video01", "video02"]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "label_subsets.json").write_text(json.dumps(manifest))
    other = Experiment()
    run_grid(config, tmp_path / "other", run=other)
    assert {config.train_videos for config in other.configs} == {("video01", "video02")}


def test_more_seeds_and_sizes_are_added(grid):
    workdir, _, _ = grid
    more = Experiment()
    config = grid_config(seeds=(0, 1, 2), numbers=(3,))
    summary = run_grid(config, workdir, run=more)
    assert len(more.configs) == 4 * 3 * 2 - 12
    assert list(summary["table"]["random"]) == ["2", "3", "5", "10"]


@pytest.mark.parametrize(
    "changes, named",
    [
        ({"epochs": 7}, "epochs 100 -> 7"),
        ({"train_videos": videos(1, 11)}, "other train_videos"),
        ({"encoders": (("msn", "other"), ("random", ""))}, "other"),
    ],
)
def test_cells_of_another_configuration_are_kept_and_said(grid, changes, named):
    workdir, _, _ = grid
    before = {path: path.read_bytes() for path in workdir.rglob("*.*") if path.is_file()}
    with pytest.raises(InputError, match=named):
        run_grid(grid_config(**changes), workdir, run=Experiment())
    assert before == {path: path.read_bytes() for path in before}


@pytest.mark.parametrize(
    "changes, named",
    [
        ({"encoders": ()}, "encoders"),
        ({"encoders": (("msn", "a"), ("msn", "b"))}, "each name once"),
        ({"encoders": (("msn",),)}, "msn"),
        ({"encoders": (("a/b", "c"), ("random", ""))}, "a/b"),
        ({"baseline": "other"}, "baseline is 'other'; expected one of msn, random"),
    ],
)
def test_what_is_no_grid(changes, named):
    check(grid_config())
    with pytest.raises(InputError, match=named):
        check(grid_config(**changes))


def test_the_demo_has_the_architecture_of_its_encoder():
    config = phase_low_shot.get_config("demo")
    check(config)
    assert dict(config.encoders) == {"msn": "runs/demo/msn/encoder", "random": ""}
    assert (config.model.variant, config.model.image_size) == ("vitmicro8", 64)
    with pytest.raises(ValueError, match="nothing, finetune or demo"):
        phase_low_shot.get_config("other")


def test_with_the_experiment_itself(small_dataset, tmp_path):
    from down_stream import experiment

    config = small_config(small_dataset)
    with config.unlocked():
        for key in GRID_KEYS:
            config[key] = phase_low_shot.get_config()[key]
    config.encoders, config.fractions, config.seeds = (("random", ""),), (0.5,), (0,)
    summary = run_grid(config, tmp_path, run=experiment.run)
    (cell,) = summary["cells"]
    assert cell["videos"] == 1
    assert 0 <= cell["score"] <= 1
    done = Experiment()
    assert run_grid(config, tmp_path, run=done) == summary
    assert not done.configs


class Fingerprinted(Experiment):
    """Notes which encoder it had, as the experiment does."""

    def more(self, config):
        if config.encoder:
            return {"encoder_fingerprint": fingerprint(load_encoder(Path(config.encoder)))}
        like = Path(config.model.like)
        facts = {"image_size": None, "resnet_weights": "none", "given": {}}
        from_scratch = open_encoder(None, "", **facts, seed=config.seed, like=like)
        return {"encoder_fingerprint": fingerprint(from_scratch)}


def test_an_encoder_that_was_trained_anew_under_its_path_is_noticed(tmp_path, caplog):
    tiny = {"image_size": 16, "patch_size": 8, "width": 12, "depth": 1, "num_heads": 3}
    path = tmp_path / "encoder"
    arguments = {"encoders": (("msn", str(path)), ("random", "")), "numbers": (2, 5), "seeds": (0,)}
    config = grid_config(fractions=(), **arguments)
    config.model.variant = ""  # that of the encoder

    def run():
        experiment = Fingerprinted()
        run_grid(config, tmp_path / "grid", run=experiment)
        return [bool(config.encoder) for config in experiment.configs]

    save_encoder(Encoder(**tiny, seed=0), path, {})
    assert run() == [True, False] * 2
    assert run() == []
    save_encoder(Encoder(**tiny, seed=1), path, {})
    assert run() == [True] * 2
    assert "msn_2videos_seed0: " in caplog.text and "has changed since" in caplog.text
    assert run() == []
    save_encoder(Encoder(**tiny | {"width": 24}, seed=1), path, {})
    assert run() == [True, False] * 2, "from scratch is as large as the encoder"
    assert run() == []
