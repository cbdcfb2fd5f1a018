"""Keys of a run file that contradict each other are named, with what to do."""

from typing import Any

import pytest

from cluster.runs.config import RunConfig
from cluster.runs.contradictions import contradiction

NO_REWARD = {"sources": {"environment": 0, "learned": 0}}
LIVE = {"stages": {"count": 1}}
COACHED = LIVE | {"reward": {"signals": {"reading": "advantage"}}}
IMITATES = {"imitation": {"alone": True, "expert": "somebody:Who"}, "reward": NO_REWARD}


@pytest.mark.parametrize(
    ("words", "run"),
    [
        ("there is nobody to imitate", {"imitation": {"alone": True}, "reward": NO_REWARD}),
        ("reads no reward", IMITATES | {"reward": {"sources": {"learned": 1}}}),
        ("reads no reward", IMITATES | {"policy": {"recurrent": 8}}),
        (
            "labels have no history",
            {"imitation": {"weight": 1.0, "expert": "somebody:Who"}, "policy": {"recurrent": 8}},
        ),
        (
            "labels have no history",
            {"imitation": {"weight": 1.0, "expert": "somebody:Who"}, "learner": {"objective": "trpo"}},
        ),
        (
            "reward.pretraining",
            {"reward": {"sources": {"environment": 1, "learned": 0}, "pretraining": {"earlier_runs": True}}},
        ),
        (
            "rankings are switched off, but nothing else is asked",
            {"reward": {"model": {"kinds": {"rankings": 0}}, "questions": {"kinds": {"ranking": 1}}}},
        ),
        ("comparisons are switched off", {"reward": {"model": {"kinds": {"comparisons": 0}}}}),
        ("disagreement asks where members differ", {"reward": {"model": {"members": 1}}}),
        (
            "conservatism.kind is worst, but one member",
            {"reward": {"model": {"members": 1, "conservatism": {"kind": "worst"}}}},
        ),
        ("nobody can say what is meant by advantage", COACHED | {"stages": {"count": 0}}),
        ("imitates alone or does not act", COACHED | {"acting": {"kind": "reward"}}),
        ("knows no history", COACHED | {"policy": {"recurrent": 8}}),
        ("knows no history", COACHED | {"learner": {"objective": "trpo"}}),
        ("nobody learns from who watches", LIVE | {"reward": {"sources": {"environment": 1, "learned": 0}}}),
        ("and an opinion", LIVE | {"teachers": {"live": {"count": 1}}}),
        ("and an opinion", {"teachers": {"live": {"count": 1, "judge": "somebody:Who"}}}),
        (
            "acts by the reward model, but nobody teaches one",
            {"acting": {"kind": "reward"}, "reward": {"sources": {"environment": 1, "learned": 0}}},
        ),
    ],
)
def test_what_contradicts_is_said(words: str, run: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=words):
        RunConfig.model_validate(run)


@pytest.mark.parametrize(
    "run",
    [
        {},
        {"reward": {"model": {"kinds": {"comparisons": 0}}, "questions": {"budget": 0, "initial": 0}}},
        {
            "reward": {
                "model": {"kinds": {"rankings": 0}},
                "questions": {"kinds": {"ranking": 1, "rating": 1}},
            }
        },
        {"reward": {"model": {"members": 1}, "questions": {"strategy": "random"}}},
        {"reward": {"model": {"members": 1}, "questions": {"budget": 0, "initial": 0}}},
        LIVE,
        COACHED,
        IMITATES,
        COACHED | {"reward": COACHED["reward"] | NO_REWARD, "learner": {"objective": "trpo"}},
        IMITATES | LIVE,
        LIVE | {"teachers": {"live": {"count": 1, "judge": "somebody:Who"}}},
    ],
    ids=str,
)
def test_what_does_not_contradict_is_a_run(run: dict[str, Any]) -> None:
    assert contradiction(RunConfig.model_validate(run)) is None


@pytest.mark.parametrize(
    ("run", "learns_reward", "heeds_alone", "from_people"),
    [
        ({}, True, False, True),
        ({"reward": {"sources": {"environment": 1, "learned": 0}}}, False, False, False),
        (
            {"reward": {"sources": {"environment": 1, "learned": 0}, "augmentation": {"weight": 1}}},
            True,
            False,
            True,
        ),
        (IMITATES, False, False, False),
        (IMITATES | LIVE, False, False, True),
        (COACHED, True, False, True),
        (COACHED | {"reward": COACHED["reward"] | NO_REWARD}, False, True, True),
    ],
    ids=str,
)
def test_what_is_learnt_from(
    run: dict[str, Any], learns_reward: bool, heeds_alone: bool, from_people: bool
) -> None:
    config = RunConfig.model_validate(run)
    told = (config.learns_reward, config.heeds_alone, config.learns_from_people)
    assert told == (learns_reward, heeds_alone, from_people)
