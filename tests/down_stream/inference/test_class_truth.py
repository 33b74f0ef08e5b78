from types import SimpleNamespace

import cv2
import numpy as np

from data.dataset.audit import Audit
from data.frames.listing import list_dataset
from data.image_classes.class_folders import prepare_classes
from down_stream.inference.phase_files import by_second


def test_tables_of_class_data_sets_have_their_truth(tmp_path):
    """By name: the model was made of another data set, with its classes in another order."""
    for name in ("adenoma", "normal", "unknown to the model"):
        (tmp_path / "in" / name).mkdir(parents=True)
        for number in range(2):
            image = np.full((16, 16, 3), number, np.uint8)
            cv2.imwrite(str(tmp_path / "in" / name / f"{number}.png"), image)
    prepare_classes(tmp_path / "out", tmp_path / "in", None, 0, Audit())
    frames = list_dataset(tmp_path / "out")
    model = SimpleNamespace(task="classes", classes=("normal", "adenoma"), multi_label=False)
    labels = {}
    for row in range(len(frames)):
        table = by_second(frames, np.array([row]), np.full((1, 2), 0.5), model)
        labels[table.videos[0]] = table.label.tolist()
    assert labels == {
        **{f"adenoma_{number}.png": [1] for number in range(2)},
        **{f"normal_{number}.png": [0] for number in range(2)},
        **{f"unknown to the model_{number}.png": [-1] for number in range(2)},
    }
