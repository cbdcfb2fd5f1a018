"""Policies to messages and back."""

import json

from hitl.errors import InvalidRequest
from hitl.fields import check_count
from hitl.policies import SharedPolicy
from hitl.tensors import decode_tensors, encode_tensors
from hitl.v1 import training_pb2


def encode_policy(policy: SharedPolicy) -> training_pb2.Policy:
    """Put a policy into a message."""
    network = json.dumps(dict(policy.network), sort_keys=True)
    return training_pb2.Policy(
        version=policy.version, weights=encode_tensors(policy.weights), network=network
    )


def decode_policy(message: training_pb2.Policy, what: str = "policy") -> SharedPolicy:
    """Read a policy.

    Raises:
        InvalidRequest: it has no weights, or they or its settings cannot be read.
    """
    if not message.weights:
        raise InvalidRequest(f"{what}.weights: there are none")
    try:
        network = json.loads(message.network)
    except ValueError:
        network = None
    if not isinstance(network, dict):
        raise InvalidRequest(f"{what}.network: not a JSON object")
    return SharedPolicy(
        version=check_count(message.version, f"{what}.version"),
        weights=decode_tensors(message.weights, what=f"{what}.weights"),
        network=network,
    )
