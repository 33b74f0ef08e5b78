"""Does choosing pay? Scores of a linear probe after each budget, by strategy and draw.

  python -m down_stream.selection.study --config=configs/selection_study.py

See configs/selection_study.py. A draw splits the videos (of one patient together) into a pool and a
test, on which all strategies are compared: the probe, a logistic regression, is fitted to the
chosen videos of the pool and scored on the test. `random` is drawn several times in each draw, and
their mean counts. A draw that is done is kept in draws/ and not run again.
"""

if __name__ == "__main__":  # before what takes long to import
    from data.common import stopping

    stopping.end_at_once()

import hashlib
import json
from pathlib import Path

import numpy as np
from absl import flags
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from data.common import cli
from data.common.configurations import flatten
from data.common.errors import InputError
from data.common.logs import logger
from data.common.progress import ProgressBar
from data.dataset.frame_index import load_index
from data.splits.patients import read_patients
from data.storage.locking import locked
from data.storage.paths import check_local, to_path
from data.storage.whole import write_csv, write_json
from down_stream.lookup.tables import Rows
from down_stream.metrics.phases import video_macro_f1
from down_stream.report.figures import CURVE_COLOURS, bare, legend_below, new_figure, save_png
from down_stream.report.wording import say_difference
from down_stream.selection.candidates import Candidates, open_candidates
from down_stream.selection.choosing import STRATEGIES, choose
from msn.formats.files.feature_table import FeatureTable

ROUNDS = "rounds"  # typical first, then uncertain by the model of the labels so far
DRAWS = 10_000  # of the bootstrap
DATA = "fingerprint"  # in config.json, of features and labels


class Study:
    """The frames of a data set with features and labels, and how a probe is scored.

    Args:
      config: see configs/selection_study.py.

    Attributes:
      candidates: all units, with labels of their frames.
      labels: int [n], class ids of the candidates' rows.
    """

    def __init__(self, config):
        root = to_path(config.data.root)
        index = load_index(root)
        labels = index.phase if config.task == "phases" else index.label
        index = index.take(np.flatnonzero(labels >= 0))
        features, found = FeatureTable(to_path(config.embeddings)).of(index)
        index = index.take(found)
        self.config, n = config, len(index)
        second = index.second.astype(float) if config.task == "phases" else np.full(n, np.nan)
        rows = Rows(
            features,
            np.asarray(index.videos)[index.video],
            second,
            np.arange(n),  # of the index, to find labels by
            np.full(n, ""),
            np.empty((n, 0), np.float32),
        )
        kind = "video" if config.task == "phases" else "sequence"
        self.candidates = open_candidates(rows, kind, (), None)
        self.labels = (index.phase if config.task == "phases" else index.label)[
            self.candidates.rows.frame
        ].astype(np.int64)
        self.number = len(index.classes.phases if kind == "video" else index.classes.classes)
        groups = read_patients(root).group(self.candidates.names).groups
        self.groups = [[self.candidates.names.index(name) for name in g] for g in groups.values()]

    @property
    def fingerprint(self) -> str:
        """Of all that a draw depends on beside the configuration: features, labels, patients."""
        digest, rows = hashlib.sha256(), self.candidates.rows
        for array in (rows.embeddings, self.candidates.unit, self.labels):
            digest.update(np.ascontiguousarray(array))
        digest.update(json.dumps([self.candidates.names, self.groups, self.number]).encode())
        return digest.hexdigest()[:16]

    def draw(self, seed: int) -> list[dict]:
        """Rows of a draw: strategy, share, units, score."""
        pool, test = self._split(seed)
        rows, numbers = [], self._numbers(len(pool))
        for strategy in self.config.strategies:
            repeats = self.config.random_draws if strategy == "random" else 1
            scores = [
                self._scores(pool, test, strategy, numbers, 1000 * seed + repeat)
                for repeat in range(repeats)
            ]
            for place, (share, units) in enumerate(zip(self.config.budgets, numbers, strict=True)):
                values = [score[place] for score in scores]
                rows.append(
                    {
                        **{"draw": seed, "strategy": strategy, "share": share, "units": units},
                        **{"score": float(np.mean(values)), "std": float(np.std(values))},
                    }
                )
        return rows

    def _split(self, seed):
        order = np.random.default_rng(seed).permutation(len(self.groups))
        count = max(1, round(self.config.test_share * len(self.groups)))
        test = np.sort([unit for g in order[:count] for unit in self.groups[g]])
        pool = np.sort([unit for g in order[count:] for unit in self.groups[g]])
        return pool, test

    def _numbers(self, units):
        return [max(1, round(share * units)) for share in self.config.budgets]

    def _scores(self, pool, test, strategy, numbers, seed):
        """The score after each number of units."""
        own = _part(self.candidates, pool)
        labelled, scores = np.zeros(len(pool), bool), []
        for number in numbers:
            if strategy == ROUNDS:
                more = number - int(labelled.sum())
                chosen = self._next_round(own, pool, labelled, more, seed)
            else:  # each budget by itself, so that its clusters are made for it
                labelled[:] = False
                chosen = choose(own, labelled, strategy, number, seed)
            labelled[[choice.unit for choice in chosen]] = True
            scores.append(self._score(pool[labelled], test))
        return scores

    def _next_round(self, own, pool, labelled, number, seed):
        if not labelled.any():
            return choose(own, labelled, "typical", number, seed)
        rows = np.isin(self.candidates.unit, pool)
        probabilities = self._probabilities(pool[labelled], rows)
        own = _part(self.candidates, pool, probabilities)
        return choose(own, labelled, "uncertain", number, seed)

    def _score(self, units, test):
        rows = np.isin(self.candidates.unit, test)
        probabilities = self._probabilities(units, rows)
        labels = self.labels[rows]
        if self.config.score == "auc":
            return float(roc_auc_score(labels, probabilities[:, -1]))
        return video_macro_f1(self.candidates.unit[rows], labels, probabilities)

    def _probabilities(self, units, rows):
        """float32 [rows, classes], of a probe that saw the labels of some units."""
        inputs = self.candidates.rows.embeddings
        seen = np.isin(self.candidates.unit, units)
        mean, std = inputs[seen].mean(axis=0), np.maximum(inputs[seen].std(axis=0), 1e-3)
        found = np.zeros((int(rows.sum()), self.number), np.float32)
        labels = self.labels[seen]
        if len(np.unique(labels)) < 2:
            found[:, labels[0]] = 1
            return found
        model = LogisticRegression(C=self.config.C, max_iter=300)
        with threadpool_limits(1):
            model.fit((inputs[seen] - mean) / std, labels)
            found[:, model.classes_] = model.predict_proba((inputs[rows] - mean) / std)
        return found


def _part(candidates: Candidates, units: np.ndarray, probabilities=None) -> Candidates:
    """Some units alone, with probabilities of their rows where they are given."""
    rows = candidates.rows.take(np.isin(candidates.unit, units))
    if probabilities is not None:
        rows = Rows(*[*(getattr(rows, name) for name in rows.__annotations__)][:-1], probabilities)
    return open_candidates(rows, candidates.kind, candidates.classes, candidates.fps)


def run_study(config, workdir: Path) -> dict:
    """Runs the draws that are missing; writes study.csv, study.json and study.png.

    Returns:
      What study.json holds: "table", a row for each strategy and share: "mean" and its "interval",
      "difference" to random and "difference_interval" (bootstrap over draws, 95 %).

    Raises:
      InputError: the configuration or the data cannot work, or `workdir` is another study's, or of
        another table or other labels.
    """
    if wrong := set(config.strategies) - {*STRATEGIES, ROUNDS} - {"uncertain"}:
        raise InputError(f"strategies: {sorted(wrong)}; expected some of {[*STRATEGIES, ROUNDS]}")
    if "random" not in config.strategies:
        raise InputError("strategies: random is missing; expected it, to compare with")
    check_local("workdir", workdir)
    workdir = Path(workdir)
    with locked(workdir):
        told, file = flatten(config.to_dict()), workdir / "config.json"
        fixed = {key: value for key, value in told.items() if key not in ("draws", "workdir")}
        before = json.loads(file.read_text()) if file.is_file() else {}
        of_data = before.pop(DATA, None)
        if before and before != json.loads(json.dumps(fixed)):
            raise InputError(f"{workdir}: holds another study; expected another workdir")
        study = Study(config)
        if of_data not in (None, study.fingerprint):
            raise InputError(
                f"{workdir}: its draws were made with other features, labels or patients than "
                f"{config.embeddings} and {config.data.root} have now; expected another workdir"
            )
        if before and of_data is None:
            logger.warning("%s: does not say what its draws were made with; they count", workdir)
        (workdir / "draws").mkdir(exist_ok=True)
        write_json(file, fixed | {DATA: study.fingerprint})
        rows = []
        for seed in ProgressBar(range(config.draws), "draws", unit="draw"):
            done = workdir / "draws" / f"draw{seed:03d}.json"
            if not done.is_file():
                write_json(done, study.draw(seed))
            rows += json.loads(done.read_text())
        return _write(config, rows, workdir)


def _write(config, rows, workdir):
    table = [
        _summarised(rows, strategy, share)
        for strategy in config.strategies
        for share in config.budgets
    ]
    summary = {"score": config.score, "draws": config.draws, "table": table}
    write_json(workdir / "study.json", summary)
    write_csv(workdir / "study.csv", [list(rows[0]), *(row.values() for row in rows)])
    save_png(curves(summary), workdir / "study.png")
    return summary


def _summarised(rows, strategy, share):
    scores, base = (
        np.array([r["score"] for r in rows if r["strategy"] == s and r["share"] == share])
        for s in (strategy, "random")
    )
    drawn = np.random.default_rng(0).integers(0, len(scores), (DRAWS, len(scores)))
    units = next(row["units"] for row in rows if row["share"] == share)

    def interval(values):
        return [float(v) for v in np.percentile(values[drawn].mean(axis=1), [2.5, 97.5])]

    difference = scores - base
    return {
        **{"strategy": strategy, "share": share, "units": units, "mean": float(scores.mean())},
        **{"interval": interval(scores), "difference": float(difference.mean())},
        "difference_interval": interval(difference),
    }


def curves(summary: dict):
    """The mean score of each strategy over the budgets, with intervals over draws."""
    figure = new_figure(7, 4.5)
    axes = figure.add_subplot()
    for number, strategy in enumerate(dict.fromkeys(r["strategy"] for r in summary["table"])):
        rows = [row for row in summary["table"] if row["strategy"] == strategy]
        share = np.array([100 * row["share"] for row in rows])
        low, high = np.array([row["interval"] for row in rows]).T
        mean = np.array([row["mean"] for row in rows])
        colour = CURVE_COLOURS[number % len(CURVE_COLOURS)]
        axes.plot(share, 100 * mean, "o-", color=colour, label=strategy, markersize=4)
        axes.fill_between(share, 100 * low, 100 * high, color=colour, alpha=0.12, linewidth=0)
    axes.set_xscale("log")
    ticks = sorted({100 * row["share"] for row in summary["table"]})
    axes.set_xticks(ticks, [f"{tick:g} %" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("share of the pool that is annotated")
    axes.set_ylabel(f"{summary['score'].replace('_', '-')}, %")
    bare(axes, keep="bottom")
    legend_below(axes, columns=4)
    return figure


def text_table(summary: dict) -> str:
    """The table for people: mean and difference to random in points, with intervals."""
    lines = [f"{'strategy':10} {'share':>6} {'units':>6} {'mean':>6}   to random [95 %]"]
    for row in summary["table"]:
        difference = say_difference(row["difference"], row["difference_interval"])
        lines.append(
            f"{row['strategy']:10} {100 * row['share']:>5g}% {row['units']:>6} "
            f"{100 * row['mean']:>6.1f}   {difference}"
        )
    return "\n".join(lines)


def main() -> None:
    """Runs the study of --config."""
    config = flags.FLAGS.config
    print(text_table(run_study(config, to_path(config.workdir))))


if __name__ == "__main__":
    cli.define_config("configs/selection_study.py", "what is compared")
    cli.run(main, (InputError,), kept="draws that are done are kept; the same command goes on")
