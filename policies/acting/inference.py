"""Acting without torch: small networks answer faster from NumPy, where a call costs next to nothing.

Env runners act through `Acts` and do not know what is behind it. `acting_policy` chooses: `NumpyPolicy` where the
network is a small multi-layer perceptron, `TorchPolicy` (`torch_inference.py`) elsewhere. Both take the arrays of
`ActorCritic.state_dict()`, each has a random generator of its own, and they agree in log-probabilities, not in draws.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from policies.encoding import chosen_encoders, normalised_numbers
from policies.experience import FloatArray, ObservationArray
from policies.settings import FURTHEST, TINY, EncoderName
from policies.spaces import is_action_space

Weights = Mapping[str, NDArray[np.generic]]
Draw = tuple[NDArray[np.generic], FloatArray]
"""Actions, int64[N], int64[N, A] or float32[N, A], and their log-probabilities, float32[N]."""

_ACTIVATIONS: dict[str, Callable[..., Any]] = {
    "tanh": np.tanh,
    "relu": lambda hidden, out: np.maximum(hidden, 0, out=out),
}
_LARGEST_LAYER = 256
"""Units of a hidden layer up to which torch's overhead outweighs its faster matrix products."""


class Acts(Protocol):
    """A policy as an env runner sees it."""

    memory_units: int
    """Numbers that it remembers of each environment; 0: none."""

    def load(self, weights: Weights) -> None:
        """Act by these weights from now on."""
        ...

    def act(self, observation_NO: ObservationArray, memory_NH: FloatArray | None = None) -> Draw:
        """Draw an action for each flat observation; the arrays returned are the caller's.

        Args:
            observation_NO: flat.
            memory_NH: what is remembered of each environment, changed in place; only where it remembers anything.
        """
        ...


class NumpyPolicy:
    """The policy network of an `ActorCritic` without encoder and memory, in NumPy alone."""

    memory_units = 0

    def __init__(self, action_space: gym.Space[Any], *, activation: str, seed: int) -> None:
        self._activate = _ACTIVATIONS[activation]
        self._draw = self._gaussian
        if isinstance(action_space, gym.spaces.Discrete):
            self._draw = self._categorical
        elif isinstance(action_space, gym.spaces.MultiDiscrete):
            self._draw, self._axes = self._multi_categorical, np.cumsum(action_space.nvec)[:-1]
        self._outputs = gym.spaces.flatdim(action_space)
        self._generator = np.random.default_rng(seed)
        self._layers: list[tuple[FloatArray, FloatArray]] = []
        self._log_scale: FloatArray = np.zeros(0, np.float32)
        self._mean: FloatArray | None = None
        """What observations are normalised by, where they are."""

    def load(self, weights: Weights) -> None:
        """Act by these weights from now on; they are copied.

        Raises:
            ValueError: they are for other actions.
        """
        numbers = sorted(
            int(name.split(".")[1]) for name in weights if name.startswith("policy.") and "weight" in name
        )
        self._layers = [
            (
                np.array(weights[f"policy.{number}.weight"].T, np.float32, order="C"),
                np.array(weights[f"policy.{number}.bias"], np.float32),
            )
            for number in numbers
        ]
        if (outputs := len(self._layers[-1][1])) != self._outputs:
            raise ValueError(f"weights with {outputs} outputs, where actions need {self._outputs}")
        self._log_scale = np.array(weights["log_scale"], np.float32)
        if "policy.0.moments.mean" in weights:
            self._mean = np.array(weights["policy.0.moments.mean"], np.float32)
            self._over_std = 1 / np.sqrt(np.array(weights["policy.0.moments.variance"], np.float32) + TINY)

    def act(self, observation_NO: ObservationArray, memory_NH: FloatArray | None = None) -> Draw:
        """Draw an action for each observation, float32[N, O]; nothing is remembered."""
        return self._draw(self._output(observation_NO))

    def log_probs(self, observation_NO: ObservationArray, memory_NH: FloatArray | None = None) -> FloatArray:
        """Return the log-probability of each Discrete action, float32[N, A]."""
        output_NA = self._output(observation_NO)
        shifted_NA = output_NA - output_NA.max(1, keepdims=True)
        log_prob_NA: FloatArray = shifted_NA - np.log(np.exp(shifted_NA).sum(1, keepdims=True))
        return log_prob_NA

    def _output(self, observation_NO: ObservationArray) -> FloatArray:
        if self._mean is not None:
            observation_NO = (observation_NO - self._mean) * self._over_std
            np.clip(observation_NO, -FURTHEST, FURTHEST, out=observation_NO)
        hidden: FloatArray = observation_NO  # type: ignore[assignment]
        for weight, bias in self._layers[:-1]:
            hidden = np.dot(hidden, weight)
            hidden += bias
            self._activate(hidden, out=hidden)
        weight, bias = self._layers[-1]
        output: FloatArray = np.dot(hidden, weight)
        output += bias
        return output

    def _categorical(self, output: FloatArray) -> Draw:
        """Invert the cumulative probabilities: the first action at which they reach a uniform threshold."""
        # Actions first: NumPy is slow at reducing a short last axis.
        shifted_AN = output.T.astype(np.float64, order="C")
        shifted_AN -= np.maximum.reduce(shifted_AN)
        cumulated_AN = np.add.accumulate(np.exp(shifted_AN))
        total_N = cumulated_AN[-1]
        # In (0, total]: an action without probability is never drawn, and there always is one that reaches it.
        threshold_N = total_N * (1.0 - self._generator.random(len(output)))
        action_N = np.add.reduce(cumulated_AN < threshold_N, dtype=np.int64)
        log_prob_N = shifted_AN[action_N, np.arange(len(output))] - np.log(total_N)
        return action_N, log_prob_N.astype(np.float32)

    def _multi_categorical(self, output: FloatArray) -> Draw:
        actions, log_probs = zip(*map(self._categorical, np.split(output, self._axes, 1)), strict=True)
        return np.stack(actions, 1), np.sum(log_probs, 0, dtype=np.float32)

    def _gaussian(self, output: FloatArray) -> Draw:
        noise = self._generator.standard_normal(output.shape, np.float32)
        action = output + np.exp(self._log_scale) * noise
        # Of the action as it was rounded, which is what the learner sees.
        z = (action - output) * np.exp(-self._log_scale)
        log_prob = (-0.5 * z * z - self._log_scale - np.float32(0.5 * math.log(2 * math.pi))).sum(1)
        return action, log_prob


def acting_policy(
    observation_space: gym.Space[Any], action_space: gym.Space[Any], *, seed: int, **model_config: Any
) -> Acts:
    """Make the faster way to act for this network; it has no weights yet.

    Args:
        observation_space: of one environment.
        action_space: of one environment.
        seed: of the draws.
        **model_config: keyword arguments of `ActorCritic`.

    Raises:
        TypeError: there is no policy for these spaces.
        ValueError: the settings do not fit the observations.
    """
    if _is_small_mlp(observation_space, action_space, **model_config):
        return NumpyPolicy(action_space, activation=model_config.get("activation", "tanh"), seed=seed)
    from policies.acting.torch_inference import TorchPolicy

    return TorchPolicy(observation_space, action_space, seed=seed, **model_config)


def _is_small_mlp(
    observation_space: gym.Space[Any],
    action_space: gym.Space[Any],
    *,
    hidden: Sequence[int] = (64, 64),
    activation: str = "tanh",
    shared: bool = False,
    normalise_observations: bool = False,
    recurrent: int | None = None,
    encoder: EncoderName = "auto",
    encoders: Mapping[str, EncoderName] | None = None,
    vector_features: int = 0,
    image_features: int = 0,
    initial_log_std: float = 0.0,
    filters: Any = (),
    **others: Any,
) -> bool:
    """Whether `NumpyPolicy` knows the network; of settings that it has not heard of it knows nothing."""
    return (
        chosen_encoders(observation_space, encoder=encoder, encoders=encoders) is None
        and not (normalise_observations and not all(normalised_numbers(observation_space)))
        and is_action_space(action_space)
        and activation in _ACTIVATIONS
        and max(hidden, default=0) <= _LARGEST_LAYER
        and not recurrent
        and not others
    )
