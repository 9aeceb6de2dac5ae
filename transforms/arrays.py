"""The types of columns in numpy, and the column that nearly everything is computed from."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Int64s: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]
Mask: TypeAlias = npt.NDArray[np.bool_]
Millis: TypeAlias = Int64s  # since the epoch


def millis_of(clicks: pa.Table) -> Millis:
    """Times of clicks, ms since the epoch."""
    return np.asarray(clicks["timestamp"].cast(pa.int64()))
