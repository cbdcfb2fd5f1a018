"""DAgger as a run: an expert beside the policy, labels on their way, and a policy that learns nothing else."""

from typing import Any

import numpy as np
import pytest
import ray
from gymnasium import spaces

from cluster.environments.making import make_vector
from cluster.feedback.label_reader import LabelReader
from cluster.feedback.service import FeedbackLink
from cluster.loop.rollouts.collector import Collector
from cluster.runs.config import EnvironmentConfig
from cluster.runs.imitation_config import BetaConfig, ImitationConfig
from hitl.events import Retraction, Task
from policies.acting.inference import acting_policy
from policies.acting.oversight import Overseer
from policies.experience import Actor, Rollout
from policies.imitation.gates import BetaMixture, HGDAgger
from policies.networks import ActorCritic
from tests.cluster.stages.dial import Dial, Usher
from tests.hitl.live import LiveRun, LiveService, eventually
from tests.hitl.playing import Play, seen

DIAL = EnvironmentConfig(id="tests.cluster.stages.dial:Dial", fixed_horizon=15)
STATES = np.arange(-1, 6, dtype=np.float32)[:, None]
"""That the hand comes by on its way."""


def gathered(
    beta: float,
    *,
    steps: int = 40,
    count: int = 3,
    asked: bool = True,
    horizon: int = 15,
    asked_share: float = 1.0,
    seed: int = 0,
) -> tuple[Rollout, Overseer]:
    envs = make_vector(DIAL.model_copy(update={"fixed_horizon": horizon}), count)
    policy = acting_policy(envs.observation_space, envs.action_space, seed=0, hidden=())
    network = ActorCritic(envs.observation_space, envs.action_space, hidden=())
    policy.load({name: value.detach().numpy() for name, value in network.state_dict().items()})
    gates = [BetaMixture(beta, seed=n) for n in range(count)]
    overseer = Overseer(Usher(), gates, envs.action_space, asked_share=asked_share, seed=seed)
    overseer.is_asked = asked
    collector = Collector(envs, policy, source="1", seed=0, share_reward=False, overseer=overseer)
    return collector.collect(steps, policy_version=1).rollout, overseer


def wanted(rollout: Rollout) -> np.ndarray:
    seen = rollout.observation_TNO[:-1].reshape(-1, 1)
    return np.array([Usher().act(observation) for observation in seen]).reshape(rollout.actor_TN.shape)


def test_every_state_that_counts_is_labelled_and_the_expert_takes_its_share() -> None:
    rollout, _ = gathered(0.5, steps=200)
    assert rollout.labelled_TN is not None
    assert rollout.wanted_TNA is not None
    live = rollout.actor_TN != Actor.NOBODY
    assert (rollout.labelled_TN == live).all()
    assert (rollout.wanted_TNA[live] == wanted(rollout)[live]).all()
    by_expert = rollout.actor_TN == Actor.EXPERT
    assert by_expert[live].mean() == pytest.approx(0.5, abs=0.1)
    assert (rollout.action_TNA[by_expert] == rollout.wanted_TNA[by_expert]).all()
    assert (rollout.action_TNA != rollout.wanted_TNA)[live & ~by_expert].any()


def test_where_nobody_acts_nothing_is_labelled() -> None:
    rollout, _ = gathered(0.0, steps=400, horizon=150)
    nobody = rollout.actor_TN == Actor.NOBODY
    assert nobody.any()
    assert rollout.labelled_TN is not None
    assert (rollout.labelled_TN == ~nobody).all()


@pytest.mark.parametrize(("beta", "actor"), [(0.0, Actor.POLICY), (1.0, Actor.EXPERT)])
def test_beta_decides_who_acts(beta: float, actor: Actor) -> None:
    rollout, _ = gathered(beta)
    assert set(rollout.actor_TN[rollout.actor_TN != Actor.NOBODY].tolist()) == {actor}


def test_an_expert_who_is_not_asked_neither_acts_nor_labels() -> None:
    rollout, _ = gathered(1.0, asked=False)
    assert rollout.labelled_TN is not None
    assert not rollout.labelled_TN.any()
    assert not (rollout.actor_TN == Actor.EXPERT).any()


def test_where_only_interventions_are_labels_nothing_else_is() -> None:
    class Alternating(HGDAgger):
        asked = 0

        def expert_acts(self, moment: Any) -> bool:
            self.asked += 1
            return self.asked % 2 == 0

    overseer = Overseer(Usher(), [Alternating(), Alternating()], Dial.action_space)
    observation, action = np.zeros((2, 1), np.float32), np.array([1, 1])
    none, both = (overseer.look(observation, action, np.zeros(2, bool)) for _ in range(2))
    assert not none.labelled_N.any()
    assert both.labelled_N.all()
    assert both.action_NA.tolist() == [2, 2]


def test_the_expert_is_asked_in_a_share_of_the_policys_steps_and_labels_all_of_its_own() -> None:
    rollout, _ = gathered(0.5, steps=400, asked_share=0.3)
    assert rollout.labelled_TN is not None
    assert rollout.wanted_TNA is not None
    live = rollout.actor_TN != Actor.NOBODY
    by_expert = rollout.actor_TN == Actor.EXPERT
    assert rollout.labelled_TN[by_expert].all()
    by_policy = live & ~by_expert
    for n in range(3):
        assert rollout.labelled_TN[by_policy[:, n], n].mean() == pytest.approx(0.3, abs=0.1)
    asked = by_policy & rollout.labelled_TN
    assert (rollout.wanted_TNA[asked] == wanted(rollout)[asked]).all()
    # Each environment and step has a draw of its own.
    assert 0 < (asked[:, 0] & asked[:, 1]).sum() < min(asked[:, :2].sum(0))


def test_whom_the_expert_is_asked_about_follows_from_the_seed() -> None:
    one, again, other = (gathered(0.0, asked_share=0.3, seed=seed)[0].labelled_TN for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


@pytest.mark.parametrize(("schedule", "beta"), [("always", 1.0), ("never", 0.0)])
def test_beta_may_stay_what_it_is(schedule: Any, beta: float) -> None:
    assert [BetaConfig(schedule=schedule)(number) for number in (1, 2, 9)] == [beta] * 3


@pytest.mark.parametrize("share", [0.0, 1.1])
def test_a_share_of_no_steps_or_of_too_many_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="asked_share"):
        ImitationConfig(asked_share=share)


def test_the_reader_keeps_episodes_together_and_goes_on_from_a_checkpoint(ray_session: str) -> None:
    env = Dial()
    rollout, _ = gathered(0.3, steps=120)
    reader = LabelReader(env.observation_space, env.action_space, heldout_share=0.4, most_labels=None)
    state = reader.take([[ray.put(rollout)]])
    assert state.newest is not None
    labels = ray.get(state.newest.boxed[0])
    assert state.labels == len(labels) == int((rollout.actor_TN != Actor.NOBODY).sum())
    assert labels.action_BA.tolist() == [Usher().act(observation) for observation in labels.observation_BO]
    assert 0 < labels.heldout_B.mean() < 1
    assert reader.take([]).newest == state.newest
    other = LabelReader(env.observation_space, env.action_space, heldout_share=0.4, most_labels=None)
    other.set_state(reader.get_state())
    first, second = (one.take([[ray.put(rollout)]]) for one in (reader, other))
    assert first.labels == second.labels == 2 * state.labels
    assert first.newest is not None
    assert second.newest is not None
    assert first.newest.version == second.newest.version == state.newest.version + 1
    for one, another in zip(*(vars_of(ray.get(s.newest.boxed[0])) for s in (first, second)), strict=True):
        np.testing.assert_array_equal(one, another)


def test_what_people_correct_is_in_the_labels_until_they_take_it_back(
    ray_session: str, service: LiveService
) -> None:
    client = service.cluster()
    client.register_task(Task(task_id="corrected", name="Corrected-v0", fingerprint="{}"))
    live_run = LiveRun(client.open_run("corrected", "corrected"), client)
    seen_space, actions = spaces.Box(-np.inf, np.inf, (1,)), spaces.Discrete(4)
    link = FeedbackLink(
        address=service.address,
        token=service.token("cluster", "driver"),
        run_id=live_run.run_id,
        task_id=live_run.run.task_id,
        epoch=live_run.run.epoch,
    )
    readers = [LabelReader(seen_space, actions, heldout_share=0.0, most_labels=None, link=link)]
    play = Play.open(live_run)
    play.step(2)
    seen(service, live_run, 2)
    with service.teacher("bob") as bob:
        with bob.watch(live_run.run_id, "stage") as watch:
            frame = watch.next(10)
            assert frame is not None
            receipt = frame.correct(3)
        play.teacher_id = "bob"
        play.step(4)
        play.teacher_id = ""
        play.reset()

        def known(reader: LabelReader) -> dict[int, int]:
            newest = reader.take([]).newest
            labels = ray.get(newest.boxed[0]) if newest else None
            if labels is None:
                return {}
            pairs = zip(labels.observation_BO[:, 0], labels.action_BA, strict=True)
            return {int(state): int(action) for state, action in pairs}

        everything = {2: 3, 3: 0, 4: 1, 5: 2}
        eventually(lambda: known(readers[0]) in ({**everything}, {2: 3, **everything}))
        bob.submit([Retraction(run_id=live_run.run_id, retracted_event_id=receipt.event_id)])
        # The controls were used in the same state: what was done there stays.
        eventually(lambda: readers[0].take([]).newest is not None and len(known(readers[0])) == 4)
    # One who is new reads it all from the journal.
    readers.append(LabelReader(seen_space, actions, heldout_share=0.0, most_labels=None, link=link))
    eventually(lambda: known(readers[1]) == known(readers[0]))
    play.player.close()
    client.close()


def vars_of(labels: Any) -> list[np.ndarray]:
    return [labels.observation_BO, labels.action_BA, labels.weight_B, labels.heldout_B]
