"""Where an algorithm meets its feedback: a service, and a run on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile

from cluster.environments.making import check_learnable, task_of
from cluster.runs.config import EnvironmentConfig
from hitl.client.training import TrainingClient
from hitl.events import Progress, Run, Task

ALL_OF_TASK = "task"
"""Among runs to read from: all runs of the task that began before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackLink:
    """A run that is open, by its newest driver."""

    address: str
    token: str
    run_id: str
    task_id: str
    epoch: int
    reads_from: Sequence[str] = ()
    """Runs of the same task whose feedback counts as well."""
    read_until: Mapping[str, int] = field(default_factory=dict)
    """Offsets where it ends in lockstep, by run; where there is none it counts as far as it goes when a life begins."""

    def ending(self, client: TrainingClient, known: Mapping[str, int]) -> "FeedbackLink":
        """Return the link with an end for each run that it reads from: the known one, or where that stands now."""
        new = [other for other in self.reads_from if other not in known]
        return replace(self, read_until={**known, **{o: client.get_run(o).journal_end for o in new}})

    @property
    def run(self) -> Run:
        """The run as it was opened, for a client that writes to it."""
        return Run(
            run_id=self.run_id,
            task_id=self.task_id,
            epoch=self.epoch,
            progress=Progress(),
            open_questions=0,
            answered_questions=0,
            closed_questions=0,
            journal_end=0,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackService:
    """A service to open runs on; every trial of a sweep opens one of its own."""

    address: str
    token: str
    """Of the role cluster."""
    name: str = "trial"
    """Begins the runs' ids; the trial's own id ends them."""
    reads_from: Sequence[str] = ()
    """Runs of the same task whose feedback each trial learns from as well; `task`: all that began before."""

    def open_run(self, environment: EnvironmentConfig, trial_id: str) -> FeedbackLink:
        """Start a driver's life of a trial's run.

        Raises:
            ConfigError: the environment cannot be made, or not be learnt on a learned reward.
            RequestError: the service refuses, for example to read from a run of another task.
        """
        env = check_learnable(environment, learned_reward=True)
        task = task_of(environment, env)
        env.close()  # type: ignore[no-untyped-call]
        with TrainingClient(self.address, self.token) as client:
            _, link = self.open_task(client, f"{self.name}-{trial_id}", task)
        return link

    def open_task(self, client: TrainingClient, run_id: str, task: Task) -> tuple[Run, FeedbackLink]:
        """Start a driver's life of a run on a task, by a client of this service.

        Raises:
            RequestError: the service refuses, for example to read from a run of another task.
        """
        client.register_task(task)
        named = [other for other in self.reads_from if other != ALL_OF_TASK]
        run = client.open_run(run_id, task.task_id, reads_from=named)
        if len(named) < len(self.reads_from):
            # What began before is the same for a life that goes on.
            earlier = takewhile(lambda other: other.run_id != run_id, client.list_runs(task.task_id))
            named += [other.run_id for other in earlier if other.run_id not in named]
        return run, FeedbackLink(
            address=self.address,
            token=self.token,
            run_id=run.run_id,
            task_id=run.task_id,
            epoch=run.epoch,
            reads_from=tuple(named),
        )
