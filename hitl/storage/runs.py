"""Tasks and runs: who drives a run, and how far it is."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, bindparam, insert, select, update

from hitl.errors import Conflict, InvalidRequest, NotFound, StaleEpoch
from hitl.events import Progress, Run, Task
from hitl.storage import schema
from hitl.storage.clock import from_us, now_us
from hitl.storage.questions import Counts, count_questions

# Statements of the hot path are built once: building costs more than running.
_FIND = select(schema.runs).where(schema.runs.c.run_id == bindparam("of_run"))
_LOCK = _FIND.with_for_update()
_SET_NEXT_OFFSET = (
    update(schema.runs)
    .where(schema.runs.c.run_id == bindparam("of_run"))
    .values(next_offset=bindparam("offset"))
)


@dataclass(frozen=True, slots=True)
class RunEpoch:
    """Which life of which run speaks."""

    run_id: str
    epoch: int


def register_task(connection: Connection, task: Task) -> None:
    """Make a task known; a repeat with the same body changes nothing.

    Raises:
        Conflict: the id is taken by another task.
    """
    tasks = schema.tasks
    known = connection.execute(select(tasks).where(tasks.c.task_id == task.task_id)).mappings().first()
    if known is None:
        row = {"task_id": task.task_id, "name": task.name, "fingerprint": task.fingerprint}
        connection.execute(insert(tasks), {**row, "create_us": now_us()})
    elif (known["name"], known["fingerprint"]) != (task.name, task.fingerprint):
        raise Conflict(
            f"task {task.task_id} is known with another name or fingerprint; derive ids from fingerprints"
        )


def open_run(connection: Connection, run_id: str, task_id: str, reads_from: Collection[str] = ()) -> Run:
    """Start a driver's life: create the run if it is new, and raise its epoch.

    Args:
        connection: in a transaction.
        run_id: of the run.
        task_id: what it is trained on.
        reads_from: other runs whose feedback it reads as well.

    Raises:
        NotFound: the task is not registered, or a run to read from is not there.
        Conflict: the run, or one to read from, is of another task.
        InvalidRequest: the run is to read from itself.
    """
    tasks = schema.tasks
    if connection.execute(select(tasks.c.task_id).where(tasks.c.task_id == task_id)).first() is None:
        raise NotFound(f"no task {task_id}; register it first")
    for other in reads_from:
        _check_readable(connection, other, run_id, task_id)
    known = _find(connection, run_id, lock=True)
    if known is None:
        first = dict.fromkeys(("next_offset", "env_steps", "policy_version", "reward_version"), 0)
        row = {"run_id": run_id, "task_id": task_id, "epoch": 1, "create_us": now_us(), **first}
        connection.execute(insert(schema.runs), row)
    elif known["task_id"] != task_id:
        raise Conflict(
            f"run {run_id} is of task {known['task_id']}, not {task_id}; "
            "go on with the same environment, or start a new run"
        )
    else:
        _set(connection, run_id, epoch=known["epoch"] + 1)
    return get_run(connection, run_id)


def _check_readable(connection: Connection, other: str, run_id: str, task_id: str) -> None:
    if other == run_id:
        raise InvalidRequest(f"reads_from: {run_id} reads its own feedback anyway; take it out of reads_from")
    row = _found(_find(connection, other), other)
    if row["task_id"] != task_id:
        raise Conflict(
            f"reads_from: run {other} is of task {row['task_id']}, not {task_id}, and feedback belongs to its "
            "task; take it out of reads_from, or train on the same environment with the same settings of it"
        )


def get_run(connection: Connection, run_id: str) -> Run:
    """Return a run as it stands.

    Raises:
        NotFound: there is none of this id.
    """
    row = _found(_find(connection, run_id), run_id)
    return _run(row, count_questions(connection, [run_id])[run_id])


def list_runs(connection: Connection, run_ids: Collection[str] | None) -> list[Run]:
    """Return these runs, or all of them, newest first."""
    runs = schema.runs
    query = select(runs).order_by(runs.c.create_us.desc(), runs.c.run_id)
    if run_ids is not None:
        query = query.where(runs.c.run_id.in_(run_ids))
    rows = connection.execute(query).mappings().all()
    counts = count_questions(connection, [row["run_id"] for row in rows])
    return [_run(row, counts[row["run_id"]]) for row in rows]


def require_run(connection: Connection, run_id: str) -> None:
    """Check that the run exists.

    Raises:
        NotFound: there is none of this id.
    """
    _found(_find(connection, run_id), run_id)


def lock_run(connection: Connection, run_id: str) -> RowMapping:
    """Return the run's row, which nobody else can change before this transaction ends.

    Raises:
        NotFound: there is none of this id.
    """
    return _found(_find(connection, run_id, lock=True), run_id)


def lock_epoch(connection: Connection, run: RunEpoch) -> RowMapping:
    """Return the run's row as `lock_run` does, if the caller is its newest driver.

    Raises:
        NotFound: there is no such run.
        StaleEpoch: a newer driver has opened it.
        InvalidRequest: the epoch was never given out.
    """
    row = lock_run(connection, run.run_id)
    if run.epoch < row["epoch"]:
        raise StaleEpoch(
            f"run {run.run_id} was opened by a newer driver (epoch {row['epoch']}, yours is {run.epoch}); "
            "stop this one: two drivers never write to one run"
        )
    if run.epoch > row["epoch"]:
        raise InvalidRequest(f"run.epoch: {run.epoch} was never given out; call OpenRun first")
    return row


def report_progress(connection: Connection, run: RunEpoch, progress: Progress) -> None:
    """Record how far the run is; each number only grows.

    Raises:
        NotFound, StaleEpoch, InvalidRequest: as `lock_epoch`.
    """
    row = lock_epoch(connection, run)
    raise_versions(connection, row, progress.policy_version, progress.reward_version)
    if progress.env_steps > row["env_steps"]:
        _set(connection, run.run_id, env_steps=progress.env_steps)


def raise_versions(connection: Connection, row: RowMapping, policy_version: int, reward_version: int) -> None:
    """Raise the run's highest versions to these, if they are higher."""
    policy_version = max(policy_version, row["policy_version"])
    reward_version = max(reward_version, row["reward_version"])
    if (policy_version, reward_version) != (row["policy_version"], row["reward_version"]):
        _set(connection, row["run_id"], policy_version=policy_version, reward_version=reward_version)


def set_next_offset(connection: Connection, run_id: str, offset: int) -> None:
    """Move the end of the run's journal; the caller has locked the run."""
    connection.execute(_SET_NEXT_OFFSET, {"of_run": run_id, "offset": offset})


def _set(connection: Connection, run_id: str, **values: Any) -> None:
    runs = schema.runs
    connection.execute(update(runs).where(runs.c.run_id == run_id).values(**values))


def _find(connection: Connection, run_id: str, *, lock: bool = False) -> RowMapping | None:
    return connection.execute(_LOCK if lock else _FIND, {"of_run": run_id}).mappings().first()


def _found(row: RowMapping | None, run_id: str) -> RowMapping:
    if row is None:
        raise NotFound(f"no run {run_id}; ListRuns tells which there are")
    return row


def _run(row: RowMapping, counts: Counts) -> Run:
    return Run(
        run_id=row["run_id"],
        task_id=row["task_id"],
        epoch=row["epoch"],
        progress=Progress(
            env_steps=row["env_steps"],
            policy_version=row["policy_version"],
            reward_version=row["reward_version"],
        ),
        open_questions=counts.open,
        answered_questions=counts.answered,
        closed_questions=counts.closed,
        journal_end=row["next_offset"],
        create_time=from_us(row["create_us"]),
    )
