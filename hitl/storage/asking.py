"""What only the newest driver of a run may write: segments and questions about them."""

from collections.abc import Collection, Sequence

from sqlalchemy import Connection

from hitl.errors import InvalidRequest, NotFound
from hitl.storage.questions import NewQuestion, insert_questions, withdraw_questions
from hitl.storage.runs import RunEpoch, lock_epoch, raise_versions
from hitl.storage.segments import StoredSegment, insert_segments, known_segments


def publish(
    connection: Connection,
    run: RunEpoch,
    stored: Sequence[StoredSegment],
    *,
    task_ids: Collection[str],
    policy_version: int,
) -> None:
    """Store segments of these tasks, made by policies up to this version; a known segment_id changes nothing.

    Raises:
        NotFound, StaleEpoch, InvalidRequest: as `lock_epoch`; InvalidRequest also for another task's segment.
    """
    row = lock_epoch(connection, run)
    for task_id in task_ids:
        if task_id != row["task_id"]:
            raise InvalidRequest(
                f"segment.address.task_id: {task_id} is not the run's task, {row['task_id']}"
            )
    insert_segments(connection, run.run_id, stored)
    raise_versions(connection, row, policy_version, 0)


def ask(connection: Connection, run: RunEpoch, asked: Sequence[NewQuestion]) -> None:
    """Store questions; a known question_id without an answer is open again until its new time, and no more.

    Raises:
        NotFound: a segment is not published, or as `lock_epoch`.
        StaleEpoch, InvalidRequest: as `lock_epoch`.
    """
    row = lock_epoch(connection, run)
    named = {segment_id for new in asked for segment_id in new.question.segment_ids}
    missing = named - known_segments(connection, run.run_id, named)
    if missing:
        raise NotFound(f"run {run.run_id} has no segment {min(missing)}; publish it before asking about it")
    insert_questions(connection, run.run_id, asked)
    raise_versions(
        connection,
        row,
        max((new.question.policy_version for new in asked), default=0),
        max((new.question.reward_version for new in asked), default=0),
    )


def withdraw(connection: Connection, run: RunEpoch, question_ids: Collection[str]) -> None:
    """Close those of the questions that are still open.

    Raises:
        NotFound, StaleEpoch, InvalidRequest: as `lock_epoch`.
    """
    lock_epoch(connection, run)
    withdraw_questions(connection, run.run_id, question_ids)
