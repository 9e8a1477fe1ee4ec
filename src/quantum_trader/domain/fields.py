"""Field types that state what a value may be, and the mapping whose entries cannot change.

A plain ``float`` field may hold NaN or infinity: a figure that is not known. JSON writes it as ``null``.
"""

from __future__ import annotations

import sys
from typing import Annotated, Any, Final, NoReturn, TypeVar

import msgspec

_LARGEST: Final = sys.float_info.max
_WORD: Final = 1 << 63

Probability = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
Finite = Annotated[float, msgspec.Meta(ge=-_LARGEST, le=_LARGEST)]
Word = Annotated[str, msgspec.Meta(min_length=1)]
Int64 = Annotated[int, msgspec.Meta(ge=-_WORD, le=_WORD - 1)]  # what SQL and the journal hold
Revision = Annotated[int, msgspec.Meta(ge=0, le=_WORD - 1)]  # number of a change
TimeNs = Int64  # ns since the epoch

V = TypeVar("V")


class FieldLookup:
    """Lookup by key beside the attributes of a struct: ``stats["win_rate"]``."""

    __slots__ = ()

    def keys(self) -> tuple[str, ...]:
        """The names that can be looked up."""
        return tuple(self.__struct_fields__)  # type: ignore[attr-defined]

    def __getitem__(self, key: str) -> Any:
        if key not in self.keys():
            raise KeyError(key)
        return getattr(self, key)

    def get(self, key: str, default: Any = None) -> Any:
        """The value of *key*, else *default*."""
        return getattr(self, key) if key in self.keys() else default


class FrozenDict(dict[str, V]):
    """A dict that cannot be changed after it was made. Its nested values are as given."""

    __slots__ = ()

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("this mapping is part of an event and cannot be changed; make another event")

    __setitem__ = __delitem__ = clear = pop = popitem = setdefault = update = __ior__ = _refuse

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle as a whole: an empty one cannot be filled."""
        return (type(self), (dict(self),))
