"""The labels that cells would have now: with others than those of then, a cell is not done."""

import json

from ml_collections import ConfigDict

from data.splits.parts import PARTS
from down_stream.features.labelled_splits import (
    labelled_frames,
    labelled_splits,
    labels_fingerprint,
)
from down_stream.tasks import labels_of, model_labels


class Labels:
    """The labels of each set of videos, read once."""

    def __init__(self):
        self._known = {}

    def fingerprint(self, config: ConfigDict) -> str:
        """As results.json of an experiment has it, or of a cross-validation.

        Raises:
          InputError: a part of the split has no labels, or such as are no classes.
        """
        parts = [config.task, config.positive_class, list(config.data.root)]
        parts += [list(config[f"{part}_videos"]) for part in PARTS]
        key = json.dumps([*parts, bool(config.folds), model_labels(config)])
        if key not in self._known:
            roots, videos, task = labels_of(config)
            split = (
                {"all": labelled_frames(roots, videos, task)}
                if config.folds
                else labelled_splits(roots, videos, task)
            )
            self._known[key] = labels_fingerprint(task, split)
        return self._known[key]
