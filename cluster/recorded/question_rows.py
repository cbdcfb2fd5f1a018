"""A row of the table of questions."""

from google.protobuf.message import DecodeError

from cluster.recorded.naming import Naming
from cluster.recorded.tables import Row
from hitl.storage.questions import ANSWERED, OPEN, WITHDRAWN
from hitl.storage.records import RecordedQuestion
from hitl.v1 import types_pb2
from hitl.wire.questions import decode_question

_STATES = (OPEN, ANSWERED, WITHDRAWN)


def question_of(row: Row, naming: Naming) -> tuple[str, RecordedQuestion]:
    """Read a row; returns its run, as it is called here, and the question.

    Raises:
        ConfigError: something about it is wrong.
    """
    try:
        message = types_pb2.Question.FromString(row.needed("message"))
    except DecodeError:
        raise row.complaint("message", "it is no Question") from None
    row.agreed("run_id", message.run_id)
    row.agreed("question_id", message.question_id)
    segment_ids = tuple(row.get("segment_ids", ()))
    if message.WhichOneof("kind") is not None:
        with row.about("message"):
            question = decode_question(message)
        if segment_ids != question.segment_ids:
            raise row.complaint("segment_ids", "the column message names others")
    state = row.get("state", WITHDRAWN)
    if state not in _STATES:
        raise row.complaint("state", f"{state!r} is none of {', '.join(_STATES)}")
    run_id = naming.new(message.run_id)
    body = row.needed("message")
    if run_id != message.run_id:
        message.run_id = run_id
        body = message.SerializeToString(deterministic=True)
    return run_id, RecordedQuestion(
        question_id=message.question_id,
        body=body,
        segment_ids=segment_ids,
        value=message.value,
        policy_version=message.policy_version,
        state=state,
    )
