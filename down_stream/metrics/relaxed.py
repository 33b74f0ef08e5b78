"""The evaluation script of the M2CAI 2016 challenge: metrics that are lenient around transitions.

Many papers report Cholec80 with it (`Evaluate.m` and `Main.m`, distributed by CAMMA, Strasbourg;
phases as adapted to Cholec80). The protocol `relaxed` gives the script's own numbers, error
included; `relaxed_fixed` mends the error, which `EXPLANATIONS` describes.
"""

import numpy as np

from data.annotation_formats.labels import stretches
from data.dataset.cholec80 import PHASES

_RULE = (
    "Evaluation script of the M2CAI 2016 challenge: within 10 s of a change of phase in the truth "
    "the neighbouring phase is right, too. A phase that is absent from the truth of a video does "
    "not count there. A frame accepted so is a hit of both phases, and values above 1 occur: they "
    "are cut to 1 before averaging, but not in per_video (null: undefined). Mean over the videos "
    "of each phase, then mean and std over the phases; accuracy: mean and std over the videos."
)
EXPLANATIONS = {
    "relaxed": f"{_RULE} As published, error included: which frames change too early is looked up "
    "at the end of a segment of the truth, but its first frames are accepted in their place.",
    "relaxed_fixed": f"{_RULE} As `relaxed`, but for one thing: frames that change too early are "
    "accepted where they are, at the end of a segment of the truth.",
}

# By phase: how far a prediction may lag behind the truth after a change of
# phase, and be ahead of it before one. The last phases do not always come in this order.
_BOUNDARY_SECONDS = 10
_MAY_LAG = ((-1,),) * 5 + ((-1, -2),) * 2
_MAY_LEAD = ((1,),) * 3 + ((1, 2),) * 4


def accepted(
    second: np.ndarray, label: np.ndarray, prediction: np.ndarray, fixed: bool
) -> np.ndarray:
    """Which frames of one video the M2CAI script accepts, bool [n].

    Args:
      second: [n], rising; whole or fractional.
      label: int [n], ids of Cholec80's phases, -1 where unknown.
      prediction: int [n].
      fixed: accept what is ahead of the truth at the end of a segment; otherwise, as published,
        accept as many frames in as many places at its beginning.
    """
    ahead = prediction.astype(int) - label
    for first, behind in stretches(label):
        frames = slice(first, behind)
        phase, time, segment = label[first], second[frames], ahead[frames]
        if phase < 0:
            continue
        begins = time - time[0] < _BOUNDARY_SECONDS
        ends = time[-1] - time < _BOUNDARY_SECONDS
        segment[begins & np.isin(segment, _MAY_LAG[phase])] = 0
        leads = ends & np.isin(segment, _MAY_LEAD[phase])
        # The script applies a mask made of the last frames as if it were one of the first frames.
        segment[leads if fixed else np.roll(leads, ends.sum())] = 0
        ahead[frames] = segment
    return ahead == 0


def video_scores(
    second: np.ndarray, label: np.ndarray, prediction: np.ndarray, fixed: bool
) -> dict[str, np.ndarray]:
    """Accuracy, and Jaccard index, precision and recall [phases] of one video; see `accepted`.

    Values above 1 occur. NaN: the phase is not in the truth; infinite precision: the phase was
    never predicted, but accepted frames count as its hits.
    """
    hit = accepted(second, label, prediction, fixed)[label >= 0, np.newaxis]
    truth = label[label >= 0, np.newaxis] == np.arange(len(PHASES))
    predicted = prediction[label >= 0, np.newaxis] == np.arange(len(PHASES))
    union = truth | predicted
    hits = np.where(truth.any(axis=0), (hit & union).sum(axis=0), np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "accuracy": hit.mean(),
            "jaccard": hits / union.sum(axis=0),
            "precision": hits / predicted.sum(axis=0),
            "recall": hits / truth.sum(axis=0),
        }
