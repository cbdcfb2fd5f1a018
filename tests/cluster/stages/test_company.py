"""What a company of stages does besides: asking for help, and programs that drive stages of their own."""

import numpy as np
import pytest
import ray

from cluster.feedback.service import FeedbackService
from cluster.runs.imitation_config import ImitationConfig
from cluster.runs.live_config import ActingConfig, StagesConfig
from cluster.stages.company import Company
from hitl.stages import Act, Release, Take
from policies.acting.counsel import with_committee
from policies.networks.success_critic import SuccessCritic
from tests.cluster.stages.dial import LEFT, RIGHT, STAY, Dial
from tests.cluster.stages.test_stage import DIAL, SETTINGS, action_of, until, weights
from tests.hitl.live import LiveService, eventually

pytestmark = pytest.mark.usefixtures("ray_session")


def test_a_stage_that_asks_for_help_waits_for_it(service: LiveService) -> None:
    at = FeedbackService(address=service.address, token=service.token("cluster", "driver"), name="help")
    link = at.open_run(DIAL, "trial")
    helped = {"gate": "ensemble", "doubt": 0.1, "wait_seconds": 5.0, "most_switches": 1}
    company = Company(
        address=link.address,
        token=link.token,
        run=link.run,
        environment=DIAL,
        model_config={"hidden": ()},
        settings=SETTINGS,
        acting=ActingConfig(),
        imitation=ImitationConfig.model_validate({"alone": True, "help": helped}),
        rewards=None,
        seeds=[0],
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
    at = FeedbackService(address=service.address, token=service.token("cluster", "driver"), name="risk")
    link = at.open_run(DIAL, "trial")
    helped = {"gate": "thrifty", "goal": "terminated", "target_share": 0.1, "wait_seconds": 0.0}
    company = Company(
        address=link.address,
        token=link.token,
        run=link.run,
        environment=DIAL,
        model_config={"hidden": ()},
        settings=SETTINGS,
        acting=ActingConfig(),
        imitation=ImitationConfig.model_validate({"alone": True, "help": helped}),
        rewards=None,
        seeds=[0],
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
    at = FeedbackService(address=service.address, token=service.token("cluster", "driver"), name="driven")
    link = at.open_run(DIAL, "trial")
    company = Company(
        address=link.address,
        token=link.token,
        run=link.run,
        environment=DIAL,
        model_config={"hidden": ()},
        settings=StagesConfig(driven=True),
        acting=ActingConfig(),
        imitation=ImitationConfig(),
        rewards=None,
        seeds=[],
    )
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
