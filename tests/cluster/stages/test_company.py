"""What a company of stages does besides: asking for help, and programs that drive stages of their own."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray

from cluster.feedback.service import FeedbackLink, FeedbackService
from cluster.feedback.versions import with_probe
from cluster.newest import Newest, Published
from cluster.runs.imitation_config import ImitationConfig
from cluster.runs.live_config import ActingConfig, StagesConfig
from cluster.stages import sharing
from cluster.stages.company import Company
from hitl.stages import Act, Release, Take
from policies.acting.counsel import with_committee
from policies.networks.success_critic import SuccessCritic
from tests.cluster.stages.dial import LEFT, RIGHT, STAY, Dial
from tests.cluster.stages.test_stage import DIAL, SETTINGS, action_of, reward_for, until, weights
from tests.hitl.live import LiveService, eventually

pytestmark = pytest.mark.usefixtures("ray_session")


def open_company(
    service: LiveService,
    name: str,
    *,
    settings: StagesConfig,
    acting: ActingConfig | None = None,
    imitation: ImitationConfig | None = None,
    rewards: Any = None,
) -> tuple[Company, FeedbackLink]:
    """Return a company of a run's own, which is to be stopped, and the link to the run."""
    at = FeedbackService(address=service.address, token=service.token("cluster", "driver"), name=name)
    link = at.open_run(DIAL, "trial")
    company = Company(
        address=link.address,
        token=link.token,
        run=link.run,
        environment=DIAL,
        model_config={"hidden": ()},
        settings=settings,
        acting=acting or ActingConfig(),
        imitation=imitation or ImitationConfig(),
        rewards=rewards,
        seeds=list(range(settings.count)),
    )
    return company, link


def test_a_stage_that_asks_for_help_waits_for_it(service: LiveService) -> None:
    helped = {"gate": "ensemble", "doubt": 0.1, "wait_seconds": 5.0, "most_switches": 1}
    company, link = open_company(
        service,
        "help",
        settings=SETTINGS,
        imitation=ImitationConfig.model_validate({"alone": True, "help": helped}),
    )
    try:
        states = [ray.get(weights(favourite)) for favourite in (LEFT, RIGHT)]
        company.show_policy(1, ray.put(with_committee(ray.get(weights(STAY)), states)), reward_weight=1.0)
        with service.teacher("ann") as ann:
            eventually(lambda: bool(ann.stages(link.run_id)), seconds=60)
            with ann.watch(link.run_id, "stage-0", steps=True) as watch:
                first = watch.next(30.0)
                assert first is not None
                assert first.shown.asks_help
                assert watch.next(0.5) is None
                ann.control(link.run_id, "stage-0", Take())
                ann.control(link.run_id, "stage-0", Act(np.array(RIGHT)))
                acted = until(watch, lambda frame: frame.shown.step is not None)
                assert acted.shown.step is not None
                assert (action_of(acted), acted.shown.step.teacher_id) == (RIGHT, "ann")
                # One call an episode: after it the policy goes on alone, whatever it doubts.
                ann.control(link.run_id, "stage-0", Release())
                alone = until(watch, lambda frame: bool(frame.shown.step and not frame.shown.step.teacher_id))
                assert action_of(alone) == STAY
    finally:
        company.stop()


def test_a_stage_asks_for_help_where_critics_of_success_see_a_risk(service: LiveService) -> None:
    """The one member does what the policy does, so nothing is new; the further right, the more the critic fears."""
    helped = {"gate": "thrifty", "goal": "terminated", "target_share": 0.1, "wait_seconds": 0.0}
    company, link = open_company(
        service,
        "risk",
        settings=SETTINGS,
        imitation=ImitationConfig.model_validate({"alone": True, "help": helped}),
    )
    critic = SuccessCritic(Dial.observation_space, Dial.action_space, hidden=())
    state = {name: np.zeros(value.shape, np.float32) for name, value in critic.state_dict().items()}
    state["head.0.weight"][0, 0] = -0.5
    try:
        policy = ray.get(weights(RIGHT))
        known = with_committee(policy, [policy], [state])
        company.show_policy(1, ray.put(known), reward_weight=1.0)
        with service.teacher("ann") as ann:
            eventually(lambda: bool(ann.stages(link.run_id)), seconds=60)
            with ann.watch(link.run_id, "stage-0", steps=True) as watch:
                asked = [until(watch, lambda frame: frame.shown.asks_help) for _ in range(3)]
        # Of the places from 0 to 9, the last is a tenth of all steps.
        assert {int(frame.shown.observations["obs"][0]) for frame in asked} == {9}
        assert asked[0].shown.frame > 25
    finally:
        company.stop()


def test_a_program_outside_acts_by_the_newest_policy(service: LiveService) -> None:
    company, link = open_company(service, "driven", settings=StagesConfig(driven=True))
    env = Dial()
    try:
        company.show_policy(1, weights(RIGHT), reward_weight=1.0)
        spaces = (env.observation_space, env.action_space)
        with service.cluster() as robot, robot.drive_stage(link.run, "robot", *spaces) as stage:
            stage.wait_for_policy()
            stage.begin(env.reset()[0])
            assert (int(stage.act().action), stage.policy_version) == (RIGHT, 1)
            members = [ray.get(weights(STAY))]
            company.show_policy(
                2, ray.put(with_committee(ray.get(weights(LEFT)), members, members)), reward_weight=1.0
            )
            eventually(lambda: stage.act().policy_version == 2, seconds=60)
            assert int(stage.act().action) == LEFT
    finally:
        company.stop()


def test_a_program_outside_acts_by_the_newest_reward_model(service: LiveService) -> None:
    rewards = ray.remote(Newest).remote()
    company, link = open_company(
        service,
        "tamer",
        settings=StagesConfig(driven=True),
        acting=ActingConfig(kind="reward", temperature=0.0),
        rewards=rewards,
    )
    env = Dial()
    probe = np.zeros((3, 1), np.float32), np.zeros(3, np.int64)
    try:
        company.show_policy(1, weights(STAY), reward_weight=0.5)
        spaces = (env.observation_space, env.action_space)
        with service.cluster() as robot, robot.drive_stage(link.run, "robot", *spaces) as stage:
            stage.wait_for_policy()
            stage.begin(env.reset()[0])
            assert stage.act().predicted_reward is None
            for version, favourite in ((3, LEFT), (4, RIGHT)):
                arrays = ray.put(with_probe(ray.get(reward_for(favourite)), *probe))
                rewards.publish.remote(Published(version=version, boxed=[arrays], journal_end=10 * version))
                eventually(lambda version=version: stage.act().reward_version == version, seconds=60)  # type: ignore[misc]
                chosen = stage.act()
                assert (int(chosen.action), chosen.journal_end) == (favourite, 10 * version)
                assert chosen.predicted_reward == pytest.approx(2.0 - 2.0 / 3)
            shared, policy = robot.get_reward_model(link.run_id), robot.get_policy(link.run_id)
        # The probe set of its scale is megabytes, and nothing that anybody acts by.
        assert shared is not None
        assert not any("probe" in name for name in shared.arrays)
        assert policy is not None
        assert (policy.acting.kind, policy.acting.temperature, policy.reward_weight) == ("reward", 0.0, 0.5)
    finally:
        company.stop()


def test_what_is_shared_comes_back_after_a_restart_of_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nobody says anything new, nothing newer comes."""
    own_service = LiveService(tmp_path / "service")
    monkeypatch.setattr(sharing, "_AGAIN_SECONDS", 0.2)
    token = own_service.token("cluster", "driver")
    link = FeedbackService(address=own_service.address, token=token, name="again").open_run(DIAL, "trial")
    policies, rewards = (ray.remote(Newest).remote() for _ in range(2))
    policies.publish.remote(Published(version=1, boxed=[weights(STAY)]))
    rewards.publish.remote(Published(version=2, boxed=[reward_for(LEFT)]))
    sharer = sharing.PolicySharer(
        address=link.address,
        token=link.token,
        run=link.run,
        policies=policies,
        rewards=rewards,
        model_config={"hidden": ()},
        acting=ActingConfig(kind="reward").settings,
        inputs=None,
    )
    thread = threading.Thread(target=sharer.share)
    thread.start()
    try:
        with own_service.cluster() as robot:

            def is_shared() -> bool:
                policy, reward = robot.get_policy(link.run_id), robot.get_reward_model(link.run_id)
                return policy is not None and reward is not None

            eventually(is_shared, seconds=60)
            own_service.kill()
            own_service.start()
            eventually(is_shared, seconds=60)
    finally:
        sharer.end()
        thread.join()
        own_service.kill()
