"""Which visited states people are asked about."""

from collections import Counter
from typing import Any

import numpy as np

from cluster.feedback.questions.asking import Asking
from cluster.feedback.questions.relabel_questions import RelabelQuestions
from cluster.feedback.service import FeedbackLink
from hitl.reward.questions.schedule import QuestionSchedule
from hitl.stages import ActionSpace
from policies.experience import Actor, Rollout
from tests.policies.rollouts import COLUMNS, NOBODY, STEPS, made_up_rollout

TWO = ActionSpace(choices=(2,), single=True)


def choosing(segment_steps: int = 2, *, seed: int = 0) -> RelabelQuestions:
    schedule = QuestionSchedule(
        budget=1, initial=1, initial_env_steps=1, per_round=1, round_env_steps=1, max_open=1
    )
    run = FeedbackLink(address="", token="", run_id="run", task_id="task", epoch=1).run
    asking = Asking(schedule, run, prefix="r1-", publisher=None, expire_seconds=60.0, waits=True)
    return RelabelQuestions(run, TWO, asking, segment_steps=segment_steps, seed=seed)


def chosen(rollout: Rollout, *, count: int = 1000, doubt: Any = None, **options: Any) -> Any:
    asked, cuttings = choosing(**options).choose(count, [("name", rollout)], doubt)
    assert [q.segment_id for q in asked] == [c.segment.segment_id for c in cuttings]
    assert len({q.segment_id for q in asked}) == len(asked), "one state of a segment at most"
    places = [(int(c.row_L[q.step]), c.column) for q, c in zip(asked, cuttings, strict=True)]
    return asked, places


def test_every_state_in_which_somebody_acts_can_be_asked_about() -> None:
    rollout = made_up_rollout()
    asked: set[tuple[int, int]] = set()
    for seed in range(60):
        asked.update(chosen(rollout, seed=seed)[1])
    somebody = {(t, n) for t in range(STEPS) for n in range(COLUMNS)} - set(NOBODY)
    assert asked <= somebody
    # Pieces of two steps: what stands alone at an edge of the rollout is in none.
    assert len(asked) >= len(somebody) - 2


def test_what_an_expert_has_said_already_is_not_asked() -> None:
    labelled = np.zeros((STEPS, COLUMNS), bool)
    labelled[:, 1:] = True
    rollout = made_up_rollout(labelled_TN=labelled)
    for seed in range(20):
        _, places = chosen(rollout, seed=seed)
        assert places
        assert {n for _, n in places} == {0}


def test_doubt_comes_first_and_goes_along() -> None:
    rollout = made_up_rollout()
    of = {tuple(o): float(i % 7) for i, o in enumerate(rollout.observation_TNO[:-1].reshape(-1, 3).tolist())}

    def doubt(observation_SO: Any, action_SA: Any) -> Any:
        assert len(observation_SO) == len(action_SA)
        return np.array([of[tuple(o)] for o in observation_SO.tolist()])

    everything, _ = chosen(rollout, doubt=doubt)
    values = [q.value for q in everything]
    assert values == sorted(values, reverse=True)
    some, places = chosen(rollout, doubt=doubt, count=3)
    assert [q.value for q in some] == values[:3]
    for question, (t, n) in zip(some, places, strict=True):
        assert question.value == of[tuple(rollout.observation_TNO[t, n].tolist())]


def test_without_doubt_any_state_is_as_likely() -> None:
    counts: Counter[tuple[int, int]] = Counter()
    rollout = made_up_rollout(actor_TN=np.full((STEPS, COLUMNS), Actor.POLICY, np.uint8))
    for seed in range(400):
        counts.update(chosen(rollout, count=1, seed=seed)[1])
    assert max(counts.values()) < 40
    assert len(counts) >= 25


def test_a_choice_follows_from_the_seed() -> None:
    rollout = made_up_rollout()
    one, again, other = (chosen(rollout, count=3, seed=seed)[1] for seed in (4, 4, 5))
    assert one == again != other
