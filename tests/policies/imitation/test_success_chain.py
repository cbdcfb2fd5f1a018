"""Critics of success on a chain with a cliff, where what they should say is known exactly."""

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray

from policies.experience import Actor, Outcome, Rollout
from policies.imitation.risk import risk
from policies.imitation.settings import SuccessSettings
from policies.imitation.success import SuccessCritics
from policies.networks import ActorCritic
from policies.networks.success_critic import SuccessCritic
from tests.policies.rollouts import ACTION_SPACE

END = 8
"""The goal of the chain; at 0 is its cliff."""
SEEN = gym.spaces.Box(-10.0, 10.0, (1,), np.float32)
WITH_THE_WIND = 0.7
"""Probability with which a step on the chain goes where it was meant to."""
LEFT, RIGHT = range(2)


class Chain:
    """A chain with a cliff at 0 and a goal at `END`; whoever walks drifts back now and then. The policy goes right."""

    def __init__(self, discount: float) -> None:
        self.discount = discount
        network = ActorCritic(SEEN, ACTION_SPACE, hidden=(4,))
        with torch.no_grad():
            network.policy[-1].weight.zero_()
            network.policy[-1].bias.copy_(torch.tensor([0.0, 1.0]))
        self.policy = network

    def rollout(self, *, steps: int = 100, columns: int = 20, seed: int = 0) -> Rollout:
        """Both actions by chance, so that what is learnt is about the policy and not about who acted."""
        random = np.random.default_rng(seed)
        shape = (steps, columns)
        action_TN, outcome_TN = random.integers(0, 2, shape), np.zeros(shape, np.uint8)
        observation_TNO = np.zeros((steps + 1, columns, 1), np.float32)
        observation_TNO[0, :, 0] = random.integers(1, END, columns)
        final = {}
        for t, n in np.ndindex(*shape):
            forward = action_TN[t, n] == RIGHT
            if random.random() > WITH_THE_WIND:
                forward = not forward
            place = observation_TNO[t, n, 0] + (1 if forward else -1)
            if place in (0, END):
                outcome_TN[t, n] = Outcome.REACHED if place == END else Outcome.FAILED
                final[t * columns + n] = [place]
                place = random.integers(1, END)
            observation_TNO[t + 1, n, 0] = place
        zeros = np.zeros(shape, np.int64)
        return Rollout(
            source="chain",
            policy_version=1,
            observation_TNO=observation_TNO,
            action_TNA=action_TN,
            log_prob_TN=np.zeros(shape, np.float32),
            terminated_TN=outcome_TN != Outcome.OPEN,
            truncated_TN=np.zeros(shape, bool),
            final_index_K=np.array(list(final)),
            final_observation_KO=np.array(list(final.values()), np.float32),
            actor_TN=np.full(shape, Actor.POLICY, np.uint8),
            episode_TN=zeros,
            step_TN=zeros,
            duration_TN=zeros + 1,
            outcome_TN=outcome_TN,
        )

    def exact(self) -> NDArray[np.float64]:
        """Q of each place from 1 to END - 1 and each action, [S, A], by following the policy for very long."""
        value = np.zeros(END + 1)
        value[END] = 1 / self.discount
        for _ in range(5_000):
            for place in range(1, END):
                value[place] = self._ahead(value, place, WITH_THE_WIND)
        return np.array(
            [
                [self._ahead(value, place, forward) for forward in (1 - WITH_THE_WIND, WITH_THE_WIND)]
                for place in range(1, END)
            ]
        )

    def _ahead(self, value: NDArray[np.float64], place: int, forward: float) -> float:
        return float(self.discount * (forward * value[place + 1] + (1 - forward) * value[place - 1]))


def everywhere(say: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> NDArray[Any]:
    seen = torch.arange(1, END, dtype=torch.float32)[:, None]
    return np.stack([say(seen, torch.full((END - 1,), action)).numpy() for action in (LEFT, RIGHT)], 1)


def test_on_a_chain_with_a_cliff_risk_is_what_it_truly_is() -> None:
    chain = Chain(discount=0.97)
    settings = SuccessSettings(gradient_steps=1500, learning_rate=3e-3, discount=0.97)
    one = SuccessCritics(lambda: SuccessCritic(SEEN, ACTION_SPACE, hidden=(32,)), settings=settings, seed=1)
    for seed in range(2):
        one.learn([chain.rollout(seed=seed)], chain.policy, torch.Generator().manual_seed(3))
    risk_SA = everywhere(lambda seen, action: risk(one.success(seen, action)))
    true_SA = 1 - chain.exact()
    assert np.abs(risk_SA - true_SA).max() < 0.12
    # The nearer the cliff, and the less a step goes where the policy would go, the riskier.
    assert (np.diff(risk_SA, axis=0) < 0).all()
    assert (risk_SA[:, LEFT] > risk_SA[:, RIGHT]).all()
    assert true_SA[0, LEFT] - true_SA[-1, RIGHT] > 0.7
