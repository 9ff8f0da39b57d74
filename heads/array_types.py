"""Array types that the modules on heads share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

Indices = NDArray[np.int64]

Labels = NDArray[np.int8]
"""0 for a negative, 1 for a positive."""
