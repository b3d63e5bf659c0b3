"""The array types of the kernels, and how numba writes them."""

import numpy as np
from numpy.typing import NDArray

Int64Array = NDArray[np.int64]
"""C-contiguous, 64-bit signed; one-dimensional unless called a table."""

Pair = tuple[Int64Array, Int64Array]
"""Two arrays side by side."""

Tree = tuple[Int64Array, Int64Array, Int64Array, Int64Array, Int64Array]
"""parent, cap_up, cap_down, loss_ppm, tariff."""

INT = "int64"
ARRAY = "int64[::1]"
TABLE = "int64[:, ::1]"
PAIR = f"UniTuple({ARRAY}, 2)"
TREE = f"UniTuple({ARRAY}, 5)"
