"""What demonstrations are held against follows the policy, now and then, and begins anew with the run."""

from typing import Any

import numpy as np
import pytest

from cluster.feedback.own_segments import OwnSegments
from cluster.feedback.questions.fresh import FreshRollouts
from hitl.events import Progress, Run
from hitl.reward.evidence.demonstrations import Demonstrations
from hitl.reward.evidence.evidence import Teachers
from policies.experience import Rollout
from tests.hitl.reward.comparisons import segment
from tests.policies.rollouts import made_up_rollout

RUN = Run(
    run_id="run", task_id="task", epoch=1, progress=Progress(), open_questions=0, answered_questions=0,
    closed_questions=0, journal_end=0,
)  # fmt: skip


class Gathered(FreshRollouts):
    """As if env runners had gathered this."""

    def __init__(self, *rollouts: Rollout) -> None:
        super().__init__(clips=False, batches=2)
        if rollouts:
            self._batches.append([(str(n), one) for n, one in enumerate(rollouts)])


def _kind() -> Demonstrations:
    return Demonstrations(Teachers(), steps=2, alternatives=2, batch=4, heldout_share=0.0, seed=0)


def _own(kind: Any, seed: int = 0) -> OwnSegments:
    return OwnSegments(kind, RUN, steps=2, every_env_steps=100, seed=seed)


def test_it_is_time_when_there_are_demonstrations_and_again_after_so_many_steps() -> None:
    kind, fresh = _kind(), Gathered(made_up_rollout())
    own = _own(kind)
    assert not own.show_if_due(fresh, 0)
    kind.add("run", "ann", "event", [segment("shown", steps=2)])
    assert not own.show_if_due(Gathered(), 50)
    assert [own.show_if_due(fresh, steps) for steps in (60, 100, 159, 160, 161)] == [
        True, False, False, True, False,
    ]  # fmt: skip
    assert all(len(one) == 2 for one in kind._own.values())
    own.begin_anew(0)
    assert not kind._own
    assert own.show_if_due(fresh, 162)


def test_what_is_shown_follows_from_the_seed() -> None:
    shown = []
    for seed in (0, 0, 1):
        kind = _kind()
        kind.add("run", "ann", "event", [segment("shown", steps=2)])
        own = _own(kind, seed=5)
        own.begin_anew(seed)
        own.show_if_due(Gathered(made_up_rollout()), 0)
        shown.append(list(kind._own))
    assert shown[0] == shown[1]
    assert shown[0] != shown[2]


@pytest.mark.parametrize("kind", [None, np.zeros(3)])
def test_where_demonstrations_are_switched_off_nothing_is_shown(kind: Any) -> None:
    assert not _own(kind).show_if_due(Gathered(made_up_rollout()), 0)
    _own(kind).begin_anew(1)
