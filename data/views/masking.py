"""Which patches of the anchor view the network sees.

Source: Assran et al., arXiv 2204.07141, section 3 ("random mask"); facebookresearch/msn: one mask
for the whole batch, drawn anew every step; focal views are not masked.
"""

import math

import numpy as np

from data.batches.seeds import generator

MASK_STREAM = 2**32  # beside the views of every example, see data.views.multi_crop


def num_kept(patches: int, drop: float) -> int:
    """floor(patches * (1 - drop)): patches that are left when the share `drop` is masked."""
    return math.floor(patches * (1.0 - drop))


def kept_patches(patches: int, drop: float, seed: int, step: int) -> np.ndarray:
    """Indices of the kept patches, int32 [num_kept], ascending, row by row from the top left.

    Args:
      patches: number of patches of the anchor view, CLS not counted.
      drop: share of masked patches, 0 <= drop < 1.
      seed, step: ints; the mask is a function of both.
    """
    order = generator(seed, step, view=MASK_STREAM).permutation(patches)
    return np.sort(order[: num_kept(patches, drop)]).astype(np.int32)
