"""A sweep of experiments: cells that are lines of a file, run as those of any grid are."""

from collections.abc import Callable, Sequence
from pathlib import Path

from ml_collections import ConfigDict

from data.common.errors import InputError
from data.storage.locking import locked
from down_stream import checks
from down_stream.cells.cell import Cell, make_cell
from down_stream.tasks import Task
from msn.sweep import Line, Shard


def plan_sweep(config: ConfigDict, lines: Sequence[Line], workdir: Path) -> tuple[list[Cell], Task]:
    """The experiments of a sweep, in folders of `workdir`; and what all of them recognise.

    Raises:
      InputError: one of them cannot work, as far as names, values and labels tell; or their tasks
        differ, whose scores no table compares.
    """
    cells = [
        make_cell(config, line.overrides, {"name": line.name}, workdir / line.name)
        for line in lines
    ]
    tasks = {}
    for cell in cells:
        try:
            checks.check(cell.config)
            task = checks.check_inputs(cell.config)
        except InputError as error:
            raise InputError(f"cell {cell.name}: {error}") from error
        tasks[task.name] = task
    if len(tasks) > 1:
        raise InputError(f"task: found {' and '.join(sorted(tasks))}; expected one for all cells")
    return cells, task


def run_sweep(
    cells: Sequence[Cell],
    run: Callable[[ConfigDict, Path], dict],
    score: tuple[str, str],
    shard: Shard,
) -> list[dict | None]:
    """The results of a sweep's cells, as `down_stream.cells.running.run_cells` returns them.

    Args:
      cells: what `plan_sweep` returns. What is done is not done again.
      run: the experiment.
      score: protocol and name of the task's score.
      shard: which of several processes this is, that share the workdir.

    Raises:
      InputError: a cell has results of another configuration; or another process, with the same
        shard, is running.
    """
    from down_stream.cells.finished import finished
    from down_stream.cells.opening import Encoders
    from down_stream.cells.running import run_cells

    note = "lock" if shard.count == 1 else f"lock.{shard.number}of{shard.count}"
    with locked(cells[0].directory.parent, note):
        encoders = Encoders()
        return run_cells(cells, finished(cells, encoders), run, score, encoders, shard)
