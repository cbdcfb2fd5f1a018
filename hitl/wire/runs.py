"""Runs and tasks to messages and back."""

from hitl.errors import InvalidRequest
from hitl.events import Progress, Run, Task
from hitl.fields import check_count, check_id, decode_time, encode_time
from hitl.v1 import training_pb2, types_pb2

_MAX_FINGERPRINT_LENGTH = 100_000


def encode_progress(progress: Progress) -> types_pb2.RunProgress:
    """Put a run's progress into a message."""
    return types_pb2.RunProgress(
        env_steps=progress.env_steps,
        policy_version=progress.policy_version,
        reward_version=progress.reward_version,
    )


def decode_progress(message: types_pb2.RunProgress, what: str = "progress") -> Progress:
    """Read a run's progress."""
    return Progress(
        env_steps=check_count(message.env_steps, f"{what}.env_steps"),
        policy_version=check_count(message.policy_version, f"{what}.policy_version"),
        reward_version=check_count(message.reward_version, f"{what}.reward_version"),
    )


def encode_run(run: Run) -> types_pb2.Run:
    """Put a run into a message."""
    message = types_pb2.Run(
        run_id=run.run_id,
        task_id=run.task_id,
        epoch=run.epoch,
        progress=encode_progress(run.progress),
        questions=types_pb2.QuestionCounts(
            open=run.open_questions, answered=run.answered_questions, closed=run.closed_questions
        ),
        journal_end=run.journal_end,
    )
    if run.create_time is not None:
        message.create_time.CopyFrom(encode_time(run.create_time))
    return message


def decode_run(message: types_pb2.Run) -> Run:
    """Read a run."""
    return Run(
        run_id=message.run_id,
        task_id=message.task_id,
        epoch=message.epoch,
        progress=decode_progress(message.progress),
        open_questions=message.questions.open,
        answered_questions=message.questions.answered,
        closed_questions=message.questions.closed,
        journal_end=message.journal_end,
        create_time=decode_time(message.create_time, "run.create_time")
        if message.HasField("create_time")
        else None,
    )


def encode_task(task: Task) -> training_pb2.Task:
    """Put a task into a message."""
    return training_pb2.Task(task_id=task.task_id, name=task.name, fingerprint=task.fingerprint)


def decode_task(message: training_pb2.Task, what: str = "task") -> Task:
    """Read a task."""
    if not message.fingerprint or len(message.fingerprint) > _MAX_FINGERPRINT_LENGTH:
        raise InvalidRequest(f"{what}.fingerprint: needs 1 to {_MAX_FINGERPRINT_LENGTH} characters")
    return Task(
        task_id=check_id(message.task_id, f"{what}.task_id"),
        name=check_id(message.name, f"{what}.name"),
        fingerprint=message.fingerprint,
    )
