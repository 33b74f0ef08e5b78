"""Does choosing what to annotate pay? Strategies against random draws, by share of the videos.

Needs a data set with labels, and a table of embeddings of its frames (inference.py, or
python -m down_stream.comparison.colours). For python -m down_stream.selection.study.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """Returns the configuration; every key is explained."""
    config = ConfigDict()
    config.data = ConfigDict()
    config.data.root = "datasets/cholec80"  # the data set directory
    config.embeddings = "embeddings.parquet"  # the table, of any frozen encoder
    config.task = "phases"  # or "classes", of images: then sequences are chosen
    config.score = "macro_f1"  # of phases by video; of two classes "auc"
    # Of the pool, in ascending order: each is a round of "rounds".
    config.budgets = (0.05, 0.1, 0.2, 0.4)
    # "rounds" is typical first, then uncertain by the probe of the labels so far.
    config.strategies = ("random", "typical", "coverage", "rounds")
    config.draws = 10  # of pool and test; more can be added later
    config.random_draws = 10  # of random in each of them
    config.test_share = 0.3  # of the patients
    config.C = 0.01  # of the logistic regression: the inverse of its penalty
    config.workdir = "runs/selection_study"
    return config.lock()  # a mistyped key of a file that starts from here is an error
