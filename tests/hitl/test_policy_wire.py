"""Policies and reward models on the wire, and what is refused there."""

from typing import Any

import pytest

from hitl.errors import InvalidRequest
from hitl.reward.settings import InputSettings
from hitl.v1 import training_pb2
from hitl.wire.policies import decode_policy, decode_reward_model, encode_policy, encode_reward_model
from tests.hitl.test_driven_rewards import policy, reward


def test_both_come_through_the_wire_as_they_are() -> None:
    inputs = InputSettings(features="a:b", encoder="flat", image_features=7, filters=((4, 3, 1), (8, 2, 2)))
    sent = policy(5, 2, "control_sharing", temperature=0.7, candidates=9, inputs=inputs, weight=0.25)
    got = decode_policy(encode_policy(sent))
    assert (got.acting, got.inputs, got.reward_weight) == (sent.acting, sent.inputs, sent.reward_weight)
    model = reward(3, 1)
    read = decode_reward_model(encode_reward_model(model))
    assert (read.version, read.journal_end, set(read.arrays)) == (3, 30, set(model.arrays))
    assert all((read.arrays[name] == value).all() for name, value in model.arrays.items())


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("acting", '{"kind": "chance"}', r"policy\.acting"),
        ("acting", '{"whim": 1}', r"policy\.acting"),
        ("acting", '{"temperature": -1}', r"policy\.acting"),
        ("acting", '{"temperature": "hot"}', r"policy\.acting"),
        ("acting", '{"candidates": 0}', r"policy\.acting"),
        ("acting", "[]", r"policy\.acting: not a JSON object"),
        ("inputs", "{", r"policy\.inputs: not a JSON object"),
        ("inputs", "{}", r"policy\.inputs"),
        ("inputs", '{"filters": [[1, 2]]}', r"policy\.inputs"),
        ("inputs", '{"filters": [], "encoder": "mine"}', r"policy\.inputs"),
        ("inputs", '{"filters": [], "features": 3}', r"policy\.inputs"),
        ("inputs", '{"filters": [], "more": 3}', r"policy\.inputs"),
        ("reward_weight", -1.0, r"policy\.reward_weight"),
        ("reward_weight", float("nan"), r"policy\.reward_weight"),
    ],
)
def test_what_cannot_be_read_is_refused(field: str, value: Any, message: str) -> None:
    made = encode_policy(policy(5, 2, "reward"))
    setattr(made, field, value)
    with pytest.raises(InvalidRequest, match=message):
        decode_policy(made)


def test_a_driver_that_says_nothing_of_who_acts_means_the_policy() -> None:
    made = encode_policy(policy(5, 2, "reward"))
    for field in ("acting", "inputs", "reward_weight"):
        made.ClearField(field)
    got = decode_policy(made)
    assert (got.acting.kind, got.inputs) == ("policy", None)


def test_a_reward_model_of_a_wrong_size_is_refused() -> None:
    made, whole = encode_reward_model(reward(3, 1)), encode_reward_model(reward(3, 1)).arrays
    made.arrays["gauge_mean_K"].data += b"1234"
    with pytest.raises(InvalidRequest, match="takes 8 bytes, got 12"):
        decode_reward_model(made)
    with pytest.raises(InvalidRequest, match=r"reward_model\.journal_end"):
        decode_reward_model(training_pb2.RewardModel(arrays=whole, journal_end=-1))
