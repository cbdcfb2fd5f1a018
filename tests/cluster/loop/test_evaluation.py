import gymnasium as gym
import numpy as np
import pytest
import torch

from cluster.environments.making import make
from cluster.loop.evaluation import GreedyReward, evaluate
from cluster.runs.config import EnvironmentConfig, RunConfig
from hitl.reward.network.ensemble import RewardEnsemble
from hitl.reward.network.inputs import InputSpace
from policies.networks import ActorCritic

EPISODES, SEED = 6, 3


@pytest.mark.parametrize("name", ["CartPole-v1", "tests.cluster.worlds:Slider"])
def test_returns_are_those_of_one_greedy_episode_each(name: str) -> None:
    """Episodes of CartPole differ in length; Slider earns by its action as the bounds clip it."""
    environment = EnvironmentConfig(id=name)
    env = make(environment)
    torch.manual_seed(0)
    network = ActorCritic(env.observation_space, env.action_space, hidden=(4,))
    with torch.no_grad():
        network.policy[-1].weight.mul_(500)
    returns = evaluate(network, environment, episodes=EPISODES, seed=SEED)
    expected, lengths = [], []
    for seed in np.random.SeedSequence(SEED).generate_state(EPISODES):
        env = make(environment)
        observation, ended, rewards = env.reset(seed=int(seed))[0], False, []
        while not ended:
            with torch.no_grad():
                action = network.act_greedily(torch.from_numpy(observation[None]))[0].numpy()
            if isinstance(env.action_space, gym.spaces.Box):
                action = action.clip(env.action_space.low, env.action_space.high)
            observation, reward, terminated, truncated, _ = env.step(action)
            rewards.append(float(reward))
            ended = terminated or truncated
        expected.append(sum(rewards))
        lengths.append(len(rewards))
    assert returns == pytest.approx(expected, rel=1e-5)
    assert (len(set(lengths)) > 2) == (name == "CartPole-v1")


def test_an_episode_whose_environment_is_lost_is_played_again() -> None:
    environment = EnvironmentConfig(id="tests.cluster.worlds:Unlucky", kwargs={"lengths": (5,)})
    env = make(environment)
    network = ActorCritic(env.observation_space, env.action_space, hidden=(4,))
    with torch.no_grad():
        network.policy[-1].bias.copy_(torch.tensor([0.0, 50.0, 0.0]))
    # Steps 1 to 5, and action 1 in each.
    assert evaluate(network, environment, episodes=3, seed=SEED) == [20.0] * 3
    assert env.unwrapped.misfortunes == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("temperature", [0.0, 0.3, 1e6])
def test_who_acts_by_the_reward_model_is_judged_by_the_best_actions(temperature: float) -> None:
    seen, actions = gym.spaces.Box(-1, 1, (2,)), gym.spaces.Discrete(5)
    torch.manual_seed(0)
    ensemble = RewardEnsemble(InputSpace.of(seen, actions), members=3, hidden=(16,))
    with torch.no_grad():
        ensemble.weights[0].mul_(4.0)
    config = RunConfig.model_validate({"acting": {"kind": "reward", "temperature": temperature}})
    observation = torch.rand((200, 2)) * 2 - 1
    best = ensemble.of_actions(observation, torch.arange(5)).argmax(1)
    assert len(set(best.tolist())) > 1
    judged = GreedyReward(seen, actions, ensemble.to_arrays(), config)
    assert judged.act_greedily(observation).tolist() == best.tolist()
    untaught = GreedyReward(seen, actions, {}, config)
    assert set(untaught.act_greedily(observation).tolist()) == set(range(5))
