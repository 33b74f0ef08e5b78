"""Random numbers as functions of where they are used, so that any step can be drawn at once."""

import numpy as np


def generator(seed: int, step: int, example: int = 0, view: int = 0) -> np.random.Generator:
    """An independent stream for every (seed, step, example, view), all ints >= 0.

    The four numbers are the key and the upper half of the counter of a Philox generator (Salmon et
    al., SC 2011): streams with different numbers never overlap, and none is drawn to reach another.
    """
    return np.random.Generator(np.random.Philox(key=[seed, step], counter=[0, 0, example, view]))
