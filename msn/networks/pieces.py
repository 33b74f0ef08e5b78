"""A batch in pieces that pass a network side by side."""

import itertools
from collections.abc import Callable

import keras
from keras import ops

# In a compiled program one half of a batch multiplies while the other computes its norms, and no
# core waits: a twentieth of a train step on two cores. Quarters gain another hundredth, and take
# twice as long to compile.
PIECES = 2


def in_pieces(function: Callable, length: int):
    """What a function gives for all rows of a batch, computed piece by piece.

    Args:
      function: takes a slice of rows, and returns arrays (one, or nested) with one row for each.
      length: how many rows there are, at least one.
    """
    count = min(PIECES, length)
    bounds = [length * piece // count for piece in range(count + 1)]
    pieces = [function(slice(*ends)) for ends in itertools.pairwise(bounds)]
    return keras.tree.map_structure(lambda *parts: ops.concatenate(parts, axis=0), *pieces)
