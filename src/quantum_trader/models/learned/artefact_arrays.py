"""Files of arrays (npz) from elsewhere: their sizes are known before anything is unpacked, and reading runs no code."""

from __future__ import annotations

import io
import zipfile
import zlib
from typing import Any, Final

import numpy as np
import numpy.typing as npt

_UNREADABLE: Final = (  # what numpy and zipfile raise for a file that is not what it says
    OSError, KeyError, ValueError, TypeError, AttributeError, EOFError, MemoryError, OverflowError, RuntimeError,
    SyntaxError, RecursionError, zipfile.BadZipFile, zlib.error, NotImplementedError,
)


def read_arrays(content: bytes, most_bytes: int) -> dict[str, npt.NDArray[Any]]:
    """The arrays in *content* by name; ValueError that says why for anything else.

    All of them together hold at most *most_bytes* once they are unpacked; none holds objects.
    """
    held = io.BytesIO(content)
    try:
        with zipfile.ZipFile(held) as packed:  # says how large each array is before any is unpacked
            entries = packed.infolist()
        names = [one.filename.removesuffix(".npy") for one in entries]
        if len(set(names)) != len(names):
            raise ValueError("it holds two arrays of one name")
        if sum(one.file_size for one in entries) > most_bytes:
            raise ValueError(f"unpacked it is larger than {most_bytes >> 20} MiB")
        held.seek(0)
        with np.load(held, allow_pickle=False) as loaded:
            arrays: dict[str, Any] = {name: loaded[name] for name in names}
    except _UNREADABLE as error:
        raise ValueError(str(error) or type(error).__name__) from None
    if not all(isinstance(array, np.ndarray) for array in arrays.values()):
        raise ValueError("it holds what is no array")
    return arrays
