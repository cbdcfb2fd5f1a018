"""What people and other tools read of an event, beside its message."""

import json
from typing import Any

from google.protobuf.json_format import MessageToDict

from hitl.v1 import types_pb2

CHECKED = ("question_id", "choice", "retracted_event_id", "value")
"""Columns that must say what the message says, where they say anything."""


def readable(message: types_pb2.FeedbackEvent) -> dict[str, Any]:
    """Return columns of the table of events; none for a kind that is newer than this program."""
    kind = message.WhichOneof("kind")
    if kind is None:
        return {}
    told: Any = getattr(message, kind)
    details = MessageToDict(told, preserving_proto_field_name=True)
    row: dict[str, Any] = {"details": json.dumps(details, sort_keys=True)}
    if kind == "comparison":
        row["choice"] = types_pb2.Choice.Name(told.choice).removeprefix("CHOICE_").lower()
    for name in ("question_id", "retracted_event_id", "value"):
        if name in told.DESCRIPTOR.fields_by_name:
            row[name] = getattr(told, name)
    return row
