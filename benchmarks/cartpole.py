"""CartPole-v1 as Handrail's env runners step it: without gymnasium's checks of every call.

Importing this registers it, so `gym.make("benchmarks.cartpole:BareCartPole-v1")` works in any process.
"""

import gymnasium as gym

BARE = "benchmarks.cartpole:BareCartPole-v1"

if BARE.partition(":")[2] not in gym.registry:
    gym.register(
        BARE.partition(":")[2],
        entry_point="gymnasium.envs.classic_control.cartpole:CartPoleEnv",
        max_episode_steps=500,
        reward_threshold=475.0,
        order_enforce=False,
        disable_env_checker=True,
    )
