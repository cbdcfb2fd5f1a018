"""How labels and scores of the sides are counted and compared."""

import gymnasium as gym
import numpy as np
import pytest

from benchmarks.dagger.against_peer import compared, passed
from benchmarks.dagger.equal_labels import at_labels, budgets, newest_within, ways
from benchmarks.dagger.ours import Snapshot
from benchmarks.dagger.tasks import TASKS, Judged, labels_to
from policies.networks import ActorCritic

ROUNDS = [
    Judged(labels=labels, true_return=0.0, score=score)
    for labels, score in ((36, 0.2), (80, 0.96), (122, 0.5), (160, 0.95))
]


def test_labels_are_those_by_which_a_score_is_first_reached() -> None:
    assert labels_to(0.95, ROUNDS) == 80
    assert labels_to(0.95, ROUNDS[2:]) == 160, "a score that is just reached counts"
    assert labels_to(0.97, ROUNDS) is None


def test_a_budget_is_spent_on_the_newest_policy_with_no_more_labels() -> None:
    policy = ActorCritic(gym.spaces.Box(0, 1, (1,)), gym.spaces.Discrete(2), hidden=())
    rounds = [Snapshot(labels=labels, policy=policy) for labels in (36, 80, 122, 160)]
    chosen = newest_within((35, 36, 121, 122, 1000), rounds)
    assert {budget: snapshot.labels for budget, snapshot in chosen.items()} == {
        36: 36,
        121: 80,
        122: 122,
        1000: 160,
    }


def test_labels_are_compared_by_their_means() -> None:
    figures = compared([100, 200], [400, 800])
    assert (figures["means"], figures["ratio"]) == ([150, 600], 0.25)
    assert compared([100, None], [400, 800])["ratio"] is None
    assert compared([100, 200], [400, None])["ratio"] is None


@pytest.mark.parametrize(("worst", "expected"), [(0.3, True), (0.31, False), (None, False)])
def test_the_goal_is_met_on_every_task_or_not_at_all(worst: float | None, expected: bool) -> None:
    *others, last = TASKS
    assert passed({**{task: {"ratio": 0.1} for task in others}, last: {"ratio": worst}}) is expected


def test_seeds_are_compared_in_pairs() -> None:
    cloning = np.linspace(0.0, 0.9, 10)
    figures = at_labels(
        {"dagger": [*(cloning + 0.1)], "cloning": [*cloning], "trajectories": [None] * 9 + [0.5]}
    )
    assert figures["dagger - cloning"] == {"mean": 0.1, "interval": [0.1, 0.1]}
    assert set(figures) == {"dagger", "cloning", "dagger - cloning"}, "one without a policy is left out"


@pytest.mark.parametrize(
    ("horizon", "expected"), [(200, [80, 160, 200, 320, 400]), (500, [80, 160, 320, 500])]
)
def test_budgets_are_few_labels_and_whole_trajectories(horizon: int, expected: list[int]) -> None:
    assert budgets(horizon) == expected


@pytest.mark.parametrize("horizon", [200, 500])
def test_ways_differ_in_who_acts_and_cloning_is_trained_no_less(horizon: int) -> None:
    by_name = ways(horizon)
    dagger, cloning, whole = (by_name[name] for name in ("dagger", "cloning", "trajectories"))
    assert (dagger.schedule, cloning.schedule, whole.schedule) == ("indicator", "always", "always")
    round_labels = dagger.envs * dagger.steps
    assert (cloning.envs, cloning.steps, cloning.epochs) == (dagger.envs, dagger.steps, dagger.epochs)
    assert whole.envs * whole.steps == horizon
    assert whole.epochs == dagger.epochs * horizon / round_labels
