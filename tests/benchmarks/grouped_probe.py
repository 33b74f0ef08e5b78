"""What features are worth with few labels, on groups too few for a split: docs/recipes.md.

  python -m tests.benchmarks.grouped_probe --root=datasets/crops histogram=histogram.npz \
      random=vitmicro8:96 msn=runs/msn/encoder@mean imagenet=lite0.onnx msn+imagenet

L2 logistic regression on frozen features of still images in two classes, area under the ROC curve.
Five folds of whole groups, stratified; every image is tested once by a classifier that saw no image
of its group. A group is a patient where patients are known, and else a sequence. Of each fold's
training groups a share has labels. The penalty is chosen by the likelihood of the labels, in three
folds of these groups again. Folds and shares are drawn by three seeds, the same for all features. A
score is the mean of the seeds; its interval of 95 % and that of the paired difference to the first
named (of A+B to A) are of 1,000 draws of groups.

After an encoder's path @ says which of its features, as --config.features does. Names joined by +
are concatenated. Features of encoders are kept in --cache. A checkpoint of a run,
runs/small/checkpoints/step_00000500.safetensors, stands for the target encoder in it. What --output
has, of the same features, labels and seeds, is not measured again.
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold
from threadpoolctl import threadpool_limits

from data.common import cli
from data.common.errors import InputError, some
from data.dataset.frame_index import load_index
from data.storage.paths import to_paths
from data.storage.whole import whole_file
from down_stream.checks import check_folds
from down_stream.classifiers.linear_head import Fitted
from down_stream.classifiers.logistic_regression import PENALTIES, fit_logistic
from down_stream.cross_validation import draw_splits
from down_stream.features.labelled_splits import patients_of
from down_stream.tasks import Task, open_task
from msn.networks.usual_keras import usual_keras
from tests.benchmarks.probed_features import features_of, named_features

FOLDS, INNER_FOLDS, DRAWS = 5, 3, 1000
CHOSEN_FROM = PENALTIES[2:]  # so few images are told apart without any penalty


@usual_keras()
@threadpool_limits.wrap(1)  # such small matrices are slower with several
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "encoders", nargs="+", metavar="NAME=PATH[@FEATURES]", help="or NAME=VARIANT:SIZE, or A+B"
    )
    parser.add_argument("--root", required=True, help="data set of images in two classes")
    parser.add_argument("--fractions", type=float, nargs="+", default=[0.1, 0.25, 1.0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--cache", default="runs/features", help="folder for features of encoders")
    parser.add_argument("--output", default=None, help="a JSON file for the numbers")
    try:
        measure(parser.parse_args())
    except (InputError, OSError) as error:
        said = cli.describe(error) if isinstance(error, OSError) else error
        sys.exit(cli.refuse(said))


def measure(given: argparse.Namespace) -> None:
    """Prints, and writes where that is asked for, what all features are worth."""
    names, wanted = named_features(given.encoders)
    for fraction in given.fractions:
        if not 0 < fraction <= 1:
            raise InputError(f"--fractions {fraction:g}; expected shares of labels, above 0, to 1")
    if given.output:
        Path(given.output).parent.mkdir(parents=True, exist_ok=True)
    roots = to_paths([given.root])
    index = load_index(roots)
    task = open_task("classes", roots, None)
    if task.number != 2:
        raise InputError(
            f"{given.root}: {task.number} classes ({some(task.classes)}); expected two. Of any "
            "number, down_stream/main.py --config.folds=5 says the macro-F1"
        )
    index = task.labelled(index)
    labels = np.asarray(task.labels(index))
    patients = patients_of(roots, {"test": index})
    group = np.unique(check_folds(task, index, FOLDS, patients), return_inverse=True)[1]
    seeds = list(dict.fromkeys(given.seeds))
    splits = {seed: draw_splits(task, index, FOLDS, seed, patients) for seed in seeds}
    say_groups(given.root, task, labels, group, len(np.unique(index.video)))

    known = {name: features_of(of, index, given.cache) for name, of in names.items()}
    of = {
        "images": len(index),
        "groups": int(group.max()) + 1,
        "seeds": seeds,
        "digest": digest([labels, group, *known.values()], wanted, given.fractions),
    }
    if given.output and is_done(Path(given.output), of):
        print(f"{given.output}: of the same features, labels and seeds; kept")
        return
    found = scores(wanted, known, index, labels, group, splits, given.fractions)
    if given.output:
        with whole_file(Path(given.output)) as side:
            side.write_text(json.dumps({"of": of, "rows": found}, indent=1) + "\n")


def say_groups(root: str, task: Task, labels, group, sequences: int) -> None:
    """Prints what there is to be told apart, and where the groups cannot be believed."""
    counts = ", ".join(f"{name} {np.sum(labels == n)}" for n, name in enumerate(task.classes))
    number = int(group.max()) + 1
    what = "patients" if number < sequences else "sequences"
    print(f"{root}: {len(labels)} images ({counts}) of {number} {what}")
    if number == len(labels):
        print(
            "every image is a group of its own: where several show one patient, scores are too high"
        )


def scores(wanted, known, index, labels, group, splits, fractions) -> dict[str, dict]:
    """{name: {share of labels: its numbers}} of all features, which are printed, too."""
    found = {}
    draws = np.random.default_rng(0).integers(group.max() + 1, size=(DRAWS, group.max() + 1))
    drawn = [np.bincount(draw, minlength=group.max() + 1)[group] for draw in draws]
    for fraction in fractions:
        of_draws = {}
        for name in wanted:
            features = np.concatenate([known[part] for part in name.split("+")], axis=1)
            tested = [
                out_of_fold(features, labels, group, index, of_seed, fraction, seed)
                for seed, of_seed in splits.items()
            ]
            aucs = [area(labels, score, np.ones(len(labels))) for score in tested]
            of_draws[name] = np.array(
                [np.mean([area(labels, score, weights) for score in tested]) for weights in drawn]
            )
            other = name.split("+")[0] if "+" in name else wanted[0]
            of_other = found[other][str(fraction)]["auc"] if other != name else np.mean(aucs)
            row = {
                "auc": float(np.mean(aucs)),
                "seeds": aucs,
                "interval": interval(of_draws[name]),
                "difference_to": other,
                "by": float(np.mean(aucs) - of_other),
                "difference": interval(of_draws[name] - of_draws[other]),
            }
            found.setdefault(name, {})[str(fraction)] = row
            say_row(name, fraction, row)
    return found


def say_row(name: str, fraction: float, row: dict) -> None:
    """Prints what features are worth with a share of the labels."""
    (low, high), (less, more) = row["interval"], row["difference"]
    print(
        f"{100 * fraction:4.0f} %  {name:24s} {row['auc']:.3f} [{low:.3f}, {high:.3f}]  to "
        f"{row['difference_to']} {row['by']:+.3f} [{less:+.3f}, {more:+.3f}]  seeds "
        + " ".join(f"{x:.3f}" for x in row["seeds"]),
        flush=True,
    )


def digest(arrays, *settings) -> str:
    """Of all that the numbers depend on."""
    sha = hashlib.sha256(json.dumps([settings, FOLDS, INNER_FOLDS, DRAWS]).encode())
    for array in arrays:
        sha.update(np.ascontiguousarray(array).tobytes())
    return sha.hexdigest()[:16]


def is_done(output: Path, of: dict) -> bool:
    """Whether a file holds numbers of the same, whole."""
    try:
        return json.loads(output.read_text())["of"] == of
    except (OSError, ValueError, KeyError, TypeError):
        return False


def interval(values) -> list[float]:
    """The middle 95 % of what was drawn, but for draws that have images of one class alone."""
    return np.nanpercentile(values, [2.5, 97.5]).tolist()


def area(labels, score, weights) -> float:
    """Area under the ROC curve of images that count `weights` times; NaN if of one class."""
    values, place = np.unique(score, return_inverse=True)
    positive, negative = (
        np.bincount(place, weights * (labels == label), minlength=len(values)) for label in (1, 0)
    )
    below, pairs = np.cumsum(negative) - negative / 2, positive.sum() * negative.sum()
    return float(positive @ below / pairs) if pairs else float("nan")


def out_of_fold(features, labels, group, index, splits, fraction, seed) -> np.ndarray:
    """Probability of the second class for each image, by a classifier of the other folds."""
    names = np.asarray(index.videos)[index.video]
    score = np.full(len(labels), np.nan)
    for number, split in enumerate(splits):
        rest = np.flatnonzero(np.isin(names, split["train"] + split["validation"]))
        test = np.flatnonzero(np.isin(names, split["test"]))
        chosen = labelled(rest, labels, group, fraction, np.random.default_rng((seed, number)))
        if len(set(labels[chosen])) < 2:
            raise InputError(
                f"--fractions {fraction:g}: all labels of {len(set(group[chosen]))} groups are of "
                "one class; expected a larger share, or more groups of the other class"
            )
        head = fit(features[chosen], labels[chosen], group[chosen], seed)
        score[test] = np.asarray(head.classifier.probabilities(features[test]))[:, 1]
    return score


def labelled(rows, labels, group, fraction, generator) -> np.ndarray:
    """The rows of a share of the groups: drawn within each class of group, two of each at least."""
    chosen = []
    of_group = {one: round(labels[rows][group[rows] == one].mean()) for one in set(group[rows])}
    for label in (0, 1):
        groups = np.array(sorted(one for one, found in of_group.items() if found == label))
        count = min(len(groups), max(2, round(fraction * len(groups))))
        chosen.append(generator.permutation(groups)[:count])
    return rows[np.isin(group[rows], np.concatenate(chosen))]


def fit(features, labels, group, seed) -> Fitted:
    """Logistic regression with the penalty that explains the labels of left out groups best."""
    weights = {label: len(labels) / (2 * max(1, np.sum(labels == label))) for label in (0, 1)}
    folds = StratifiedGroupKFold(min(INNER_FOLDS, len(set(group))), shuffle=True, random_state=seed)
    likelihood = np.zeros(len(CHOSEN_FROM))
    for train, held_out in folds.split(labels, labels, group):
        if len(set(labels[train])) < 2:
            continue

        def score(probabilities, truth=labels[held_out]):
            chosen = np.asarray(probabilities)[np.arange(len(truth)), truth]
            return float(np.sum(np.log(np.clip(chosen, 1e-6, 1)) * [weights[t] for t in truth]))

        fitted = fit_logistic(
            features[train],
            labels[train],
            (features[held_out], score),
            classes=2,
            weights=weights,
            penalties=CHOSEN_FROM,
        )
        by_penalty = {row["penalty"]: row["score"] for row in fitted.chosen["grid"]}
        likelihood += [by_penalty[penalty] for penalty in CHOSEN_FROM]
    best = CHOSEN_FROM[int(np.argmax(likelihood))]
    return fit_logistic(features, labels, None, classes=2, weights=weights, penalties=(best,))


if __name__ == "__main__":
    main()
