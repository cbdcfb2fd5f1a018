"""Acting by what people are expected to say of each action: alone (TAMER), or mixed with a policy.

Each is an `Acts` and takes the place of a policy. H is the expected reward of an action, on the reward model's scale.

Sources: Knox and Stone 2009, "Interactively Shaping Agents via Human Reinforcement: The TAMER Framework", section 3.1;
Knox and Stone 2012, "Reinforcement learning from simultaneous human and MDP reward", section 3, for the mixtures, with
the numbers of Knox and Stone 2010, "Combining manual feedback with subsequent MDP reward signals".

Axis suffixes: N environment, C candidate action, O observation.
"""

import itertools
import math
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from policies.acting.inference import Acts, Draw, Weights
from policies.experience import FloatArray, ObservationArray

_MOST_COMBINATIONS = 256
"""Of the options of several axes; where there are more, some are drawn."""


class ActionRewards(Protocol):
    """The reward model as an actor sees it."""

    def of_actions(self, observation_NO: ObservationArray, action_C: NDArray[Any]) -> FloatArray:
        """Return H of each candidate in each state, float32[N, C]; 0 before there is a model."""
        ...


class CandidateActions:
    """The actions that are considered: all of them, or where there are too many, some drawn at random."""

    def __init__(self, space: gym.Space[Any], *, count: int, rng: np.random.Generator) -> None:
        self._space, self._count, self._rng = space, count, rng
        self._all: NDArray[Any] | None = None
        if isinstance(space, gym.spaces.Discrete):
            self._all = np.arange(int(space.n))
        elif isinstance(space, gym.spaces.MultiDiscrete) and math.prod(space.nvec) <= _MOST_COMBINATIONS:
            self._all = np.array(list(itertools.product(*map(range, space.nvec))), np.int64)

    def draw(self) -> NDArray[Any]:
        """Return candidates, [C] (Discrete) or [C, A]."""
        if self._all is not None:
            return self._all
        if isinstance(self._space, gym.spaces.MultiDiscrete):
            return self._rng.integers(0, self._space.nvec, (self._count, len(self._space.nvec)))
        assert isinstance(self._space, gym.spaces.Box)
        low, high = (np.clip(bound, -1e3, 1e3) for bound in (self._space.low, self._space.high))
        return self._rng.uniform(low, high, (self._count, *self._space.shape)).astype(np.float32)


class ActingOnReward:
    """TAMER: the action of which people would say the best, or nearly. There is no policy, no discount and no value.

    Actions are drawn in proportion to exp(H / temperature). The papers are greedy, on features that say nothing of what
    was never tried; a network takes it for as bad as what was tried nearby, and who is greedy on it never finds out.
    With a temperature others are tried where all known actions are punished, and hardly ever where one is praised.
    """

    memory_units = 0

    def __init__(
        self, rewards: ActionRewards, candidates: CandidateActions, *, temperature: float, seed: int
    ) -> None:
        """Prepare.

        Args:
            rewards: H.
            candidates: that are considered.
            temperature: in units of H; 0 is greedy, equally good actions being chosen by chance.
            seed: of what is drawn.
        """
        self._rewards, self._candidates, self._temperature = rewards, candidates, temperature
        self._rng = np.random.default_rng(seed)

    def load(self, weights: Weights) -> None:
        """There is no policy to load."""

    def act(self, observation_NO: ObservationArray, memory_NH: FloatArray | None = None) -> Draw:
        """See `Acts`; the log-probabilities are 0."""
        action_C = self._candidates.draw()
        reward_NC = self._rewards.of_actions(observation_NO, action_C).astype(np.float64)
        return action_C[self._choose(reward_NC)], np.zeros(len(observation_NO), np.float32)

    def _choose(self, reward_NC: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the place of a candidate in each row."""
        behind_NC = reward_NC - reward_NC.max(1, keepdims=True)
        # The greatest of these is a draw in proportion (Gumbel-max), and greedy without the first part.
        luck_NC = self._rng.gumbel(size=reward_NC.shape)
        worth_NC = (
            np.where(behind_NC == 0, luck_NC, -np.inf)
            if self._temperature == 0
            else behind_NC / self._temperature + luck_NC
        )
        place_N: NDArray[np.int64] = worth_NC.argmax(1)
        return place_N


class Tells(Acts, Protocol):
    """A policy over Discrete actions that tells how probable each one is."""

    def log_probs(self, observation_NO: ObservationArray, memory_NH: FloatArray | None = None) -> FloatArray:
        """Return the log-probability of each action, float32[N, A]; memory is changed as by `act`."""
        ...


class _Mixture:
    """A policy and the reward model, for Discrete actions; `weight` is set as the run goes on."""

    def __init__(self, policy: Tells, rewards: ActionRewards, space: gym.Space[Any], *, seed: int) -> None:
        if not isinstance(space, gym.spaces.Discrete):
            raise TypeError(f"a mixture of policy and reward needs Discrete actions, not {space}")
        self._policy, self._rewards = policy, rewards
        self._action_A = np.arange(int(space.n))
        self._rng = np.random.default_rng(seed)
        self.memory_units = policy.memory_units
        self.weight = 1.0
        """Beta: how much the reward model counts."""

    def load(self, weights: Weights) -> None:
        """See `Acts`."""
        self._policy.load(weights)

    def act(self, observation_NO: ObservationArray, memory_NH: FloatArray | None = None) -> Draw:
        """See `Acts`; the log-probabilities are those of the mixture, which is what acts."""
        log_prob_NA = self._policy.log_probs(observation_NO, memory_NH).astype(np.float64)
        reward_NA = self._rewards.of_actions(observation_NO, self._action_A)
        mixed_NA = self._mixed(log_prob_NA, reward_NA)
        cumulated_NA = np.cumsum(np.exp(mixed_NA), 1)
        threshold_N1 = cumulated_NA[:, -1:] * (1.0 - self._rng.random((len(observation_NO), 1)))
        action_N = (cumulated_NA < threshold_N1).sum(1)
        return action_N, mixed_NA[np.arange(len(action_N)), action_N].astype(np.float32)

    def _mixed(self, log_prob_NA: NDArray[np.float64], reward_NA: FloatArray) -> NDArray[np.float64]:
        raise NotImplementedError


class ActionBiasing(_Mixture):
    """Beta H is added to the policy's preferences while it acts, and only then (method 6)."""

    def _mixed(self, log_prob_NA: NDArray[np.float64], reward_NA: FloatArray) -> NDArray[np.float64]:
        return action_biased(log_prob_NA, reward_NA, weight=self.weight)


class ControlSharing(_Mixture):
    """With probability min(beta, 1) the greedy action on H, and otherwise the policy's (method 7)."""

    def _mixed(self, log_prob_NA: NDArray[np.float64], reward_NA: FloatArray) -> NDArray[np.float64]:
        return control_shared(log_prob_NA, reward_NA, weight=self.weight)


def action_biased(
    log_prob_NA: NDArray[np.float64], reward_NA: FloatArray, *, weight: float
) -> NDArray[np.float64]:
    """Return log-probabilities in proportion to pi(a) exp(beta H(a)), [N, A].

    The source adds beta H to Q where actions are chosen; a softmax policy's preferences stand in for Q.

    Args:
        log_prob_NA: of the policy.
        reward_NA: H.
        weight: beta.
    """
    biased_NA = log_prob_NA + weight * reward_NA
    biased_NA -= biased_NA.max(1, keepdims=True)
    shifted: NDArray[np.float64] = biased_NA - np.log(np.exp(biased_NA).sum(1, keepdims=True))
    return shifted


def control_shared(
    log_prob_NA: NDArray[np.float64], reward_NA: FloatArray, *, weight: float
) -> NDArray[np.float64]:
    """Return the log-probabilities of taking the greedy action on H with probability min(beta, 1), [N, A].

    Equally good actions share it; otherwise the policy acts.

    Args:
        log_prob_NA: of the policy.
        reward_NA: H.
        weight: beta.
    """
    share = min(weight, 1.0)
    greedy_NA = (reward_NA == reward_NA.max(1, keepdims=True)).astype(np.float64)
    greedy_NA /= greedy_NA.sum(1, keepdims=True)
    with np.errstate(divide="ignore"):
        mixed: NDArray[np.float64] = np.log(share * greedy_NA + (1.0 - share) * np.exp(log_prob_NA))
    return mixed
