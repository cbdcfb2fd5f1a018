"""Before the first reward version the policy explores; when a version comes, the critic follows before the policy."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cluster.feedback.progress_reporter import VERSION_MARGIN
from cluster.loop.algorithm import HITL
from cluster.loop.algorithm_config import HITLConfig
from cluster.runs.config import RunConfig
from cluster.runs.loading import load_run
from cluster.runs.reward.config import RewardSourcesConfig
from cluster.runs.reward.intrinsic import IntrinsicConfig
from hitl.errors import ConfigError
from tests.cluster.line_people import PEOPLE, SMALL, Answering, link
from tests.hitl.live import LiveService

pytestmark = pytest.mark.usefixtures("ray_session")

EXPLORING, UPDATES = 3, 7
BATCH = 160


def _config(service: LiveService, run_id: str, **intrinsic: Any) -> HITLConfig:
    """Three updates of exploration, a first round of questions, and a second one two updates later."""
    reward = PEOPLE["reward"]
    questions = reward["questions"] | {
        "initial_env_steps": (EXPLORING + 1) * BATCH,
        "round_env_steps": 2 * BATCH,
    }
    settings = PEOPLE | {
        "learner": PEOPLE["learner"] | {"critic_warm_up": {"steps": 20, "batches": 2}},
        "reward": reward
        | {
            "questions": questions,
            "sources": {"learned": 1.0, "intrinsic": 0.5},
            "intrinsic": {"neighbours": 3, "states": 200} | intrinsic,
        },
    }
    return HITLConfig.from_run(RunConfig.model_validate(settings), link(service, run_id))


def _train(algorithm: HITL, folder: Path) -> dict[str, Any]:
    """Train to the end with a checkpoint every two updates."""
    while algorithm.updates < UPDATES:
        algorithm.train()
        if algorithm.updates % 2 == 0:
            algorithm.save_to_path(folder / str(algorithm.updates))
    learner = algorithm.learner_group.get_state()["learner"]
    learnt = {
        "network": algorithm.network_state,
        "optimiser": learner["optimizer"],
        "ours": {name: learner["handrail"][name] for name in ("generator", "reward_model", "intrinsic")},
        "losses": algorithm.statistics.losses,
    }
    algorithm.stop()
    return learnt


def test_the_policy_explores_until_there_is_a_reward_and_then_the_critic_follows(
    service: LiveService,
) -> None:
    config, told, before = _config(service, "exploring"), [], {}
    with Answering(service, "exploring") as teacher:
        algorithm = HITL(config)
        start = algorithm.network_state
        for update in range(UPDATES):
            asked = len(teacher.answers)
            algorithm.train()
            assert algorithm.teaching is not None
            told.append((algorithm.teaching.version, algorithm.statistics.losses))
            if update < EXPLORING:
                assert (algorithm.teaching.version, asked) == (0, 0)
            if update == EXPLORING - 1:
                before = algorithm.network_state
        algorithm.stop()
    assert not np.array_equal(start["policy.0.weight"], before["policy.0.weight"]), (
        "it learns while it explores"
    )
    for number, (version, losses) in enumerate(told):
        assert ("reward_intrinsic" in losses) == (number < EXPLORING)
        assert ("reward_learned" in losses) == (number >= EXPLORING)
        is_new = version != (told[number - 1][0] if number else 0)
        assert ("warmed_critic_loss" in losses) == is_new, number
    versions = [version for version, _ in told]
    assert versions[EXPLORING] == 1
    assert versions[-1] > 1


@pytest.mark.parametrize("until", ["always", 320])
def test_it_can_go_on_exploring(until: Any, service: LiveService) -> None:
    config = _config(service, f"until {until}", until=until)
    with Answering(service, f"until {until}"):
        algorithm = HITL(config)
        explored = []
        for _ in range(EXPLORING + 2):
            algorithm.train()
            explored.append("reward_intrinsic" in algorithm.statistics.losses)
        algorithm.stop()
    assert explored == [True] * (EXPLORING + 2) if until == "always" else [True, True, False, False, False]


def test_going_on_from_any_checkpoint_ends_at_the_same_bits(service: LiveService, tmp_path: Path) -> None:
    config = _config(service, "resumed")
    with Answering(service, "resumed"):
        whole = _train(HITL(config), tmp_path)
    assert whole["ours"]["intrinsic"]["kept"]["seen"] == EXPLORING * BATCH
    for checkpoint in (2, 4, 6):
        with Answering(service, "resumed"):
            resumed = HITL(_config(service, "resumed"))
            resumed.restore_from_path(tmp_path / str(checkpoint))
            resumed.policy_version += VERSION_MARGIN
            np.testing.assert_equal(_train(resumed, tmp_path / "resumed"), whole)


def test_two_learners_do_what_one_does() -> None:
    states = []
    for learners in (0, 2):
        settings = SMALL | {
            "environment": {"id": "tests.cluster.small_worlds:Line"},
            "reward": {
                "sources": {"environment": 1.0, "learned": 0.0, "intrinsic": 0.5},
                "intrinsic": {"until": 2 * BATCH, "states": 100},
            },
            "learner": SMALL["learner"]
            | {"learners": learners, "device": "cpu", "critic_warm_up": {"steps": 20}},
        }
        algorithm = HITL(HITLConfig.from_run(RunConfig.model_validate(settings)))
        for _ in range(3):
            algorithm.train()
        assert "warmed_critic_loss" in algorithm.statistics.losses
        states.append({name: value.copy() for name, value in algorithm.network_state.items()})
        algorithm.stop()
    alone, together = states
    for name, value in alone.items():
        np.testing.assert_allclose(together[name], value, rtol=1e-3, atol=1e-4, err_msg=name)


@pytest.mark.parametrize(
    ("until", "version", "env_steps", "silent"),
    [
        ("first_version", 0, 10, ("learned",)),
        ("first_version", 1, 10, ("intrinsic",)),
        ("first_version", None, 10, ()),
        ("always", 0, 10, ("learned",)),
        ("always", 3, 10, ()),
        (10, 0, 10, ("learned",)),
        (10, 0, 11, ("learned", "intrinsic")),
        (10, 2, 10, ()),
        (10, None, 11, ("intrinsic",)),
    ],
)
def test_who_is_silent(until: Any, version: int | None, env_steps: int, silent: tuple[str, ...]) -> None:
    intrinsic = IntrinsicConfig(until=until)
    sources = RewardSourcesConfig(learned=1.0, intrinsic=1.0)
    assert sources.silent(intrinsic, reward_version=version, env_steps=env_steps) == silent


@pytest.mark.parametrize("until", ["never", 0, -3, 1.5])
def test_a_mistake_about_until_is_told_in_one_line(until: Any, tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(f"reward: {{intrinsic: {{until: {until}}}}}")
    with pytest.raises(ConfigError) as caught:
        load_run(path)
    (line,) = str(caught.value).splitlines()
    assert line == (
        f"reward.intrinsic.until: {until!r} is neither first_version nor always nor a number of environment steps "
        "above 0"
    )


def test_novelty_alone_is_something_to_learn_from() -> None:
    sources = {"environment": 0.0, "learned": 0.0, "intrinsic": 1.0}
    run = RunConfig.model_validate({"reward": {"sources": sources}})
    assert not run.learns_from_people
    with pytest.raises(ValueError, match="nothing would be learnt"):
        RunConfig.model_validate({"reward": {"sources": sources | {"intrinsic": 0.0}}})
