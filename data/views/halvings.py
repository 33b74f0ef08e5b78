"""Parts of images that are larger than views need, cut from fewer pixels in a fraction of the time.

The filter against aliasing costs time by the pixels of a part, not by those of its view. Here a
part is cut from the smallest halving of the image in which it has more pixels than its view, by
MARGIN a side; the filter does what is then left to do.
"""

import numpy as np

from data.images.decoding import Shape, shrink
from data.views.image_ops import resample

MARGIN = 1.1  # so sharpness stays: at 1.0, that of some views falls by a tenth
REDUCTIONS = (1, 2, 4, 8)  # libjpeg's own


def fitting_reduction(part: Shape, size: int) -> int:
    """1, 2, 4 or 8: what sides of `part` pixels may be divided by for a view of `size`."""
    return max((n for n in REDUCTIONS if min(part) >= n * MARGIN * size), default=1)


class Halvings:
    """An image, whole or reduced, and its halvings, which are made when they are needed.

    A whole image is not halved: its views are as they would be without this class. Views of one
    that was reduced are shifted by up to half a pixel of the halving, which changes frames by a
    grey level or two in the mean. Their sharpness (the Laplacian's deviation) is the same to 3 % in
    the mean, to 20 % in a single view; that of coloured noise grows by a tenth where it is JPEG,
    which has colours at half the size already. Their contrast stays, to 1 %.

    Args:
      image: uint8 [height, width, 3].
      whole: (height, width) before it was reduced.
    """

    def __init__(self, image: np.ndarray, whole: Shape):
        self._least = next(n for n in REDUCTIONS if -(-whole[0] // n) == len(image))
        self._images = {self._least: image}

    def view(self, box: tuple[int, int, int, int], size: int) -> np.ndarray:
        """A part, (left, top, width, height) in the whole image, as uint8 [size, size, 3]."""
        times = 1
        if self._least > 1:
            times = max(self._least, fitting_reduction(box[2:], size))
        left, top, width, height = (round(place / times) for place in box)
        part = self._reduced(times)[top : top + height, left : left + width]
        return resample(part, size, averaged=times)

    def _reduced(self, times: int) -> np.ndarray:
        if times not in self._images:
            self._images[times] = shrink(self._reduced(times // 2), 2)
        return self._images[times]
