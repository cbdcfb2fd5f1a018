"""A committee of policies: what it doubts, and that it can be kept."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from policies.acting.counsel import Counsel, with_committee
from policies.imitation.committee import Committee
from policies.imitation.labels import Labels, LabelStore
from policies.imitation.settings import CloningSettings
from policies.networks import ActorCritic

SEEN = gym.spaces.Box(-10.0, 10.0, (1,), np.float32)
ACTIONS: gym.Space[Any] = gym.spaces.Discrete(4)
SETTINGS = CloningSettings(epochs=30, learning_rate=1e-2, minibatch_size=32)
CONFIG: dict[str, Any] = {"hidden": (32,), "normalise_observations": True}


def network() -> ActorCritic:
    return ActorCritic(SEEN, ACTIONS, **CONFIG)


def labels(count: int = 200) -> Labels:
    """Below -2 the expert does 0, from there to 0 it does 3; nobody knows what it would do above 0."""
    store = LabelStore(SEEN, ACTIONS, heldout_share=0.0)
    place = np.random.default_rng(0).uniform(-5, 0, (count, 1)).astype(np.float32)
    store.add(place, np.where(place[:, 0] < -2, 0, 3), group="all")
    return store.labels()


def committee(seed: int = 1, members: int = 5) -> Committee:
    return Committee(network, members=members, settings=SETTINGS, seed=seed)


def fitted(seed: int = 1, *, known: Labels | None = None) -> tuple[Committee, ActorCritic]:
    one, policy = committee(seed), network()
    known = known or labels()
    policy.observe(torch.from_numpy(np.array(known.observation_BO)))
    one.fit(policy, known, torch.Generator().manual_seed(0))
    return one, policy


def counsel_of(one: Committee) -> Counsel:
    counsel = Counsel(SEEN, ACTIONS, **CONFIG)
    counsel.load(with_committee({}, one.states()))
    return counsel


def test_members_agree_where_there_are_labels_and_with_them() -> None:
    known = labels()
    one, _ = fitted(known=known)
    counsel = counsel_of(one)
    seen = np.array(known.observation_BO)
    doubt_N, right_N = counsel.about(seen, known.action_BA)
    _, wrong_N = counsel.about(seen, np.ones(len(known), np.int64))
    assert doubt_N.mean() < 0.05
    assert right_N.mean() < 0.1
    assert wrong_N.min() == 1.0


def test_members_begin_apart_and_are_apart_where_their_labels_are() -> None:
    doubt_N, _ = counsel_of(committee()).about(
        np.linspace(-5, 5, 50, dtype=np.float32)[:, None], np.zeros(50)
    )
    assert doubt_N.mean() > 0.2
    # With few labels near the border, chance decides what each member has seen of them.
    one, _ = fitted(known=labels(12))
    near = np.linspace(-3, -1, 40, dtype=np.float32)[:, None]
    doubt_N, _ = counsel_of(one).about(near, np.zeros(40, np.int64))
    assert doubt_N.max() >= 0.2


def test_what_is_said_is_what_the_papers_say() -> None:
    one = committee()
    seen = np.linspace(-5, 5, 9, dtype=np.float32)[:, None]
    own = np.arange(9) % 4
    doubt_N, expected_N = counsel_of(one).about(seen, own)
    for n in range(9):
        with torch.no_grad():
            votes = [
                int(member.act_greedily(torch.from_numpy(seen[n : n + 1]))[0]) for member in one.networks
            ]
        most = max(votes.count(choice) for choice in range(4))
        assert doubt_N[n] == pytest.approx(1 - most / 5, abs=1e-12)
        assert expected_N[n] == pytest.approx(sum(vote != own[n] for vote in votes) / 5, abs=1e-12)


def _bits(one: Committee) -> list[NDArray[Any]]:
    return [value for state in one.states() for value in state.values()]


def test_a_committee_is_a_function_of_its_seed_and_goes_on_from_its_states() -> None:
    (first, policy), (again, _), (other, _) = fitted(), fitted(), fitted(seed=2)
    assert all(np.array_equal(a, b) for a, b in zip(_bits(first), _bits(again), strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(_bits(first), _bits(other), strict=True))
    later = committee(seed=1)
    later.load(first.states())
    for one in (first, later):
        one.fit(policy, labels(), torch.Generator().manual_seed(3))
    assert all(np.array_equal(a, b) for a, b in zip(_bits(first), _bits(later), strict=True))


def test_the_global_generator_is_left_alone() -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    committee()
    assert torch.equal(before, torch.random.get_rng_state())


def test_members_see_what_the_policy_sees() -> None:
    one, policy = fitted()
    for member in one.networks:
        for own, known in zip(member.buffers(), policy.buffers(), strict=True):
            torch.testing.assert_close(own, known)


def test_one_label_is_enough_and_may_be_seen_by_nobody() -> None:
    fitted(known=labels(1))


def test_without_weights_nothing_is_said() -> None:
    counsel = Counsel(SEEN, ACTIONS, **CONFIG)
    with pytest.raises(ValueError, match="no weights yet"):
        counsel.about(np.zeros((1, 1), np.float32), np.zeros(1, np.int64))
    counsel.load({"policy.0.weight": np.zeros(3)})
    with pytest.raises(ValueError, match="no weights yet"):
        counsel.about(np.zeros((1, 1), np.float32), np.zeros(1, np.int64))
