"""Demonstrations on their way to the disk: segments, and the event that names them."""

from asyncio import wrap_future

from hitl.events import Segment
from hitl.storage import runs
from hitl.storage.journal import NewEvent
from hitl.storage.segments import StoredSegment, prepare_segment
from hitl.storage.storage import Storage
from hitl.v1 import teaching_pb2
from hitl.wire.demonstrations import decode_piece, event_of, segments_of
from hitl.wire.events import encode_event
from hitl.wire.segments import encode_segment


async def new_demonstration(
    storage: Storage, request: teaching_pb2.DemonstrateRequest, teacher_id: str
) -> NewEvent:
    """Return what is to be recorded.

    Raises:
        InvalidRequest: the request is malformed, or too big.
        NotFound: there is no such run.
    """
    piece = decode_piece(request)
    run = await wrap_future(storage.read(runs.get_run, piece.run_id))
    event = event_of(piece)
    segments = list(segments_of(piece, teacher_id=teacher_id, task_id=run.task_id))
    return NewEvent(
        teacher_id,
        event,
        encode_event(event).SerializeToString(deterministic=True),
        brings=await wrap_future(storage.run(_prepare, storage, segments)),
    )


def _prepare(storage: Storage, segments: list[Segment]) -> tuple[StoredSegment, ...]:
    return tuple(
        prepare_segment(
            storage.blobs,
            segment.segment_id,
            encode_segment(segment).SerializeToString(deterministic=True),
            None,
        )
        for segment in segments
    )
