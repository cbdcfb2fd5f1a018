"""What the reward model looks at, as tensors: what `InputSpace.read` gives, where gradients and images are.

Axis suffixes: P any leading axes, N observation, O number of a flat one, A action, F input feature.
"""

import torch
from torch import Tensor

from hitl.reward.network.inputs import InputSpace
from policies.networks.layers import one_hot


def input_features(space: InputSpace, observation_PO: Tensor, action_PA: Tensor) -> Tensor:
    """Put observations but for images, and (one-hot) actions, side by side, or look at their features, [P, F].

    An observation that has an axis of 1 where actions have more stands for all of them.
    """
    if space.mapped:
        observation_PO = observation_PO.expand(*action_PA.shape, -1)
        flat_NO = observation_PO.flatten(0, -2).cpu().numpy()
        feature_NF = space.read(flat_NO, action_PA.flatten().cpu().numpy())
        return torch.from_numpy(feature_NF).to(observation_PO.device).view(*action_PA.shape, -1)
    number_PO = _without_images(space, observation_PO)
    if not number_PO.is_floating_point():
        number_PO = number_PO.to(torch.get_default_dtype())
    if space.reads == "state":
        return number_PO.expand(*_leading(space, action_PA), -1)
    encoded_PA = one_hot(action_PA, space.choices or space.action_size) if space.discrete else action_PA
    encoded_PA = encoded_PA.to(number_PO.dtype)
    return torch.cat([number_PO.expand(*encoded_PA.shape[:-1], -1), encoded_PA], -1)


def _leading(space: InputSpace, action_PA: Tensor) -> torch.Size:
    """Return the axes P of actions."""
    alone = space.discrete and not space.choices
    return action_PA.shape if alone else action_PA.shape[:-1]


def _without_images(space: InputSpace, observation_PO: Tensor) -> Tensor:
    if not space.images:
        return observation_PO
    begins, ends = [leaf.begin for leaf in space.images], [leaf.end for leaf in space.images]
    between = zip([0, *ends], [*begins, space.observation_size], strict=True)
    return torch.cat([observation_PO[..., begin:end] for begin, end in between], -1)
