"""The loop without processes: one vector of environments, one network, its update. It runs in a second or two."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from cluster.environments.making import make_vector
from cluster.loop.learning.learner import acting_weights
from cluster.loop.rollouts.collector import Collected, Collector
from cluster.runs.config import EnvironmentConfig
from policies.acting.inference import acting_policy
from policies.descent.gradient_step import flatten_parameters
from policies.networks import ActorCritic
from policies.objectives import make_objective
from policies.recent_rollouts import RecentRollouts
from policies.rewards import RewardSource
from policies.settings import UpdateSettings
from policies.update import Update


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What is acted in, and how much of it an update sees."""

    environment: EnvironmentConfig
    discount: float
    envs: int = 16
    steps: int = 128
    learning_rate: float = 1e-3
    epochs: int = 10
    minibatch_size: int = 256


class Loop:
    """A policy being trained on reward sources that the caller changes."""

    def __init__(
        self,
        world: World,
        sources: Mapping[str, RewardSource],
        *,
        seed: int,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        """Build it; each source has weight 1, `settings` are those of the update that differ."""
        torch.manual_seed(seed)
        envs = make_vector(world.environment, world.envs)
        spaces = envs.observation_space, envs.action_space
        self.network, self._steps = ActorCritic(*spaces), world.steps
        self.settings = UpdateSettings(
            discount=world.discount,
            gae_lambda=0.95,
            clip=0.2,
            epochs=world.epochs,
            minibatch_size=world.minibatch_size,
            value_coefficient=0.5,
            entropy_coefficient=0.0,
            max_gradient_norm=0.5,
            **dict(settings or {}),  # type: ignore[arg-type]
        )
        flat = flatten_parameters(self.network)
        self._learning_rate = world.learning_rate
        self._optimiser = torch.optim.Adam([flat], world.learning_rate, eps=1e-5)
        self._update = Update(
            network=self.network,
            flat=flat,
            optimiser=self._optimiser,
            objective=make_objective(self.settings),
            sources=sources,
            source_weights=dict.fromkeys(sources, 1.0),
            settings=self.settings,
        )
        warm_up = self.settings.critic_warm_up
        self._recent = RecentRollouts(most=warm_up.batches, most_bytes=warm_up.megabytes * 2**20)
        self._generator = torch.Generator().manual_seed(seed)
        self._policy = acting_policy(*spaces, seed=seed)
        self._collector = Collector(envs, self._policy, source="benchmark", seed=seed, share_reward=False)
        self._version = 0

    def collect(self) -> Collected:
        """Gather a rollout with the policy as it is."""
        self._policy.load(acting_weights(self.network))
        self._version += 1
        return self._collector.collect(self._steps, policy_version=self._version)

    def anneal(self, share_left: float) -> None:
        """Learn from here on with so much of the first step size."""
        for group in self._optimiser.param_groups:
            group["lr"] = share_left * self._learning_rate

    def warm_up(self, silent: Sequence[str] = ()) -> dict[str, float]:
        """Let the critic follow a change of the reward, as far as the settings say."""
        return self._update.warm_up(list(self._recent), self._generator, silent)

    def learn(self, collected: Collected, silent: Sequence[str] = ()) -> dict[str, float]:
        """Learn from a rollout."""
        statistics = self._update(collected.rollout, self._generator, silent=silent)
        if self.settings.critic_warm_up.steps:
            self._recent.take(collected.rollout)
        return statistics
