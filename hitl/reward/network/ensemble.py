"""The reward model: an ensemble of networks over (observation, action), evaluated together.

Axis suffixes: K member, P any leading axes, F input feature.
"""

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hitl.reward.network.conservatism import Conservatism, without_conservatism
from hitl.reward.network.convolutions import Convolutions
from hitl.reward.network.evaluation import on_cpu
from hitl.reward.network.inputs import InputSpace
from hitl.reward.network.recurrent import Memories
from hitl.reward.network.torch_inputs import input_features
from policies.arrays import to_arrays, to_tensors

Weights = Mapping[str, NDArray[np.generic]]
"""A model's state as arrays: what is published, stored and loaded; never a pickle."""

_SMALLEST_STD = 1e-6
_LEAST_NOISE = 0.1
_LAST_GAIN = 0.1
"""Keeps the first predictions undecided, though a return sums many steps."""
_IMAGES_TOGETHER = 256
"""That go through convolutions at once where no gradient is taken, so that what lies between them fits into memory."""


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


class Link(nn.Module):
    """From the reward to one kind of feedback: how much people look at it, and what they think of a reward of 0.

    Comparisons need none: their log-odds are the unit of the reward before the gauge.
    """

    def __init__(self, members: int) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(()))
        self.offset_K = nn.Parameter(torch.zeros(members))

    def forward(self, reward_KX: Tensor) -> Tensor:
        """Return the log-odds of a reward or a return, [K, ...]."""
        offset_KX = self.offset_K.view(-1, *[1] * (reward_KX.dim() - 1))
        log_odds_KX: Tensor = self.log_scale.exp() * reward_KX + offset_KX
        return log_odds_KX


LINKED = ("rankings", "ratings", "corrections", "demonstrations", "goals")
"""Kinds of feedback with a `Link`."""


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
        self.conservatism = Conservatism()
        """What `reward` makes of the members' rewards; part of a version."""
        self.seen = space.image_features * len(space.images)
        """Features of images, of each member; they come before the other inputs."""
        sizes = [self.seen + space.size + space.memory_units, *hidden, 1]
        shapes = list(itertools.pairwise(sizes))
        self.weights = nn.ParameterList(
            torch.randn(members, inputs, outputs) / math.sqrt(inputs) for inputs, outputs in shapes
        )
        with torch.no_grad():
            self.weights[-1].mul_(_LAST_GAIN)
        self.biases = nn.ParameterList(torch.zeros(members, 1, outputs) for _, outputs in shapes)
        self.log_tie = nn.Parameter(torch.zeros(()))
        self.signals = SignalLink()
        self.links = nn.ModuleDict({kind: Link(members) for kind in LINKED})
        self.register_buffer("input_mean", torch.zeros(space.size))
        self.register_buffer("input_std", torch.ones(space.size))
        self.register_buffer("gauge_mean_K", torch.zeros(members))
        self.register_buffer("gauge_std_K", torch.ones(members))
        self.convolutions = (
            Convolutions(space.images, members=members, filters=space.filters, features=space.image_features)
            if space.images
            else None
        )
        self.memories = (
            Memories(inputs=space.size, units=space.memory_units, members=members)
            if space.memory_units
            else None
        )

    @classmethod
    def of_arrays(cls, space: InputSpace, arrays: Weights) -> "RewardEnsemble":
        """Return the model whose state was made by `to_arrays`."""
        layers = sum(name.startswith("biases.") for name in arrays)
        hidden = [arrays[f"biases.{layer}"].shape[-1] for layer in range(layers - 1)]
        made = cls(space, members=len(arrays["gauge_mean_K"]), hidden=hidden)
        made.load_arrays(arrays)
        return made

    @property
    def members(self) -> int:
        """K."""
        return len(self.gauge_mean_K)

    def inputs(self, observation_PO: Tensor, action_PA: Tensor) -> tuple[Tensor, ...]:
        """Return what the networks read: numbers [P, F], and before them observations as they are if there are images.

        An observation that has an axis of 1 where actions have more stands for all of them, and its images are read
        once.
        """
        input_PF = (input_features(self.space, observation_PO, action_PA) - self.input_mean) / self.input_std
        return (input_PF,) if self.convolutions is None else (observation_PO, input_PF)

    def raw(self, observation_PO: Tensor, action_PA: Tensor, begins_SL: Tensor | None = None) -> Tensor:
        """Return each member's output before the gauge, [K, P]; sums of it are what answers are fitted to.

        Args:
            observation_PO: of a model that remembers, sequences of steps: P is [S, L]. See `InputSpace` for O.
            action_PA: beside them.
            begins_SL: steps before which it forgets all; it knows nothing before the first ones. None: there are none.
        """
        if self.convolutions is None:
            inputs = self.inputs(observation_PO, action_PA)
            return self.evaluated(*inputs) if begins_SL is None else self.evaluated(*inputs, begins_SL)
        rows = max(1, _IMAGES_TOGETHER // math.prod(observation_PO.shape[1:-1]))
        parts = zip(torch.split(observation_PO, rows), torch.split(action_PA, rows), strict=True)
        return torch.cat([self(*self.inputs(*part)) for part in parts], 1)

    def evaluated(self, *inputs: Tensor) -> Tensor:
        """Return what `forward` returns, but for rounding; sooner where no gradient is wanted."""
        if self._is_plain(inputs[-1]):
            axes = (self.members, *inputs[-1].shape[:-1])
            return on_cpu(list(self.weights), list(self.biases), inputs[-1].flatten(0, -2)).view(axes)
        raw_KP: Tensor = self(*inputs)
        return raw_KP

    def _is_plain(self, input_PF: Tensor) -> bool:
        """Whether nothing but numbers on the CPU is asked for, of steps one by one, and no gradient."""
        if torch.is_grad_enabled() or self.memories is not None or self.convolutions is not None:
            return False
        return input_PF.device.type == "cpu" and input_PF.dtype == torch.float32

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return what `raw` returns, of `inputs`."""
        input_PF = inputs[-1] if self.memories is None else inputs[0]
        axes = (self.members, *input_PF.shape[:-1])
        hidden = input_PF.flatten(0, -2).expand(self.members, -1, -1)
        if self.memories is not None:
            hidden = torch.cat(
                [hidden, self.memories(input_PF.flatten(0, -3), *inputs[1:]).flatten(1, 2)], -1
            )
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            if layer == 0 and self.convolutions is not None:
                hidden = torch.baddbmm(bias, hidden, weight[:, self.seen :])
                hidden = self._with_images(hidden, inputs[0], weight[:, : self.seen], axes)
            else:
                hidden = torch.baddbmm(bias, hidden, weight)
            if layer < len(self.weights) - 1:
                hidden = torch.tanh(hidden)
        return hidden[..., 0].view(axes)

    def _with_images(
        self, hidden: Tensor, observation_PO: Tensor, weight: Tensor, axes: tuple[int, ...]
    ) -> Tensor:
        assert self.convolutions is not None
        feature_KPF = self.convolutions(observation_PO.flatten(0, -2))
        seen = torch.bmm(feature_KPF, weight).view(self.members, *observation_PO.shape[:-1], -1)
        return (hidden.view(*axes, -1) + seen).flatten(1, -2)

    def member_rewards(
        self, observation_PO: Tensor, action_PA: Tensor, begins_SL: Tensor | None = None
    ) -> Tensor:
        """Return each member's reward on the fixed scale, [K, P]; see `raw`."""
        return self.on_scale(self.raw(observation_PO, action_PA, begins_SL))

    def on_scale(self, raw_KP: Tensor) -> Tensor:
        """Return each member's output on the fixed scale, [K, P]."""
        axes = (-1,) + (1,) * (raw_KP.dim() - 1)
        return (raw_KP - self.gauge_mean_K.view(axes)) / self.gauge_std_K.view(axes)

    def reward(self, observation_PO: Tensor, action_PA: Tensor, begins_SL: Tensor | None = None) -> Tensor:
        """Return the reward of each step on the fixed scale, [P]: the members' mean, or less; see `Conservatism`."""
        members_KP = self.member_rewards(observation_PO, action_PA, begins_SL)
        reward_P: Tensor = self.conservatism.combined(members_KP)
        return reward_P

    def of_actions(self, observation_NO: Tensor, action_C: Tensor) -> Tensor:
        """Return the reward of each candidate action in each state, [N, C]; images are read once for all actions."""
        action_NC = action_C.expand(len(observation_NO), *action_C.shape)
        return self.reward(observation_NO[:, None], action_NC)

    @torch.no_grad()
    def standardise_inputs(self, observation_PO: Tensor, action_PA: Tensor) -> None:
        """Fix the inputs' scale from experience; once, before the first fit."""
        features = input_features(self.space, observation_PO, action_PA).flatten(0, -2)
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
        return to_arrays(self) | self.conservatism.to_arrays()

    def load_arrays(self, arrays: Weights) -> None:
        """Take over a state made by `to_arrays` of a model of the same shape; a link that it lacks stays as it is."""
        self.conservatism = Conservatism.of_arrays(arrays)
        state = to_tensors(without_conservatism(arrays))
        known = self.state_dict()
        links = {name: known[name] for name in known if name.startswith(("signals.", "links."))}
        self.load_state_dict(links | state)
