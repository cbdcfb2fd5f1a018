"""Where an algorithm meets its feedback: a service, and a run on it."""

from collections.abc import Sequence
from dataclasses import dataclass

from cluster.environments.making import check_learnable, task_of
from cluster.runs.config import EnvironmentConfig
from hitl.client.training import TrainingClient
from hitl.events import Progress, Run, Task


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
    """Runs of the same task whose feedback each trial learns from as well."""

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
        run = client.open_run(run_id, task.task_id, reads_from=self.reads_from)
        return run, FeedbackLink(
            address=self.address,
            token=self.token,
            run_id=run.run_id,
            task_id=run.task_id,
            epoch=run.epoch,
            reads_from=self.reads_from,
        )
