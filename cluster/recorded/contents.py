"""What a service holds: tasks, their runs, and what each teacher has said in them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cluster.recorded.place import ServicePlace
from hitl.events import Run, Task
from hitl.storage import runs
from hitl.storage.records import count_events, read_tasks


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContents:
    """One run: how many events of each kind each teacher has said, those that were taken back among them."""

    run: Run
    said: Mapping[str, Mapping[str, int]]


def contents(place: ServicePlace) -> list[tuple[Task, Sequence[RunContents]]]:
    """Return all tasks by name with their runs, oldest first.

    Raises:
        ConfigError: there is nothing.
        StorageError: it cannot be read.
    """
    with place.reading() as (connection, _):
        tasks, counts = read_tasks(connection), count_events(connection)
        known = runs.list_runs(connection, None)
    said: defaultdict[str, defaultdict[str, dict[str, int]]] = defaultdict(lambda: defaultdict(dict))
    for (run_id, teacher_id, kind), count in counts.items():
        said[run_id][teacher_id][kind] = count
    found: defaultdict[str, list[RunContents]] = defaultdict(list)
    for run in reversed(known):
        found[run.task_id].append(RunContents(run=run, said=said[run.run_id]))
    ordered = sorted(tasks.values(), key=lambda task: (task.name, task.task_id))
    return [(task, found[task.task_id]) for task in ordered]
