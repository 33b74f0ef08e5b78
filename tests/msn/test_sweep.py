import pytest

from configs import phase_base
from data.common.configurations import with_overrides
from data.common.errors import InputError
from msn.sweep import LONGEST_NAME, Shard, read_sweep


@pytest.fixture
def config():
    return phase_base.get_config()


def read(tmp_path, config, *rows):
    file = tmp_path / "cells.txt"
    file.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return read_sweep(file, config)


def test_a_line_is_a_cell_whose_values_are_those_of_the_configuration(tmp_path, config):
    rows = (
        "# rates and seeds",
        "",
        "optimizer.learning_rate=1e-3 seed=2  # the first",
        "--config.batch_size=8 balance_classes=false features=mean encoder=12",
        """train_videos="('video01','video09')" epochs=3""",
        "optimizer.learning_rate=1 feature_cache=off",
        "resnet_weights=none positive_class=1",
    )
    lines = read(tmp_path, config, *rows)
    assert [dict(line.overrides) for line in lines] == [
        {"optimizer.learning_rate": 1e-3, "seed": 2},
        {"batch_size": 8, "balance_classes": False, "features": "mean", "encoder": "12"},
        {"train_videos": ("video01", "video09"), "epochs": 3},
        {"optimizer.learning_rate": 1, "feature_cache": "off"},
        {"resnet_weights": "none", "positive_class": "1"},
    ]
    assert lines[0].name == "optimizer.learning_rate=1e-3_seed=2"
    changed = with_overrides(config, lines[2].overrides)
    assert changed.train_videos == ("video01", "video09")
    assert config.epochs == 100  # as it was
    assert with_overrides(config, lines[3].overrides).optimizer.learning_rate == 1.0


def test_the_folder_of_a_cell_does_not_depend_on_other_lines(tmp_path, config):
    one = read(tmp_path, config, "seed=1", "seed=2")
    other = read(tmp_path, config, "epochs=3", "seed=2")
    assert one[1] == other[1]
    names = ("train", "test", "validation")
    long = " ".join(f"{name}_videos=\"('{'x' * 40}',)\"" for name in names)
    first = read(tmp_path, config, long)[0]
    assert len(first.name) == LONGEST_NAME


@pytest.mark.parametrize(
    "row, found",
    [
        ("sed=1", "line 2: unknown key 'sed'; did you mean seed?"),
        ("seed", "line 2: found 'seed'; expected key=value"),
        ("seed=many", "line 2: seed is 'many'; "),
        ("seed=1 seed=2", "line 2: seed twice"),
        ("workdir=x", "line 2: workdir which each cell has of its own"),
        ("encoder='x", "line 2: no closing quotation"),
        ("epochs=3", "line 2: has the same folder, epochs=3, as line 1"),
    ],
)
def test_what_is_no_line(tmp_path, config, row, found):
    with pytest.raises(InputError) as error:
        read(tmp_path, config, "epochs=3", row)
    assert found in str(error.value)
    assert str(error.value).startswith(str(tmp_path / "cells.txt"))


def test_what_is_no_file_of_cells(tmp_path, config):
    with pytest.raises(InputError, match="no cells in it"):
        read(tmp_path, config, "# nothing", "")
    with pytest.raises(InputError, match="no such file or directory; expected a text file"):
        read_sweep(tmp_path / "missing", config)
    (tmp_path / "image").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(InputError, match="not UTF-8; expected a text file"):
        read_sweep(tmp_path / "image", config)


def test_an_array_of_as_many_processes_as_cells_has_one_each():
    """As of Slurm: --array=1-3 and --shard=$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT."""
    shards = [Shard(number, 3) for number in (1, 2, 3)]
    places = [[place for place in range(3) if shard.has(place)] for shard in shards]
    assert places == [[0], [1], [2]]
