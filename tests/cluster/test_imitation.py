"""DAgger as a run: an expert beside the policy, labels on their way, and a policy that learns nothing else."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
import torch
from gymnasium import spaces

from benchmarks.dagger import ours
from cluster.environments.making import make_vector
from cluster.experts import PolicyExpert, make_expert
from cluster.feedback.label_reader import LabelReader
from cluster.feedback.service import FeedbackLink
from cluster.loop.algorithm import HITL
from cluster.loop.algorithm_config import HITLConfig
from cluster.loop.collector import Collector
from cluster.loop.learner import HITLLearner
from cluster.newest import Published
from cluster.runs.config import EnvironmentConfig, RunConfig
from cluster.runs.imitation_config import BetaConfig, ImitationConfig
from hitl.errors import ConfigError
from hitl.events import Retraction, Task
from policies.acting.inference import acting_policy
from policies.acting.oversight import Overseer
from policies.experience import Actor, Rollout
from policies.imitation.gates import BetaMixture, HGDAgger
from policies.imitation.labels import LabelStore
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


def run(*, environment: float = 0.0, policy: dict[str, Any] | None = None, **imitation: Any) -> HITL:
    config = RunConfig.model_validate(
        {
            "mode": "lockstep",
            "environment": DIAL.model_dump(),
            "rollouts": {"env_runners": 1, "envs_per_runner": 4, "steps": 25},
            "policy": {"hidden": (16,), **(policy or {})},
            "learner": {"minibatch_size": 50, "learning_rate": 0.01, "anneal_learning_rate": False},
            "reward": {"sources": {"environment": environment, "learned": 0.0}},
            "imitation": {
                "alone": True,
                "expert": "tests.cluster.stages.dial:Usher",
                "learning_rate": 0.01,
                "minibatch_size": 16,
                **imitation,
            },
        }
    )
    return HITL(HITLConfig.from_run(config))


def agreement(algorithm: HITL) -> float:
    state = algorithm.network_state
    normalises = any("moments" in name for name in state)
    network = ActorCritic(
        Dial.observation_space, Dial.action_space, hidden=(16,), normalise_observations=normalises
    )
    network.load_state_dict({k: torch.as_tensor(v) for k, v in state.items()})
    action = network.act_greedily(torch.from_numpy(STATES)).numpy()
    return float(np.mean(action == [Usher().act(state) for state in STATES]))


def test_a_run_learns_what_the_expert_does_again_and_again_to_the_same_bits(
    ray_session: str, tmp_path: Path
) -> None:
    normalising = {"normalise_observations": True}
    algorithm, again = run(policy=normalising), run(policy=normalising)
    for updates in range(1, 7):
        algorithm.train()
        if updates == 3:
            algorithm.save_to_path(tmp_path / "checkpoint")
    assert agreement(algorithm) > 0.85
    assert algorithm.policy_version == 7
    # In round 1 the expert acts, so what it never shows is learnt later, where the policy errs.
    assert algorithm.imitating is not None
    assert algorithm.imitating.state.labels > 5 * 80
    again.restore_from_path(str(tmp_path / "checkpoint"))
    for _ in range(3):
        again.train()
    for name, value in algorithm.network_state.items():
        np.testing.assert_array_equal(value, again.network_state[name])
    algorithm.stop()
    again.stop()


def test_a_run_asks_in_a_share_of_its_steps_and_does_so_again(ray_session: str, tmp_path: Path) -> None:
    algorithm, again = (run(asked_share=0.3, beta={"schedule": "never"}) for _ in range(2))
    for updates in range(1, 9):
        algorithm.train()
        if updates == 4:
            algorithm.save_to_path(tmp_path / "checkpoint")
    assert algorithm.imitating is not None
    assert 0.2 < algorithm.imitating.state.labels / algorithm.env_steps < 0.4
    assert agreement(algorithm) > 0.6
    again.restore_from_path(str(tmp_path / "checkpoint"))
    for _ in range(4):
        again.train()
    for name, value in algorithm.network_state.items():
        np.testing.assert_array_equal(value, again.network_state[name])
    algorithm.stop()
    again.stop()


def test_imitation_joins_the_policys_objective(ray_session: str) -> None:
    """The environment pays for going right alone; the expert stays at a place."""
    algorithm = run(environment=1.0, alone=False, weight=10.0)
    for _ in range(12):
        algorithm.train()
    assert agreement(algorithm) > 0.85
    assert algorithm.statistics.losses["imitation_loss"] < 0.4
    algorithm.stop()


def test_a_round_whose_labels_only_judge_leaves_the_policy_as_it_is(ray_session: str) -> None:
    algorithm = run()
    labels = LabelStore(Dial.observation_space, Dial.action_space, heldout_share=0.999)
    labels.add(STATES, np.zeros(len(STATES), np.int64), group="an episode")
    before = algorithm.network_state
    assert labels.labels().heldout_B.all()
    published = Published(version=1, boxed=[ray.put(labels.labels())])
    algorithm._request()
    samples = algorithm._sampler.gather(policy_version=1)
    algorithm._learn_alone(samples, HITLLearner.imitate, labels=published)
    assert (algorithm.updates, algorithm.policy_version) == (1, 1)
    for name, value in algorithm.network_state.items():
        np.testing.assert_array_equal(value, before[name])
    algorithm.stop()


@pytest.mark.parametrize("gate", ["ensemble", "lazy", "thrifty"])
def test_a_policy_that_asks_for_help_learns_from_it(ray_session: str, tmp_path: Path, gate: str) -> None:
    helped = {"gate": gate, "members": 3, "most_switches": None, "target_share": 0.2}
    algorithm, again = (run(help=helped, heldout_share=0.0) for _ in range(2))
    for updates in range(1, 9):
        algorithm.train()
        if updates == 5:
            algorithm.save_to_path(tmp_path / "checkpoint")
    assert algorithm.imitating is not None
    assert agreement(algorithm) > 0.7
    states = 8 * 100
    # EnsembleDAgger asks a program in every state; the others only where it acts.
    labels = algorithm.imitating.state.labels
    assert labels > 0.8 * states if gate == "ensemble" else 20 < labels < 0.6 * states
    again.restore_from_path(str(tmp_path / "checkpoint"))
    for _ in range(3):
        again.train()
    assert again.imitating is not None
    assert again.imitating.state.labels == labels
    for name, value in algorithm.network_state.items():
        np.testing.assert_array_equal(value, again.network_state[name])
    algorithm.stop()
    again.stop()


def test_a_budget_ends_the_experts_work(ray_session: str) -> None:
    algorithm = run(budget=150)
    for _ in range(4):
        algorithm.train()
    assert algorithm.imitating is not None
    assert 150 <= algorithm.imitating.state.labels < 250
    assert not algorithm.imitating.is_asked
    algorithm.stop()


def test_experts_are_found_by_their_names(tmp_path: Path, ray_session: str) -> None:
    algorithm = run()
    algorithm.train()
    checkpoint = Path(algorithm.save_to_path(tmp_path / "expert"))
    algorithm.stop()
    both = (Dial.observation_space, Dial.action_space)
    expert = make_expert(str(checkpoint), *both)
    assert isinstance(expert, PolicyExpert)
    assert int(expert.act(np.array([9.0], np.float32))) in range(3)
    with pytest.raises(ConfigError, match="another task"):
        make_expert(str(checkpoint), spaces.Box(-1, 1, (2,)), spaces.Discrete(3))
    with pytest.raises(ConfigError, match="no module:Class"):
        make_expert("nothing", *both)
    with pytest.raises(ConfigError, match=r"pip install|algorithm and a file"):
        make_expert("sb3.PPO:missing.zip", *both)


def test_the_benchmarks_run_counts_its_labels_and_ends_when_they_are_spent_or_the_task_is_learnt(
    ray_session: str,
) -> None:
    way = ours.Way(schedule="always", envs=2, steps=10, epochs=3)
    rounds = list(ours.rounds("pendulum", way, seed=0, most_labels=50))
    assert [snapshot.labels for snapshot in rounds] == [20, 40, 60]
    learnt = ours.run("mountaincar", ours.FEWEST_LABELS, seed=0, most_labels=200, until=0.05)
    assert learnt[-1].score >= 0.05
    assert all(judged.score < 0.05 for judged in learnt[:-1])
