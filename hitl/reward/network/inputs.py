"""What the reward model looks at: an observation and an action, as numbers and images; without torch.

Axis suffixes: P any leading axes, N observation, O number of a flat one, A action, C candidate action, F input feature.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from hitl.reward.network.features import ActionFeatures, load_features
from hitl.reward.settings import ImageEncoder, InputSettings, Reads
from policies.encoding import chosen_encoders
from policies.spaces import Leaf, flat_size, leaves


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSpace:
    """What the model looks at in a step: a flat observation and an action, or features of both.

    A model that reads the next observation as well (`reads`) finds it behind the observation, in one array: then O is
    twice the size of an observation, here and in all that the model is given; see `evidence.rows.steps_of`.
    """

    observation_size: int
    """O."""
    action_size: int
    """Number of actions (discrete, of all axes together) or of the action's axes (continuous)."""
    discrete: bool
    choices: tuple[int, ...] = ()
    """Options on each axis of a discrete action that has axes (MultiDiscrete)."""
    mapped: ActionFeatures | None = None
    """Gives what the model reads in the place of them; of Discrete actions."""
    mapped_size: int = 0
    images: tuple[Leaf, ...] = ()
    """Parts of the observation that are read through convolutions."""
    image_features: int = 64
    """Of each of them, to each member."""
    filters: tuple[tuple[int, int, int], ...] = ()
    """See `policies.networks.convolutional.Convolutional`."""
    reads: Reads = "state_action"
    memory_units: int = 0
    """Of a gated recurrent unit over the steps of a segment; 0: a reward is about its step alone."""

    @property
    def tells_actions_apart(self) -> bool:
        """See `InputSettings.tells_actions_apart`."""
        return self.reads == "state_action" and not self.memory_units

    @classmethod
    def of(
        cls,
        observation_space: gym.Space[Any],
        action_space: gym.Space[Any],
        settings: InputSettings | None = None,
    ) -> "InputSpace":
        """Read it off an environment's spaces.

        Args:
            observation_space: of one environment.
            action_space: of one environment.
            settings: `features` is module:function of `ActionFeatures`, in the place of observation and action;
                `encoder` says which parts of an observation are images; see `images_of`. The others are as
                `cluster.runs.reward.model` says.

        Raises:
            ConfigError: there are no such features.
            TypeError: they are given for actions that are not Discrete, or with an encoder of images, or to a model
                that does not read state and action; a memory is given images; or the observation cannot be laid flat,
                or has no image for the encoder, or the action is neither Discrete, MultiDiscrete nor Box.
        """
        settings = settings or InputSettings()
        features, size = settings.features, flat_size(observation_space)
        if features and settings.encoder == "cnn":
            raise TypeError(
                f"reward.model.features: {features!r} takes the place of the observation, so there is no image for "
                "reward.model.encoder: cnn; leave one of them out"
            )
        if features and settings.reads != "state_action":
            raise TypeError(
                f"reward.model.features: {features!r} are of observation and action; set reward.model.reads to "
                "state_action"
            )
        made = dataclasses.replace(
            cls._of_actions(size, action_space, features),
            reads=settings.reads,
            memory_units=settings.memory_units if settings.memory == "gru" else 0,
        )
        if features:
            return made
        images = images_of(observation_space, settings.encoder)
        if images and made.memory_units:
            raise TypeError("reward.model.memory: gru reads numbers; set reward.model.encoder to flat")
        if settings.reads == "state_action_next":
            behind = tuple(leaf._replace(begin=leaf.begin + size, end=leaf.end + size) for leaf in images)
            made, images = dataclasses.replace(made, observation_size=2 * size), images + behind
        return dataclasses.replace(
            made, images=images, image_features=settings.image_features, filters=settings.filters
        )

    @classmethod
    def _of_actions(cls, size: int, action_space: gym.Space[Any], features: str | None) -> "InputSpace":
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
        seen = sum(leaf.end - leaf.begin for leaf in self.images)
        if self.mapped:
            return self.mapped_size
        return self.observation_size - seen + (0 if self.reads == "state" else self.action_size)

    def read(self, observation_NO: NDArray[Any], action_NA: NDArray[Any]) -> NDArray[np.float32]:
        """Return what the model reads of flat observations that have no images, [N, F]; see `torch_inputs`."""
        if self.mapped:
            feature_NAF = self.mapped(observation_NO)
            feature_NF: NDArray[np.float32] = feature_NAF[np.arange(len(action_NA)), action_NA].astype(
                np.float32
            )
            return feature_NF
        if self.reads == "state":
            return observation_NO.astype(np.float32)
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


def images_of(space: gym.Space[Any], encoder: ImageEncoder) -> tuple[Leaf, ...]:
    """Return the parts of an observation that are read through convolutions.

    Args:
        space: of the observation.
        encoder: "flat": none. "auto": those that a policy would read so; see `policies.encoding.chosen_encoders`.
            "cnn": the same, and there must be one.

    Raises:
        TypeError: there is no image for "cnn", or the observation cannot be laid flat.
    """
    if encoder == "flat":
        return ()
    names = chosen_encoders(space) or {}
    images = tuple(leaf for leaf in leaves(space) if names.get(leaf.name) == "cnn")
    if encoder == "cnn" and not images:
        raise TypeError(
            f"reward.model.encoder: cnn needs an observation with a Box with three axes, not {space}; use auto or flat"
        )
    return images
