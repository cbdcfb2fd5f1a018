"""One run of the task with the loophole, in lockstep: a feedback service, a simulated teacher, and the algorithm."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.feedback_service import Place
from benchmarks.own_policy import policy_of
from benchmarks.reward_hack.loophole import HORIZON, mean_true_return
from cluster.environments.making import spaces_of
from cluster.feedback.service import FeedbackService
from cluster.loop.algorithm import HITL
from cluster.loop.algorithm_config import HITLConfig
from cluster.loop.learning.learner import acting_weights
from cluster.runs.config import RunConfig
from hitl.teachers.program import run_teacher
from hitl.teachers.simulated import SimulatedSettings
from policies.acting.inference import acting_policy

ENV_STEPS = 400_000
_HIDDEN = (32, 32)
_EPISODES = 1000
"""In which each policy is scored, the same for all."""

GUARDED: Mapping[str, Any] = {"on_alarm": "freeze"}
"""What the guarded runs have; all else is the default. The unguarded ones have the same alarms, and only report."""


def settings(*, seed: int, clean: bool, guards: Mapping[str, Any]) -> RunConfig:
    """Return the run file: a reward that is linear in place, dial and action, and most of the answers at the start."""
    return RunConfig.model_validate(
        {
            "seed": seed,
            "mode": "lockstep",
            "environment": {
                "id": "benchmarks.reward_hack.loophole:Loophole",
                "kwargs": {"clean": clean},
                "fixed_horizon": HORIZON,
            },
            "rollouts": {"env_runners": 0, "envs_per_runner": 100, "steps": HORIZON},
            "policy": {"hidden": list(_HIDDEN)},
            "learner": {"learning_rate": 4e-4, "minibatch_size": 1000, "entropy_coefficient": 0.01},
            "reward": {
                "model": {"members": 4, "hidden": [], "learning_rate": 1e-2, "gradient_steps": 200},
                "questions": {
                    "budget": 80,
                    "initial": 40,
                    "initial_env_steps": 10_000,
                    "per_round": 5,
                    "round_env_steps": 80_000,
                    "segment_steps": 5,
                },
                "guards": dict(guards),
            },
            "stop": {"env_steps": ENV_STEPS},
        }
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """How a run went."""

    env_steps: list[int]
    """After each update."""
    true_return: list[float]
    """Mean of each update's policy."""
    alarms: list[tuple[int, str]]
    """The environment step of each, and why."""
    asked: int
    seconds: float

    @property
    def best(self) -> float:
        """The highest mean true return."""
        return max(self.true_return)

    @property
    def final(self) -> float:
        """That of the last policy."""
        return self.true_return[-1]

    @property
    def lowest(self) -> float:
        """The lowest one after the highest."""
        return min(self.true_return[self.true_return.index(self.best) :])

    def fall(self, share: float) -> int | None:
        """Return the environment step at which it first was below this share of the highest; None: never."""
        after = range(self.true_return.index(self.best), len(self.true_return))
        return next((self.env_steps[at] for at in after if self.true_return[at] < share * self.best), None)


def play(place: Place, name: str, config: RunConfig) -> Course:
    """Do one run, in this process; Ray is there already."""
    start, stop = time.monotonic(), threading.Event()
    service = FeedbackService(address=place.address, token=place.token("driver", "cluster"), name=name)
    link = service.open_run(HITLConfig.from_run(config).environment_config, str(config.seed))
    oracle = place.token("oracle", "oracle")
    teacher = threading.Thread(
        target=run_teacher,
        args=(place.address, oracle, link.run_id, SimulatedSettings(seed=config.seed)),
        kwargs={"stop": stop},
        daemon=True,
    )
    teacher.start()
    algorithm = HITL(HITLConfig.from_run(config, link))
    env_steps: list[int] = []
    true_return: list[float] = []
    try:
        while algorithm.env_steps < config.stop.env_steps:
            before = algorithm.updates
            algorithm.train()
            if algorithm.updates > before:
                env_steps.append(algorithm.env_steps)
                true_return.append(_mean_true_return(algorithm, config))
        assert algorithm.teaching is not None
        state = algorithm.teaching.state
    finally:
        algorithm.stop()
        stop.set()
        teacher.join()
    return Course(
        env_steps=env_steps,
        true_return=true_return,
        alarms=[(at, str(reason)) for at, reason in state.alarms.raised],
        asked=state.asked,
        seconds=time.monotonic() - start,
    )


def _mean_true_return(algorithm: HITL, config: RunConfig) -> float:
    policy = acting_policy(*spaces_of(config.environment), seed=config.seed, hidden=_HIDDEN)
    policy.load(acting_weights(policy_of(algorithm)))
    return mean_true_return(
        policy, clean=bool(config.environment.kwargs["clean"]), episodes=_EPISODES, seed=config.seed
    )
