"""A row of the table of segments: the steps, and whether they can be."""

from typing import Any

from google.protobuf.message import DecodeError

from cluster.recorded.arrays import tensor_of
from cluster.recorded.naming import Naming
from cluster.recorded.tables import Row
from hitl.events import Segment
from hitl.v1 import types_pb2
from hitl.wire.segments import decode_segment

_SOURCE = "recorded"
"""Of rows that name none."""


def segment_of(row: Row, naming: Naming) -> tuple[types_pb2.Segment, Segment]:
    """Read a row; its run and task are as they are called here.

    Raises:
        ConfigError: something about it is wrong.
    """
    message = types_pb2.Segment()
    if (body := row.get("message")) is not None:
        try:
            message = types_pb2.Segment.FromString(body)
        except DecodeError:
            raise row.complaint("message", "it is no Segment") from None
    for column in ("actions", "observations"):
        if (value := row.get(column)) is not None:
            with row.about(column):
                tensor = tensor_of(value)
            if column == "actions":
                message.actions.CopyFrom(tensor)
            else:
                message.observations["obs"].CopyFrom(tensor)
    for column, missing in (
        ("actions", not message.actions.shape),
        ("observations", not message.observations),
    ):
        if missing:
            raise row.complaint(column, "it is empty, or a single number; one row a step")
    _address(row, naming, message, said=body is not None)
    steps = message.address.end - message.address.begin
    for column, tensors in (("actions", [message.actions]), ("observations", message.observations.values())):
        for tensor in tensors:
            if not tensor.shape or tensor.shape[0] != steps or steps < 1:
                raise row.complaint(
                    column, f"shape {tuple(tensor.shape)} does not begin with the segment's {steps} steps"
                )
    with row.about("message" if body is not None else "segment_id"):
        return message, decode_segment(message)


def _address(row: Row, naming: Naming, message: types_pb2.Segment, *, said: bool) -> None:
    address = message.address
    if said:
        for column, value in columns_of(message).items():
            row.agreed(column, value)
        if address.task_id != naming.task_id:
            raise row.complaint("message", f"it is of task {address.task_id}, and not of {naming.task_id}")
    else:
        message.segment_id = str(row.needed("segment_id"))
        message.policy_version = row.get("policy_version", 0)
        address.run_id, address.source = naming.run_of(row), row.get("source", _SOURCE)
        address.episode, address.agent = row.get("episode", row.number), row.get("agent", 0)
        address.begin = row.get("begin", 0)
        address.end = row.get("end", address.begin + message.actions.shape[0])
    address.task_id, address.run_id = naming.task_id, naming.new(address.run_id)


def columns_of(message: types_pb2.Segment) -> dict[str, Any]:
    """Return what of a segment's message stands in readable columns, too."""
    address = message.address
    return {
        "run_id": address.run_id,
        "segment_id": message.segment_id,
        "source": address.source,
        "episode": address.episode,
        "agent": address.agent,
        "begin": address.begin,
        "end": address.end,
        "policy_version": message.policy_version,
    }
