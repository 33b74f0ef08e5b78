"""Files per video of a frame model's predictions: a table by second, and the timeline picture."""

import numpy as np

from data.annotation_formats.labels import UNKNOWN, stretches
from data.common.errors import InputError, some
from data.dataset.classes import new_ids
from data.frames.frames import Frames
from data.storage.folders import read_part
from data.storage.paths import AnyPath, check_output_folder
from data.storage.whole import whole_file
from down_stream.classifiers.frame_model import FrameModel
from down_stream.inference.parts.table_parts import Column
from down_stream.metrics import multi_label, predictions
from down_stream.report.figures import save_png
from down_stream.report.timelines import timeline
from down_stream.temporal.model import load_temporal

TEMPORAL = "temporal"  # in the directory of a frame model
PHASES = "phases"  # the task whose classes take time
HEADER = b"video,second,"  # of every table that is written here
CLASSES = "classes"  # that of still images


def open_temporal(model_path: AnyPath):
    """The temporal model that lies in a frame model's directory, or None."""
    path = model_path / TEMPORAL
    return load_temporal(path) if path.is_dir() else None


def describe(temporal) -> str:
    """What probabilities are from, in words."""
    if temporal is None:
        return "each frame by itself, there is no temporal model"
    return "temporal model, " + ("the past alone" if temporal.causal else "the whole video")


def remark_time(frames: Frames, rows: np.ndarray, model: FrameModel) -> list[str]:
    """A line where phases are told of images without time, which classes would not need."""
    if model.task != PHASES or not (untimed := rows[np.isnan(frames.second[rows])]).size:
        return []
    names = some(list(dict.fromkeys(frames.video_names(untimed))))
    return [f"time: unknown in {names}; phases need it: images are taken to be a second apart"]


def files_folder(output: AnyPath, task: str) -> AnyPath:
    """Where the files per video of a table go: `embeddings.npz` -> `embeddings_phases`."""
    return output.with_name(f"{output.stem}_{task}")


def check_phase_files(output: AnyPath, frames: Frames, task: str, temporal) -> None:
    """Raises `InputError` where the files could not be written, or time would run backwards."""
    check_output_folder("output", files_folder(output, task))
    if temporal is None:
        return
    for place, name in enumerate(frames.videos):
        second = frames.second[frames.video == place]
        known = ~np.isnan(second)
        if known.any() != known.all() or (np.diff(second) < 0).any():
            raise InputError(
                f"{name}: frames out of order in time; expected them in order, for the temporal "
                "model"
            )


def in_time(temporal, frames: Frames, rows, features: Column, classes: int) -> np.ndarray:
    """Probabilities of a temporal model, float32 [n, classes].

    It sees the first frame of every second; the others of that second have its answer. Where the
    time of frames is unknown they are taken to be a second apart.

    Args:
      temporal: as `down_stream.temporal.model.load_temporal` gives it. A causal one knows the past
        alone, another the whole video.
      frames: the list that `rows`, int64 [n], are of.
      features: float32 [n, width].
      classes: how many there are.
    """
    found = np.empty((len(rows), classes), np.float32)
    videos = {int(video): _Video(temporal) for video in np.unique(frames.video[rows])}
    every = (feature for part in features() for feature in part)
    for place, (row, feature) in enumerate(zip(rows, every, strict=True)):
        video = videos[int(frames.video[row])]
        found[place] = video.add(place, feature, frames.second[row])
    if not temporal.causal:
        for video in videos.values():
            video.look_back(temporal, found)
    return found


class _Video:
    """One video on its way through a temporal model."""

    def __init__(self, temporal):
        self.stream = temporal.stream() if temporal.causal else None
        self.second, self.latest = -1, 0.0
        self.features, self.places, self.seconds = [], [], []

    def add(self, place: int, feature: np.ndarray, second: float):
        """The probabilities in a second; 0 of a model that waits for all of the video."""
        second = self.second + 1 if np.isnan(second) else int(second)
        passed, self.second = second - self.second, second
        if self.stream and passed:
            self.latest = self.stream.step(feature, second)
        elif passed:
            self.features += self.features[-1:] * (passed - 1) + [feature]
        self.places.append(place)
        self.seconds.append(len(self.features) - 1)
        return self.latest

    def look_back(self, temporal, found: np.ndarray) -> None:
        found[self.places] = temporal.probabilities(np.array(self.features))[self.seconds]


def write_phase_files(
    output: AnyPath, frames: Frames, rows: np.ndarray, probabilities: np.ndarray, model: FrameModel
) -> list[AnyPath]:
    """Writes `<video>.csv`, and for phases `<video>.png`; returns the folder.

    Those that an earlier run has left of other videos are removed; a picture is drawn where its
    table is another than before.

    A row is a second: the mean over its frames, where there are several. Frames whose time is
    unknown are counted from 0, as if they were a second apart.
    """
    folder = files_folder(output, model.task)
    folder.mkdir(parents=True, exist_ok=True)
    _forget(folder, kept=set(frames.video_names(rows)))
    write = (multi_label if model.multi_label else predictions).write_predictions
    order = np.argsort(frames.video[rows], kind="stable")
    for first, behind in stretches(frames.video[rows][order]):
        places = order[first:behind]
        table = by_second(frames, rows[places], probabilities[places], model)
        file, picture = (folder / f"{table.videos[0]}{suffix}" for suffix in (".csv", ".png"))
        before = file.read_bytes() if file.is_file() else None
        with whole_file(file) as side:
            write(side, table)
            if side.read_bytes() != before:
                picture.unlink(missing_ok=True)  # before: a kill leaves no old one
        if model.task == PHASES and not picture.is_file():
            save_png(timeline({"": table}), picture)
    return [folder]


def _forget(folder: AnyPath, kept: set[str]) -> None:
    """Removes the files of other videos than `kept`: nobody else's, nor those of a stream."""
    for file in list(folder.glob("*.csv")):
        if file.stem not in kept and read_part(file, 0, len(HEADER)) == HEADER:
            file.with_suffix(".png").unlink(missing_ok=True)
            file.unlink()


def by_second(frames: Frames, rows: np.ndarray, probabilities: np.ndarray, model: FrameModel):
    """Predictions of one video with one row a second; labels where the model knows them."""
    times = frames.second[rows]
    times = np.arange(len(rows)) if np.isnan(times).any() else np.floor(times)
    second, first, place = np.unique(times.astype(np.int64), return_index=True, return_inverse=True)
    mean = np.zeros((len(second), probabilities.shape[1]))
    np.add.at(mean, place, probabilities)
    mean /= np.bincount(place)[:, np.newaxis]
    table = {
        "video": np.array([frames.videos[frames.video[rows[0]]]] * len(second)),
        "second": second,
        "probabilities": mean.astype(np.float32),
        "classes": model.classes,
    }
    if model.multi_label:
        label = np.full(mean.shape, UNKNOWN, np.int8)
        return multi_label.MultiLabelPredictions(**table, label=label)
    label = np.full(len(second), UNKNOWN)
    if model.task == PHASES:
        label = new_ids(frames.phases, model.classes)[frames.phase[rows[first]]]
    elif model.task == CLASSES:
        label = new_ids(frames.classes, model.classes)[frames.label[rows[first]]]
    prediction = mean.argmax(axis=1)
    return predictions.Predictions(**table, label=label.astype(np.int64), prediction=prediction)
