"""How fast PPO trains beside RLlib's and Stable-Baselines3's, at the same settings and in the same run.

    python -m benchmarks.throughput

32 CartPole-v1 in Python, stepped one after the other, a network of 2x64 tanh units, the same batch, minibatch, epochs
and number of updates for each. RLlib steps them in gymnasium's `SyncVectorEnv`, Stable-Baselines3 in its `DummyVecEnv`,
we in ours; gymnasium's checks of every call, which our env runners leave out, are left out for the others, too
(`benchmarks.cartpole`). Each contender runs in a process of its own, taking turns, with the number of env runners
that suits it best; start-up and the first updates are not counted, and whoever does not reach a mean return of 475 has
not run. Of our time, shares are given: the env runner samples while the learner learns, and the learner waits for the
rest. The peers come with the extra `bench`. The last line is one JSON object; `passed` is null when the size is not
the full one.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Any

ENVIRONMENTS, STEPS, MINIBATCH, EPOCHS, UPDATES, WARM_UP = 32, 128, 256, 4, 40, 3
BATCH = ENVIRONMENTS * STEPS
LEARNING_RATE = 1e-3
REACHED = 475.0
ROUNDS, TRIALS = 5, 3
GOAL_RLLIB, GOAL_SB3 = 10.0, 4.0

Update = tuple[float | None, dict[str, float]]
"""Mean return of the last episodes, and seconds of parts of an update."""


def ours(env_runners: int) -> Iterator[Update]:
    """Train with Handrail, sampling and learning overlapped."""
    from cluster.loop.algorithm_config import HITLConfig
    from cluster.loop.local_ray import start_ray
    from cluster.runs.reward.config import RewardSourcesConfig

    start_ray(cpus=env_runners + 1)
    config = (
        HITLConfig()
        .environment("CartPole-v1")
        .env_runners(
            num_env_runners=env_runners,
            num_envs_per_env_runner=ENVIRONMENTS // env_runners,
            rollout_fragment_length=STEPS,
        )
        .training(lr=LEARNING_RATE, num_epochs=EPOCHS, minibatch_size=MINIBATCH)
        .people(sources=RewardSourcesConfig(environment=1.0, learned=0.0))
    )
    algorithm = config.build_algo()
    before = 0
    while True:
        algorithm.train()
        if algorithm.updates > before:
            before = algorithm.updates
            statistics = algorithm.statistics
            seconds = {"learning": statistics.update_seconds, "sampling": statistics.sampling_seconds}
            yield statistics.true_return, seconds


def rllib(env_runners: int) -> Iterator[Update]:
    """Train with RLlib's PPO."""
    from ray.rllib.algorithms.ppo import PPOConfig

    from benchmarks.cartpole import BARE
    from cluster.loop.local_ray import start_ray

    start_ray(cpus=env_runners + 1)
    config = (
        PPOConfig()
        .environment(BARE)
        .env_runners(
            num_env_runners=env_runners,
            num_envs_per_env_runner=ENVIRONMENTS // max(env_runners, 1),
            rollout_fragment_length=STEPS,
        )
        .training(
            lr=LEARNING_RATE,
            num_epochs=EPOCHS,
            minibatch_size=MINIBATCH,
            train_batch_size_per_learner=BATCH,
            lambda_=0.95,
            clip_param=0.2,
            vf_loss_coeff=0.5,
            vf_clip_param=float("inf"),
            use_kl_loss=False,
            grad_clip=0.5,
        )
        .rl_module(
            model_config={"fcnet_hiddens": [64, 64], "fcnet_activation": "tanh", "vf_share_layers": False}
        )
    )
    algorithm = config.build_algo()
    while True:
        yield algorithm.train()["env_runners"].get("episode_return_mean"), {}


def sb3(env_runners: int) -> Iterator[Update]:
    """Train with Stable-Baselines3's PPO, whose environments are in one process."""
    import torch
    from stable_baselines3 import PPO
    from stable_baselines3.common.env_util import make_vec_env

    from benchmarks.cartpole import BARE

    torch.set_num_threads(1)
    model = PPO(
        "MlpPolicy",
        make_vec_env(BARE, n_envs=ENVIRONMENTS),
        learning_rate=LEARNING_RATE,
        n_steps=STEPS,
        batch_size=MINIBATCH,
        n_epochs=EPOCHS,
        device="cpu",
    )
    while True:
        model.learn(BATCH, reset_num_timesteps=False)
        returns = [episode["r"] for episode in model.ep_info_buffer or ()]
        yield (statistics.fmean(returns) if returns else None), {}


CONTENDERS: dict[str, Callable[[int], Iterator[Update]]] = {"ours": ours, "rllib": rllib, "sb3": sb3}
ENV_RUNNERS = {"ours": (1,), "rllib": (0, 1, 2), "sb3": (1,)}
"""Each is tried with these numbers, and runs with its best one."""


def measure(contender: str, env_runners: int, updates: int) -> dict[str, Any]:
    """Run one contender in this process: steps a second after the warm-up, and whether it learnt."""
    learner = CONTENDERS[contender](env_runners)
    best, start, parts = 0.0, 0.0, Counter[str]()
    for update in range(updates + WARM_UP):
        if update == WARM_UP:
            start = time.perf_counter()
            parts.clear()
        mean_return, seconds = next(learner)
        best = max(best, mean_return or 0.0)
        parts.update(seconds)
    wall = time.perf_counter() - start
    figures = {"steps_per_second": updates * BATCH / wall, "best_return": best, "env_runners": env_runners}
    if parts:
        shares = {f"{part}_share": seconds / wall for part, seconds in parts.items()}
        figures |= shares | {"waiting_share": 1 - shares["learning_share"]}
    return figures


def in_process_of_its_own(contender: str, env_runners: int, updates: int) -> dict[str, Any]:
    """Run one contender in a new process."""
    words = ["--contender", contender, "--env-runners", str(env_runners), "--updates", str(updates)]
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks.throughput", *words], capture_output=True, text=True, check=False
    )
    if ended.returncode:
        raise SystemExit(f"{contender} failed:\n{ended.stderr[-3000:]}")
    figures: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    print(contender, json.dumps(figures), file=sys.stderr, flush=True)
    return figures


def best_env_runners(contender: str, updates: int) -> int:
    """Try each number of env runners, some times briefly and in turns, and take the best median."""
    choices = ENV_RUNNERS[contender]
    if len(choices) == 1:
        return choices[0]
    short = max(updates // 4, 1)
    trials = [{n: in_process_of_its_own(contender, n, short) for n in choices} for _ in range(TRIALS)]
    return max(choices, key=lambda n: statistics.median(trial[n]["steps_per_second"] for trial in trials))


def main() -> int:
    """Run the benchmark; 0 unless a goal at full size is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--updates", type=int, default=UPDATES)
    parser.add_argument("--contender", choices=CONTENDERS, help="run one alone and print its figures")
    parser.add_argument("--env-runners", type=int, default=1)
    options = parser.parse_args()
    if options.contender:
        print(json.dumps(measure(options.contender, options.env_runners, options.updates)), flush=True)
        os._exit(0)  # Ray takes seconds to end, and nothing here needs it to.
    runners = {name: best_env_runners(name, options.updates) for name in CONTENDERS}
    rounds = [
        {name: in_process_of_its_own(name, runners[name], options.updates) for name in CONTENDERS}
        for _ in range(options.rounds)
    ]
    speed = {name: statistics.median(r[name]["steps_per_second"] for r in rounds) for name in CONTENDERS}
    learnt = all(r[name]["best_return"] >= REACHED for r in rounds for name in CONTENDERS)
    ratios = {f"ratio_{name}": speed["ours"] / speed[name] for name in ("rllib", "sb3")}
    full = options.rounds >= ROUNDS and options.updates >= UPDATES
    passed = learnt and ratios["ratio_rllib"] >= GOAL_RLLIB and ratios["ratio_sb3"] >= GOAL_SB3
    figures = {
        **speed,
        **ratios,
        "all_reached_475": learnt,
        "env_runners": runners,
        "our_shares": {
            part: statistics.median(r["ours"][part] for r in rounds)
            for part in ("sampling_share", "learning_share", "waiting_share")
        },
        "rounds": rounds,
        "versions": {name: version(name) for name in ("ray", "torch", "stable-baselines3", "gymnasium")},
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }
    goal = {"ratio_rllib_at_least": GOAL_RLLIB, "ratio_sb3_at_least": GOAL_SB3, "return_at_least": REACHED}
    print(
        json.dumps(
            {"name": "throughput", "goal": goal, "figures": figures, "passed": passed if full else None}
        )
    )
    return 1 if full and not passed else 0


if __name__ == "__main__":
    sys.exit(main())
