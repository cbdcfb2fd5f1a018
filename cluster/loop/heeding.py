"""The driver's side of signals about the policy: the newest of them, and what they count."""

from typing import Any

import ray

from cluster.feedback.service import FeedbackLink
from cluster.feedback.signal_reader import SignalReader, SignalsState
from cluster.newest import Published
from cluster.runs.reward.signals import SignalsConfig
from cluster.runs.section import annealed


class Heeding:
    """What the driver knows of them."""

    def __init__(
        self, settings: SignalsConfig, spaces: tuple[Any, Any], link: FeedbackLink, *, seed: int
    ) -> None:
        """Start the reader; it comes back by itself when it dies.

        Args:
            settings: of the run.
            spaces: of observations and of actions.
            link: to the run's feedback.
            seed: of the reader.
        """
        self._settings = settings
        self._reader = (
            ray.remote(SignalReader)
            .options(num_cpus=0, max_restarts=-1, max_task_retries=-1)
            .remote(*spaces, signals=settings, link=link, seed=seed)
        )
        self._learnt: Published | None = None
        self.state = SignalsState()
        """When the reader last answered."""

    def weight(self, env_steps: int) -> float:
        """Return what the reading's loss counts beside the policy's objective after so many environment steps."""
        return annealed(self._settings.policy.weight, self._settings.policy.until_env_steps, env_steps)

    def take(self, policy_version: int) -> Published | None:
        """Return what there is to learn a policy of this version from; None where there is nothing."""
        self.state = ray.get(self._reader.take.remote(policy_version))
        return self.state.newest

    def unlearnt(self, signals: Published | None) -> Published | None:
        """Return signals that were not learnt from yet; they are from now on."""
        if signals is None or (self._learnt is not None and signals.boxed == self._learnt.boxed):
            return None
        self._learnt = signals
        return signals

    def stop(self) -> None:
        """End the reader."""
        ray.kill(self._reader)
