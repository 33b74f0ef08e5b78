"""Every command that writes an output takes its lock: a second one is told to come again."""

import json

import pytest

from data.storage.locking import locked, locked_file
from tests.support.forked_commands import call
from tests.support.small_tables import make_rows, write_rows


@pytest.fixture(scope="module")
def inputs(tmp_path_factory, small_dataset):
    """{name of a command: its words but for --output}."""
    folder = tmp_path_factory.mktemp("inputs")
    table = write_rows(folder / "table.npz", make_rows(units=3, frames=4))
    (folder / "run").mkdir()
    (folder / "run" / "metrics.jsonl").write_text(json.dumps({"step": 1, "loss": 2.0}) + "\n")
    config = {"batch_size": 4, "model": {"num_prototypes": 8}}
    (folder / "run" / "config.json").write_text(json.dumps(config))
    data = [f"--data_rootdir={small_dataset.parent}", f"--name={small_dataset.name}"]
    return {
        "down_stream.select": [f"--embeddings={table}", "--budget=1"],
        "down_stream.contents": [f"--embeddings={table}"],
        "down_stream.search": [f"--embeddings={table}", "--video=video01", "--second=0"],
        "down_stream.comparison.colours": data,
        "data.views": data,
        "msn.curves": [folder / "run"],
    }


@pytest.mark.parametrize(
    ("command", "name"),
    [
        *(("down_stream.select", "out.csv"), ("down_stream.contents", "out")),
        *(("down_stream.search", "out.html"), ("down_stream.comparison.colours", "out.parquet")),
        *(("data.views", "out.png"), ("msn.curves", "out.png")),
    ],
)
def test_a_second_writer_of_an_output_is_told_to_wait(inputs, tmp_path, command, name):
    output = tmp_path / name
    words = ["-m", command, *inputs[command], f"--output={output}"]
    with locked_file(output) if output.suffix else locked(output):
        before = sorted(tmp_path.rglob("*"))
        done = call(*words)
        assert done.returncode == 75, done.stderr
        assert f"{output}: another run is writing here (process " in done.stderr
        assert sorted(tmp_path.rglob("*")) == before
    assert call(*words).returncode == 0
    assert output.exists() and not list(tmp_path.rglob("*lock"))
