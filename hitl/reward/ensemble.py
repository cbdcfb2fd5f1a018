"""The reward model: an ensemble of networks over (observation, action), evaluated together.

Axis suffixes: K member, P any leading axes, F input feature.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from hitl.reward.features import ActionFeatures, load_features
from policies.spaces import flat_size

Weights = Mapping[str, NDArray[np.generic]]
"""A model's state as arrays: what is published, stored and loaded; never a pickle."""

_SMALLEST_STD = 1e-6
_LEAST_NOISE = 0.1
_LAST_GAIN = 0.1
"""Keeps the first predictions undecided, though a return sums many steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSpace:
    """What the model looks at: a flat observation and an action, or features of both."""

    observation_size: int
    action_size: int
    """Number of actions (discrete, of all axes together) or of the action's axes (continuous)."""
    discrete: bool
    choices: tuple[int, ...] = ()
    """Options on each axis of a discrete action that has axes (MultiDiscrete)."""
    mapped: ActionFeatures | None = None
    """Gives what the model reads in the place of them; of Discrete actions."""
    mapped_size: int = 0

    @classmethod
    def of(
        cls, observation_space: gym.Space[Any], action_space: gym.Space[Any], features: str | None = None
    ) -> "InputSpace":
        """Read it off an environment's spaces.

        Args:
            observation_space: of one environment.
            action_space: of one environment.
            features: module:function of `ActionFeatures`, in the place of observation and action.

        Raises:
            ConfigError: there are no such features.
            TypeError: they are given for actions that are not Discrete; or the observation cannot be laid flat, or the
                action is neither Discrete, MultiDiscrete nor Box.
        """
        size = flat_size(observation_space)
        if isinstance(action_space, gym.spaces.Discrete):
            actions = int(action_space.n)
            mapped, mapped_size = load_features(features, size, actions) if features else (None, 0)
            return cls(
                observation_size=size,
                action_size=actions,
                discrete=True,
                mapped=mapped,
                mapped_size=mapped_size,
            )
        if features:
            raise TypeError(f"features {features!r} are of Discrete actions, not of {action_space}")
        if isinstance(action_space, gym.spaces.MultiDiscrete):
            choices = tuple(action_space.nvec.tolist())
            return cls(observation_size=size, action_size=sum(choices), discrete=True, choices=choices)
        if isinstance(action_space, gym.spaces.Box):
            return cls(observation_size=size, action_size=int(np.prod(action_space.shape)), discrete=False)
        raise TypeError(
            f"no reward model for the action space {action_space}; Discrete, MultiDiscrete and Box work"
        )

    @property
    def size(self) -> int:
        """F."""
        return self.mapped_size if self.mapped else self.observation_size + self.action_size

    def features(self, observation_PO: Tensor, action_PA: Tensor) -> Tensor:
        """Put observations and (one-hot) actions side by side, or look at their features, [P, F]."""
        if self.mapped:
            flat_NO = observation_PO.flatten(0, -2).cpu().numpy()
            feature_NF = self.read(flat_NO, action_PA.flatten().cpu().numpy())
            return torch.from_numpy(feature_NF).to(observation_PO.device).view(*action_PA.shape, -1)
        if not observation_PO.is_floating_point():
            observation_PO = observation_PO.to(torch.get_default_dtype())
        return torch.cat([observation_PO, self._one_hot(action_PA).to(observation_PO.dtype)], -1)

    def read(self, observation_NO: NDArray[Any], action_NA: NDArray[Any]) -> NDArray[np.float32]:
        """Return what `features` does, without torch, of flat observations."""
        if self.mapped:
            feature_NAF = self.mapped(observation_NO)
            feature_NF: NDArray[np.float32] = feature_NAF[np.arange(len(action_NA)), action_NA].astype(
                np.float32
            )
            return feature_NF
        return np.concatenate([observation_NO, self.encoded(action_NA)], 1, dtype=np.float32)

    def read_all(self, observation_NO: NDArray[Any], action_C: NDArray[Any]) -> NDArray[np.float32]:
        """Return what `read` does of each action in each state, [N, C, F]."""
        states, candidates = len(observation_NO), len(action_C)
        if self.mapped:
            feature_NCF: NDArray[np.float32] = self.mapped(observation_NO)[:, action_C].astype(np.float32)
            return feature_NCF
        observation_PO = np.repeat(observation_NO, candidates, 0)
        action_PA = np.tile(action_C, (states, *[1] * (action_C.ndim - 1)))
        return self.read(observation_PO, action_PA).reshape(states, candidates, -1)

    def encoded(self, action_PA: NDArray[Any]) -> NDArray[np.float32]:
        """Return actions as the model reads them, one-hot where they are discrete, [P, F]."""
        if not self.discrete:
            return action_PA.reshape(len(action_PA), -1).astype(np.float32)
        places = action_PA.reshape(len(action_PA), -1) + np.cumsum((0, *self.choices[:-1]))
        encoded = np.zeros((len(action_PA), self.action_size), np.float32)
        np.put_along_axis(encoded, places.astype(np.int64), 1.0, 1)
        return encoded

    def _one_hot(self, action_PA: Tensor) -> Tensor:
        if not self.discrete:
            return action_PA
        if not self.choices:
            return functional.one_hot(action_PA, self.action_size)
        axes = zip(action_PA.unbind(-1), self.choices, strict=True)
        return torch.cat([functional.one_hot(chosen, options) for chosen, options in axes], -1)


class SignalLink(nn.Module):
    """From the reward to people's signals: a scale above 0, an offset, and the standard deviation of what is left."""

    def __init__(self) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(()))
        self.offset = nn.Parameter(torch.zeros(()))
        self.log_noise = nn.Parameter(torch.zeros(()))

    @property
    def scale(self) -> Tensor:
        """Signal per raw reward."""
        return self.log_scale.exp()

    @property
    def noise(self) -> Tensor:
        """Never nearly 0: few signals are soon explained, and say nothing of the next ones."""
        return self.log_noise.exp() + _LEAST_NOISE


class CorrectionLink(nn.Module):
    """From the reward to what people do instead: how much they look at it."""

    def __init__(self) -> None:
        super().__init__()
        self.log_rationality = nn.Parameter(torch.zeros(()))

    @property
    def rationality(self) -> Tensor:
        """Log-odds per raw reward."""
        return self.log_rationality.exp()


class RewardEnsemble(nn.Module):
    """K small networks with different starts, fitted to different resamples of the answers.

    A sum of rewards over segments of equal length says nothing about an offset, and answers of a decided
    teacher say little about a scale. So each version carries a gauge: the raw outputs of each member are
    shifted and scaled to mean 0 and standard deviation 1 on a fixed probe set, and `reward` is on that scale.
    """

    input_mean: Tensor
    input_std: Tensor
    gauge_mean_K: Tensor
    gauge_std_K: Tensor

    def __init__(self, space: InputSpace, *, members: int, hidden: Sequence[int]) -> None:
        super().__init__()
        self.space = space
        sizes = [space.size, *hidden, 1]
        shapes = list(itertools.pairwise(sizes))
        self.weights = nn.ParameterList(
            torch.randn(members, inputs, outputs) / math.sqrt(inputs) for inputs, outputs in shapes
        )
        with torch.no_grad():
            self.weights[-1].mul_(_LAST_GAIN)
        self.biases = nn.ParameterList(torch.zeros(members, 1, outputs) for _, outputs in shapes)
        self.log_tie = nn.Parameter(torch.zeros(()))
        self.signals = SignalLink()
        self.corrections = CorrectionLink()
        self.register_buffer("input_mean", torch.zeros(sizes[0]))
        self.register_buffer("input_std", torch.ones(sizes[0]))
        self.register_buffer("gauge_mean_K", torch.zeros(members))
        self.register_buffer("gauge_std_K", torch.ones(members))

    @property
    def members(self) -> int:
        """K."""
        return len(self.gauge_mean_K)

    def inputs(self, observation_PO: Tensor, action_PA: Tensor) -> Tensor:
        """Return what the networks read, [P, F]."""
        return (self.space.features(observation_PO, action_PA) - self.input_mean) / self.input_std

    def raw(self, observation_PO: Tensor, action_PA: Tensor) -> Tensor:
        """Return each member's output before the gauge, [K, P]; sums of it are what answers are fitted to."""
        raw_KP: Tensor = self(self.inputs(observation_PO, action_PA))
        return raw_KP

    def forward(self, input_PF: Tensor) -> Tensor:
        """Return what `raw` returns, of `inputs`."""
        hidden = input_PF.flatten(0, -2).expand(self.members, -1, -1)
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            hidden = torch.baddbmm(bias, hidden, weight)
            if layer < len(self.weights) - 1:
                hidden = torch.tanh(hidden)
        return hidden[..., 0].view(self.members, *input_PF.shape[:-1])

    def member_rewards(self, observation_PO: Tensor, action_PA: Tensor) -> Tensor:
        """Return each member's reward on the fixed scale, [K, P]."""
        axes = (-1,) + (1,) * (observation_PO.dim() - 1)
        raw_KP = self.raw(observation_PO, action_PA)
        return (raw_KP - self.gauge_mean_K.view(axes)) / self.gauge_std_K.view(axes)

    def reward(self, observation_PO: Tensor, action_PA: Tensor) -> Tensor:
        """Return the reward of each step on the fixed scale, [P]: the members' mean."""
        return self.member_rewards(observation_PO, action_PA).mean(0)

    @torch.no_grad()
    def standardise_inputs(self, observation_PO: Tensor, action_PA: Tensor) -> None:
        """Fix the inputs' scale from experience; once, before the first fit."""
        features = self.space.features(observation_PO, action_PA).flatten(0, -2)
        self.input_mean.copy_(features.mean(0))
        std = features.std(0)
        self.input_std.copy_(torch.where(std > _SMALLEST_STD, std, torch.ones_like(std)))

    @torch.no_grad()
    def set_gauge(self, observation_PO: Tensor, action_PA: Tensor) -> None:
        """Put every member on the fixed scale of the probe set given."""
        # In double: rounding must not become the reward of a model that tells nothing apart.
        raw_KP = self.raw(observation_PO, action_PA).flatten(1).double()
        self.gauge_mean_K.copy_(raw_KP.mean(1))
        self.gauge_std_K.copy_(raw_KP.std(1).clamp_min(_SMALLEST_STD))

    def to_arrays(self) -> Weights:
        """Return the model's state as arrays."""
        return {name: value.detach().cpu().numpy().copy() for name, value in self.state_dict().items()}

    def load_arrays(self, arrays: Weights) -> None:
        """Take over a state made by `to_arrays` of a model of the same shape; a link that it lacks stays as it is."""
        state = {name: torch.from_numpy(np.array(value)) for name, value in arrays.items()}
        known = self.state_dict()
        links = {name: known[name] for name in known if name.startswith(("signals.", "corrections."))}
        self.load_state_dict(links | state)
