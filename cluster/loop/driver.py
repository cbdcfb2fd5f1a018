"""The driver: one life of a run, from its newest checkpoint to its end or to a signal.

`python -m cluster.loop.driver RUN_FOLDER`, with HANDRAIL_SERVICE (host:port) and HANDRAIL_TOKEN (role cluster) in the
environment where people teach. Its exit code says how it ended; see `cluster.cli.supervision.supervisor.DriverCode`.
"""

import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch

from cluster.cli.supervision.supervisor import DriverCode
from cluster.environments.making import check_learnable, task_of
from cluster.feedback.earlier import check_recorded
from cluster.feedback.progress_reporter import VERSION_MARGIN, ProgressReporter
from cluster.feedback.service import FeedbackLink, FeedbackService
from cluster.loop.algorithm import HITL
from cluster.loop.algorithm_config import HITLConfig
from cluster.loop.evaluation import GreedyReward, Judged, evaluate
from cluster.loop.local_ray import start_ray
from cluster.loop.progress_row import progress_row
from cluster.loop.settings.policy_check import check_policy
from cluster.metrics import DriverMetrics
from cluster.one_life import live
from cluster.priority import give_way
from cluster.runs import checkpoints
from cluster.runs.config import RunConfig
from cluster.runs.folder import RunFolder, read_json, write_json
from cluster.runs.loading import load_run
from cluster.runs.progress import Phase, ProgressRow, ProgressWriter
from hitl.client.training import TrainingClient
from hitl.errors import ConfigError, StaleEpoch
from hitl.events import Progress, Run, Task
from policies.networks import ActorCritic

logger = logging.getLogger(__name__)

_ROW_SECONDS = 0.5


class Driver:
    """One life of a run."""

    def __init__(self, folder: RunFolder) -> None:
        """Open the run, build the algorithm, and go on from the newest checkpoint if there is one."""
        self.folder = folder
        self.config: RunConfig = load_run(folder.run_file)
        self._started = time.monotonic()
        self._stopping = False
        env: Any = check_learnable(
            self.config.environment,
            learned_reward=self.config.learns_reward,
            goal=self.config.imitation.help.goal,
        )
        self._spaces = (env.observation_space, env.action_space)
        check_policy(self._spaces, self.config)
        # Before anything that starts threads: Ray forks, and a fork while gRPC runs now and then hangs.
        start_ray(cpus=self.config.rollouts.env_runners + 1)
        self._metrics = DriverMetrics()
        monitoring = self.config.monitoring
        address = self._metrics.serve(monitoring.host, monitoring.driver_port)
        ready = {"metrics_address": address, "pid": os.getpid()}
        write_json(folder.driver_file, ready)
        task = task_of(self.config.environment, env)
        check_recorded(self.config, task, self._spaces)
        self._client, self._run, link = self._open_run(task)
        env.close()
        if self.config.stages.count:
            give_way()
        self.algorithm = self._build(link)
        self._device = str(self.algorithm.config.learner_device)
        write_json(folder.driver_file, ready | {"learner_device": self._device})
        self._reporter = ProgressReporter(self._client, self._run) if self._client and self._run else None
        self._last_row = self._last_checkpoint = time.monotonic()

    def request_stop(self, *_: object) -> None:
        """End after the update under way, with a checkpoint."""
        self._stopping = True

    def run(self) -> int:
        """Train to the end; returns the exit code."""
        algorithm, total = self.algorithm, self.config.stop.env_steps
        resumed = algorithm.env_steps or None
        with ProgressWriter(self.folder, metrics=self._metrics, resume_from_env_steps=resumed) as writer:
            writer.write(self._row("starting"))
            while algorithm.env_steps < total and not self._stopping:
                self._train_once()
                if self._reporter and self._reporter.refused:
                    raise StaleEpoch("a newer driver has opened this run")
                self._record(writer)
            self._checkpoint()
            if self._stopping:
                return DriverCode.STOPPED
            writer.write(self._row("evaluating"))
            write_json(self.folder.summary_file, self._summary(self._evaluate()))
            writer.write(self._row("done"))
        return DriverCode.DONE

    def close(self) -> None:
        """End what was started."""
        if self._reporter:
            self._reporter.close()
        self.algorithm.stop()
        if self._client:
            self._client.close()

    def _open_run(self, task: Task) -> tuple[TrainingClient | None, Run | None, FeedbackLink | None]:
        if not self.config.learns_from_people:
            return None, None, None
        address = self.config.feedback.address or os.environ.get("HANDRAIL_SERVICE")
        token = os.environ.get("HANDRAIL_TOKEN") or self.config.feedback.token
        if not address or not token:
            raise ConfigError(
                "a learned reward needs a feedback service: set HANDRAIL_SERVICE and HANDRAIL_TOKEN, "
                "or start the run with `handrail train`, which does"
            )
        client = TrainingClient(address, token)
        service = FeedbackService(address=address, token=token, reads_from=self.config.feedback.reads_from)
        run, link = service.open_task(client, self.folder.run_id, task)
        if self.config.mode == "lockstep" and link.reads_from:
            # Later lives read no further than the first one did.
            link = link.ending(client, read_json(self.folder.reads_from_file) or {})
            write_json(self.folder.reads_from_file, link.read_until)
        return client, run, link

    def _build(self, link: FeedbackLink | None) -> HITL:
        algorithm = HITL(HITLConfig.from_run(self.config, link))
        checkpoint = checkpoints.newest(self.folder.checkpoints)
        if checkpoint:
            algorithm.restore_from_path(checkpoint.absolute())
            logger.warning("going on from %s at %d steps", checkpoint.name, algorithm.env_steps)
        highest = self._run.progress.policy_version if self._run else 0
        if checkpoint or highest:
            algorithm.policy_version = max(algorithm.policy_version, highest) + VERSION_MARGIN
        return algorithm

    def _train_once(self) -> None:
        algorithm = self.algorithm
        before = algorithm.updates
        if algorithm.teaching and self.folder.thaw_file.exists():
            self.folder.thaw_file.unlink()
            algorithm.teaching.thaw()
        algorithm.train()
        if algorithm.updates > before:
            statistics = algorithm.statistics
            self._metrics.observe_update(
                duration_seconds=statistics.update_seconds,
                sampling_seconds=statistics.sampling_seconds,
                lag_updates=statistics.lag_updates,
            )
        if self._reporter:
            teaching = algorithm.teaching
            self._reporter.tell(
                Progress(
                    env_steps=algorithm.env_steps,
                    policy_version=algorithm.policy_version,
                    reward_version=teaching.version if teaching else 0,
                )
            )
            while self._reporter.far_behind and not self._stopping:
                time.sleep(_ROW_SECONDS)

    def _record(self, writer: ProgressWriter) -> None:
        now = time.monotonic()
        if now - self._last_row >= _ROW_SECONDS:
            self._last_row = now
            learning = not self.config.learns_reward or self.algorithm.updates
            writer.write(self._row("learning" if learning else "asking"))
        if self.config.mode == "lockstep":
            updates, every = self.algorithm.updates, self.config.checkpoints.every_updates
            due = updates > 0 and updates % every == 0
        else:
            due = now - self._last_checkpoint >= self.config.checkpoints.every_seconds
        if due and self.algorithm.updates:
            self._checkpoint()

    def _checkpoint(self) -> Path:
        self._last_checkpoint = time.monotonic()
        return checkpoints.write(
            self.folder.checkpoints,
            number=self.algorithm.env_steps,
            save=lambda path: self.algorithm.save_to_path(path.absolute()),
            keep=self.config.checkpoints.keep,
        )

    def _row(self, phase: Phase) -> ProgressRow:
        return progress_row(self.algorithm, self.config, phase, wall_seconds=time.monotonic() - self._started)

    def _evaluate(self) -> list[float]:
        episodes, seed = self.config.evaluation.episodes, self.config.seed
        if not episodes:
            return []
        return evaluate(self._judged(), self.config.environment, episodes=episodes, seed=seed)

    def _judged(self) -> Judged:
        if self.config.acting.kind == "reward" and self.algorithm.teaching:
            return GreedyReward(*self._spaces, self.algorithm.teaching.arrays(), self.config)
        network = ActorCritic(*self._spaces, **self.algorithm.config.model_config)
        network.load_state_dict({k: torch.as_tensor(v) for k, v in self.algorithm.network_state.items()})
        return network

    def _summary(self, returns: list[float]) -> dict[str, Any]:
        row = self._row("done")
        return {
            "run_id": self.folder.run_id,
            "environment": self.config.environment.id,
            "seed": self.config.seed,
            "learner_device": self._device,
            "env_steps": row.env_steps,
            "updates": row.updates,
            "wall_seconds": row.wall_seconds,
            "comparisons": row.comparisons,
            "asked": row.asked,
            "relabels": row.relabels,
            "true_return_mean": sum(returns) / len(returns) if returns else None,
            "true_return_episodes": returns,
            "heldout_accuracy": row.heldout_accuracy,
            "heldout_log_loss": row.heldout_log_loss,
            "plain_heldout_accuracy": row.plain_heldout_accuracy,
            "plain_heldout_log_loss": row.plain_heldout_log_loss,
            "teacher_agreement": row.teacher_agreement,
            "flagged_teachers": row.flagged_teachers,
            "policy_version": row.policy_version,
            "reward_version": row.reward_version,
        }


def main(argv: list[str] | None = None) -> int:
    """Run one life of the run in the given folder; returns the exit code."""
    (path,) = sys.argv[1:] if argv is None else argv
    return live(lambda: Driver(RunFolder(Path(path).absolute())))


if __name__ == "__main__":
    sys.exit(main())
