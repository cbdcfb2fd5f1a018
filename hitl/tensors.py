"""Arrays on the wire: `Tensor{dtype, shape, data}`, checked before use, never a pickle."""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from hitl.errors import InvalidRequest
from hitl.v1 import types_pb2

Array = NDArray[np.generic]

_DTYPES = {
    types_pb2.DATA_TYPE_BOOL: np.dtype(np.bool_),
    types_pb2.DATA_TYPE_UINT8: np.dtype(np.uint8),
    types_pb2.DATA_TYPE_INT32: np.dtype("<i4"),
    types_pb2.DATA_TYPE_INT64: np.dtype("<i8"),
    types_pb2.DATA_TYPE_FLOAT32: np.dtype("<f4"),
    types_pb2.DATA_TYPE_FLOAT64: np.dtype("<f8"),
}
_CODES = {dtype: code for code, dtype in _DTYPES.items()}
_MAX_AXES = 8


def encode_tensor(array: Array) -> types_pb2.Tensor:
    """Put an array into a message.

    Raises:
        InvalidRequest: its dtype is none of bool, uint8, int32, int64, float32, float64.
    """
    if array.dtype not in _CODES:
        raise InvalidRequest(f"dtype {array.dtype} cannot be sent; use one of {[str(d) for d in _CODES]}")
    return types_pb2.Tensor(
        dtype=_CODES[array.dtype], shape=array.shape, data=np.ascontiguousarray(array).tobytes()
    )


def decode_tensor(message: types_pb2.Tensor, *, what: str = "tensor") -> Array:
    """Read an array from a message; the result is read-only and shares the message's bytes.

    Raises:
        InvalidRequest: the dtype is unknown, the shape is negative or has more than 8 axes, the data has
            not the size that dtype and shape say, or a boolean is neither 0 nor 1.
    """
    dtype = _DTYPES.get(message.dtype)
    if dtype is None:
        raise InvalidRequest(f"{what}: unknown dtype {message.dtype}")
    shape = tuple(message.shape)
    if len(shape) > _MAX_AXES or any(size < 0 for size in shape):
        raise InvalidRequest(f"{what}: shape {shape} is not one of at most {_MAX_AXES} sizes, each >= 0")
    expected_bytes = math.prod(shape) * dtype.itemsize
    if len(message.data) != expected_bytes:
        raise InvalidRequest(
            f"{what}: {dtype} of shape {shape} takes {expected_bytes} bytes, got {len(message.data)}"
        )
    array = np.frombuffer(message.data, dtype=dtype).reshape(shape)
    if dtype == np.bool_ and array.size and array.view(np.uint8).max() > 1:
        raise InvalidRequest(f"{what}: a boolean must be stored as 0 or 1")
    return array


def encode_tensors(arrays: Mapping[str, Array]) -> dict[str, types_pb2.Tensor]:
    """Put named arrays into messages."""
    return {name: encode_tensor(array) for name, array in arrays.items()}


def decode_tensors(messages: Mapping[str, types_pb2.Tensor], *, what: str = "tensor") -> dict[str, Array]:
    """Read named arrays from messages."""
    return {name: decode_tensor(message, what=f"{what}[{name!r}]") for name, message in messages.items()}
