"""Grey pictures made black and white: each pixel drawn once, with its brightness as the probability of white.

Salakhutdinov & Murray 2008 ("On the quantitative analysis of deep belief networks") made MNIST so, since then what nats
are told of. Their very draw is three files (`formats.read_amat`); this is another draw by the same rule.
"""

from dataclasses import replace

import numpy as np

from mezzotint.data.formats import Arrays
from mezzotint.errors import UserError
from mezzotint.ops.noise import keyed_uniform

KEY = 2008
"""Of all draws: the same for all, since a data set has no seed."""
ROWS = 2048
"""Pictures that are drawn at once."""


def binarized(arrays: Arrays) -> Arrays:
    """Pixels 0 and 255, white with probability level/255: of a picture's place in the set and its levels alone.

    Raises UserError for color.
    """
    if arrays.images.shape[3] != 1:
        raise UserError("only grey pictures are made black and white: name a grey data set")
    images = np.empty_like(arrays.images)
    for start in range(0, len(images), ROWS):
        levels = arrays.images[start : start + ROWS]
        numbers = keyed_uniform(KEY, np.arange(start, start + len(levels)), levels[0].size)
        images[start : start + ROWS] = np.where(numbers.reshape(levels.shape) * 255 < levels, 255, 0)
    return replace(arrays, images=images, made_from=arrays.images)
