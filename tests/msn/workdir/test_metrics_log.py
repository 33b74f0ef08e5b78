import contextlib
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator

from data.common.errors import InputError
from data.common.progress import ProgressBar
from msn.workdir.metrics_file import open_metrics
from msn.workdir.metrics_log import MetricsLog, headline, spread
from tests.support.run_directories import metrics_in


def metrics(**changes):
    return {"loss": 2.0, "updated": 1.0, "embedding_covariance": np.eye(4) / 4} | changes


def write_steps(workdir, first_step, last_step, loss=2.0):
    with MetricsLog(workdir, batch_size=8, first_step=first_step) as log:
        for step in range(first_step + 1, last_step + 1):
            log.add(step, metrics(loss=loss), {"learning_rate": 0.1})
            assert log.failure() is None
            log.write()


def test_what_is_logged(tmp_path):
    with MetricsLog(tmp_path, batch_size=8, first_step=0) as log:
        batches = iter("abcd")
        for step in (1, 2, 3, 4):
            assert log.wait_for(batches) == "abcd"[step - 1]
            log.add(step, metrics(loss=1 / step), {"learning_rate": 0.1})
            if step % 2 == 0:
                assert log.failure() is None
                log.write({"knn_macro_f1": 0.5} if step == 4 else None)
    first, second = metrics_in(tmp_path)
    values = {"step": 2, "loss": 0.5, "learning_rate": 0.1, "embedding_std": 1, "effective_rank": 4}
    assert first == pytest.approx(values)  # no speed: it has compiled meanwhile
    assert (second["step"], second["loss"], second["knn_macro_f1"]) == (4, 0.25, 0.5)
    assert second["images_per_second"] > 0
    assert 0 <= second["waiting_for_input"] <= 1
    events = EventAccumulator(str(tmp_path / "events"), size_guidance={"tensors": 0})
    events.Reload()
    assert [event.step for event in events.Tensors("loss")] == [2, 4]


def test_waiting_is_a_share_of_the_time(tmp_path, monkeypatch):
    """A clock that goes on by 3 seconds while a batch is waited for, and by 1 in a step."""
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])

    def slow():
        while True:
            now[0] += 3
            yield None

    batches = slow()
    with MetricsLog(tmp_path, batch_size=8, first_step=0) as log:
        for step in (1, 2, 3):
            log.wait_for(batches)
            log.add(step, metrics(), {})
            now[0] += 1
            values = log.write()
    assert values["waiting_for_input"] == 0.75
    assert values["images_per_second"] == 2


@pytest.mark.parametrize(
    "shares, said",
    [
        ([0.0, 0.5, 0.5, 0.5, 0.5, 0.5], 1),  # the first has compiled, and counts for nothing
        ([0.0, 0.5, 0.5, 0.5, 0.09, 0.5, 0.5, 0.5], 1),
        ([0.9, 0.5, 0.5, 0.09, 0.5, 0.5], 0),
        ([0.9, 0.09, 0.09, 0.09, 0.09], 0),
    ],
)
def test_the_bottleneck_is_named_once_when_waiting_stays(
    tmp_path, monkeypatch, caplog, shares, said
):
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])

    def batches():
        for share in shares:
            now[0] += share
            yield None

    waited = batches()
    with MetricsLog(tmp_path, batch_size=8, first_step=0) as log:
        for step, share in enumerate(shares, 1):
            log.wait_for(waited)
            now[0] += 1 - share
            log.add(step, metrics(), {})
            log.write()
    lines = [line for line in caplog.messages if "bottleneck" in line]
    assert len(lines) == said
    assert all("--size=480" in line and "more cores" in line for line in lines)
    if said and shares[1] == 0.5 == shares[3]:
        assert "50 % of the time" in lines[0]


def test_the_first_step_that_is_not_finite_is_found_with_its_terms(tmp_path):
    with MetricsLog(tmp_path, batch_size=8, first_step=0) as log:
        for step in (1, 2, 3):
            wrong = {"loss": np.nan, "me_max": np.inf, "updated": 0.0} if step > 1 else {}
            log.add(step, metrics(**wrong), {})
        assert log.failure() == (2, "loss, me_max")


def test_lines_of_a_run_that_was_cut_off_go(tmp_path):
    write_steps(tmp_path, 0, 5, loss=1.0)
    second = int(time.time())
    while int(time.time()) == second:  # files of one second are sorted as text, a 10th before a 9th
        time.sleep(0.02)
    write_steps(tmp_path, 2, 4, loss=3.0)
    expected = [(1, 1.0), (2, 1.0), (3, 3.0), (4, 3.0)]
    assert [(line["step"], line["loss"]) for line in metrics_in(tmp_path)] == expected
    events = EventAccumulator(str(tmp_path / "events"), size_guidance={"tensors": 0})
    events.Reload()
    shown = [(e.step, float(tf.make_ndarray(e.tensor_proto))) for e in events.Tensors("loss")]
    assert shown == expected


def test_half_a_line_of_a_killed_run_goes(tmp_path):
    whole = '{"step": 1, "loss": 2}\n'
    for half in ('{"step": 2, "lo', '{"step": 2}'):
        (tmp_path / "metrics.jsonl").write_text(whole + half)
        write_steps(tmp_path, 2, 2)
        assert (tmp_path / "metrics.jsonl").read_text() == whole


def test_signs_of_collapse():
    rng = np.random.default_rng(0)

    def of(x):
        x = x / np.linalg.norm(x, axis=1, keepdims=True)
        return spread(np.cov(x.astype(np.float32), rowvar=False, bias=True))

    healthy = of(rng.normal(size=(5000, 16)))
    assert healthy["embedding_std"] == pytest.approx(1, abs=0.01)
    assert healthy["effective_rank"] == pytest.approx(16, rel=0.01)
    # On a circle within the 16 dimensions: two of them, of equal variance.
    angle = rng.uniform(0, 2 * np.pi, 5000)
    plane = np.linalg.qr(rng.normal(size=(16, 2)))[0]
    circle = of(np.stack([np.cos(angle), np.sin(angle)], axis=1) @ plane.T)
    assert circle["effective_rank"] == pytest.approx(2, rel=0.01)
    collapsed = of(np.ones((100, 16)) + 1e-7 * rng.normal(size=(100, 16)))
    assert collapsed["effective_rank"] == 0
    assert collapsed["embedding_std"] < 1e-5


def test_the_effective_rank_is_that_of_the_paper():
    """exp(entropy) of the singular values 3 and 1, normalised: of 3/4 and 1/4."""
    expected = np.exp(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25)))
    assert spread(np.diag([9.0, 1.0, 0.0]))["effective_rank"] == pytest.approx(expected)


def test_the_bar_starts_where_the_run_goes_on_and_can_go_back(caplog):
    caplog.set_level("INFO")
    with ProgressBar(total=10, initial=4) as bar:
        bar.update()
        bar.show(headline({"loss": 2.5, "prototypes_used": 7.0, "effective_rank": 3.25}))
        bar.refresh()
        shown = caplog.text
        caplog.clear()
        bar.go_back(4)
    assert "4 of 10" in caplog.text
    assert "5 of 10" in shown
    assert "loss=2.500" in shown
    assert "rank=3.2" in shown


def test_the_bar_says_beside_how_well_the_source_is_told_how_well_by_chance():
    values = {"loss": 2.5, "prototypes_used": 7.0, "effective_rank": 3.25}
    probed = values | {"source_knn": 0.5312, "source_chance": 0.2}
    assert headline(probed)["source"] == "53.1% (chance 20.0%)"
    assert "source" not in headline(values)


def test_a_full_disk_is_said(tmp_path):
    with MetricsLog(tmp_path, batch_size=8, first_step=0) as log:
        log._lines.close()
        log._lines = open_metrics(Path("/dev/full"))
        log.add(1, metrics(), {})
        with pytest.raises(InputError, match="No space left on device"):
            log.write()


def test_a_full_disk_of_the_events_alone_is_said_in_one_line(tmp_path, small_disk):
    """TensorFlow says it in three."""
    events = tmp_path / "run" / "events"
    events.parent.mkdir()
    events.symlink_to(small_disk)
    with MetricsLog(events.parent, batch_size=8, first_step=0) as log:
        with contextlib.suppress(OSError), (small_disk / "ballast").open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
        with pytest.raises(InputError, match=r"No space left on device.*\); the same") as told:
            for step in range(1, 1000):
                log.add(step, metrics(), {})
                log.write()
                log.sync()
        assert "\n" not in str(told.value)
        with pytest.raises(InputError, match="No space left on device"):
            for _ in range(1000):
                log.rewind(0)
