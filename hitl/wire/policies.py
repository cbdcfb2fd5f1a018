"""Policies and reward models to messages and back."""

import json
import math
from dataclasses import asdict
from typing import Any, get_args

from hitl.errors import InvalidRequest
from hitl.fields import check_count
from hitl.policies import ActingKind, ActingSettings, SharedPolicy, SharedReward
from hitl.reward.settings import ImageEncoder, InputSettings
from hitl.tensors import decode_tensors, encode_tensors
from hitl.v1 import training_pb2


def encode_policy(policy: SharedPolicy) -> training_pb2.Policy:
    """Put a policy into a message."""
    return training_pb2.Policy(
        version=policy.version,
        weights=encode_tensors(policy.weights),
        network=_json(policy.network),
        acting=_json(asdict(policy.acting)),
        inputs=_json(asdict(policy.inputs)) if policy.inputs else "",
        reward_weight=policy.reward_weight,
    )


def decode_policy(message: training_pb2.Policy, what: str = "policy") -> SharedPolicy:
    """Read a policy.

    Raises:
        InvalidRequest: it has no weights, or they or its settings cannot be read.
    """
    if not message.weights:
        raise InvalidRequest(f"{what}.weights: there are none")
    if not 0.0 <= message.reward_weight < math.inf:
        raise InvalidRequest(f"{what}.reward_weight: {message.reward_weight} is no finite number from 0 on")
    return SharedPolicy(
        version=check_count(message.version, f"{what}.version"),
        weights=decode_tensors(message.weights, what=f"{what}.weights"),
        network=_object(message.network, f"{what}.network"),
        acting=_acting(message.acting, f"{what}.acting"),
        inputs=_inputs(message.inputs, f"{what}.inputs") if message.inputs else None,
        reward_weight=message.reward_weight,
    )


def encode_reward_model(model: SharedReward) -> training_pb2.RewardModel:
    """Put a reward model into a message."""
    return training_pb2.RewardModel(
        version=model.version, arrays=encode_tensors(model.arrays), journal_end=model.journal_end
    )


def decode_reward_model(message: training_pb2.RewardModel, what: str = "reward_model") -> SharedReward:
    """Read a reward model.

    Raises:
        InvalidRequest: it has no arrays, or they cannot be read.
    """
    if not message.arrays:
        raise InvalidRequest(f"{what}.arrays: there are none")
    return SharedReward(
        version=check_count(message.version, f"{what}.version"),
        arrays=decode_tensors(message.arrays, what=f"{what}.arrays"),
        journal_end=check_count(message.journal_end, f"{what}.journal_end"),
    )


def _json(fields: Any) -> str:
    return json.dumps(dict(fields), sort_keys=True)


def _object(text: str, what: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise InvalidRequest(f"{what}: not a JSON object")
    return found


def _acting(text: str, what: str) -> ActingSettings:
    """Read who acts; who says nothing of it has never heard of anybody but the policy."""
    found = _object(text, what) if text else {}
    try:
        settings = ActingSettings(**found)
        known = (
            settings.kind in get_args(ActingKind)
            and 0.0 <= settings.temperature < math.inf
            and settings.candidates >= 1
        )
    except TypeError:
        known = False
    if not known:
        raise InvalidRequest(f"{what}: {found} says nothing of who acts")
    return settings


def _inputs(text: str, what: str) -> InputSettings:
    found = _object(text, what)
    try:
        filters = tuple((int(many), int(wide), int(apart)) for many, wide, apart in found["filters"])
        settings = InputSettings(**{**found, "filters": filters})
        known = (
            isinstance(settings.features, str | None)
            and settings.encoder in get_args(ImageEncoder)
            and settings.image_features >= 1
            and settings.tells_actions_apart
        )
    except (KeyError, TypeError, ValueError):
        known = False
    if not known:
        raise InvalidRequest(f"{what}: {found} says nothing of what a reward model reads")
    return settings
