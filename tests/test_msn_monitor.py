import json

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from data.errors import InputError
from msn.monitor import MetricsLog, progress_bar, require_finite


def test_every_nth_and_the_last_step_are_logged(tmp_path):
    with MetricsLog(tmp_path, every=3, batch_size=8, first_step=0) as log:
        written = [
            log.write(step, {"loss": 1 / step}, {"learning_rate": 0.1}, last=step == 7) is not None
            for step in range(1, 8)
        ]
    assert written == [False, False, True, False, False, True, True]
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [3, 6, 7]
    assert lines[0] == {"step": 3, "loss": 1 / 3, "learning_rate": 0.1}
    assert lines[1]["images_per_second"] > 0
    events = EventAccumulator(str(tmp_path / "events"), size_guidance={"tensors": 0})
    events.Reload()
    assert [event.step for event in events.Tensors("loss")] == [3, 6, 7]


def test_lines_of_a_run_that_was_cut_off_go(tmp_path):
    for first_step in (0, 2):
        with MetricsLog(tmp_path, every=1, batch_size=8, first_step=first_step) as log:
            for step in range(first_step + 1, 5):
                log.write(step, {"loss": first_step}, {}, last=False)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [(line["step"], line["loss"]) for line in lines] == [(1, 0), (2, 0), (3, 2), (4, 2)]


def test_half_a_line_of_a_killed_run_goes(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": 2}\n{"step": 2, "lo')
    with MetricsLog(tmp_path, every=1, batch_size=8, first_step=2):
        pass
    assert (tmp_path / "metrics.jsonl").read_text() == '{"step": 1, "loss": 2}\n'


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_ends_the_run(loss):
    require_finite(1.0, 3)
    with pytest.raises(InputError, match="step 3"):
        require_finite(loss, 3)


def test_the_bar_starts_where_the_run_goes_on(capsys):
    with progress_bar(4, 10) as bar:
        bar.update()
    assert "5/10" in capsys.readouterr().err
