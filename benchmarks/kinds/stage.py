"""What goes on in real time: a teacher watches the newest policy and presses keys, or plays an episode.

Frame f is shown from f / `WATCHED_PER_SECOND` seconds on.
"""

from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from benchmarks.journal import Said
from benchmarks.kinds.prices import WATCHED_PER_SECOND
from benchmarks.kinds.teacher import MISTAKE, wanted
from cluster.environments.making import make, make_vector
from cluster.loop.learning.learner import acting_weights
from cluster.loop.rollouts.collector import Collector
from cluster.runs.config import EnvironmentConfig
from hitl.events import Demonstration, Segment, Showing, Signal, StepAddress
from hitl.teachers.cartpole import Balancer
from hitl.teachers.live import LiveSettings, LiveTeacher
from policies.acting.inference import acting_policy
from policies.experience import Rollout
from policies.networks import ActorCritic

_ABOUT_FRAMES = 8 * WATCHED_PER_SECOND
"""A signal is about none that were shown longer ago."""
_ROUNDING = 1e-9


class Stage:
    """A teacher in front of the policy: plus where the pole is up and near the middle, minus where it is not."""

    def __init__(self, environment: EnvironmentConfig, *, seed: int) -> None:
        """Begin an episode."""
        envs = make_vector(environment, 1)
        self._policy = acting_policy(envs.observation_space, envs.action_space, seed=seed)
        self._collector = Collector(envs, self._policy, source="stage", seed=seed, share_reward=False)
        # People press a key a second at most, and react late.
        self._person = LiveTeacher(LiveSettings(signals_per_second=1.0, mistake=MISTAKE, seed=seed))
        self._frame, self._said = 1, 0

    def watch(self, network: ActorCritic, steps: int, *, policy_version: int) -> list[Said]:
        """Show so many steps, and return the signals about them."""
        self._policy.load(acting_weights(network))
        rollout = self._collector.collect(steps, policy_version=policy_version).rollout
        shown, first = _shown(rollout, self._frame), self._frame
        self._frame += steps
        said: list[Said] = []
        for step, observation in enumerate(rollout.next_observation_TNO[:, 0]):
            seconds = (first + step) / WATCHED_PER_SECOND
            press = self._person.watch(seconds, 1.0 if wanted(observation) else -1.0)
            if press is not None:
                frame = min(int(press.seconds * WATCHED_PER_SECOND + _ROUNDING), self._frame - 1)
                offset = timedelta(seconds=press.seconds - frame / WATCHED_PER_SECOND)
                said.append((self._signal(frame, press.value, offset), _before(shown, frame)))
        return said

    def _signal(self, frame: int, value: float, offset: timedelta) -> Signal:
        self._said += 1
        return Signal(
            run_id="run",
            stage_id="stage",
            frame=frame,
            value=value,
            offset=offset,
            event_id=f"signal{self._said}",
        )


def _shown(rollout: Rollout, first_frame: int) -> list[Segment]:
    """Return each episode's part of what one environment did, as a stage showed it."""
    episode_T, segments = rollout.episode_TN[:, 0], []
    for episode in np.unique(episode_T):
        (rows_L,) = np.nonzero(episode_T == episode)
        frame = first_frame + int(rows_L[0])
        begin = int(rollout.step_TN[rows_L[0], 0])
        segments.append(
            Segment(
                segment_id=f"stage/{frame}",
                address=_address("stage", int(episode), begin, begin + len(rows_L)),
                observations={"obs": rollout.observation_TNO[rows_L, 0]},
                actions=rollout.action_TNA[rows_L, 0],
                policy_version=rollout.policy_version,
                showing=Showing(
                    stage_id="stage",
                    first_frame=frame,
                    seconds=(frame + np.arange(len(rows_L))) / WATCHED_PER_SECOND,
                    policy_versions=np.full(len(rows_L), rollout.policy_version),
                ),
            )
        )
    return segments


def _before(shown: list[Segment], frame: int) -> list[Segment]:
    """Return what was on show shortly before a frame, and with it."""
    return [
        segment
        for segment in shown
        if segment.showing is not None
        and segment.showing.first_frame <= frame
        and segment.showing.end_frame > frame - _ABOUT_FRAMES
    ]


class Demonstrator:
    """A teacher who plays episodes."""

    def __init__(self, environment: EnvironmentConfig, *, seed: int) -> None:
        """Take the world."""
        self._env = make(environment)
        self._seed, self._shown = seed, 0

    def play(self, steps: int) -> Said:
        """Show an episode up to so many steps."""
        episode, self._shown = self._shown, self._shown + 1
        observation, _ = self._env.reset(seed=1000 * self._seed + episode)
        observations: list[NDArray[np.float32]] = []
        actions: list[int] = []
        ended = False
        while not ended and len(actions) < steps:
            action = Balancer().act(observation)
            observations.append(observation)
            actions.append(action)
            observation, _, terminated, truncated, _ = self._env.step(action)
            ended = terminated or truncated
        segment = Segment(
            segment_id=f"shown/{episode}",
            address=_address("person", episode, 0, len(actions)),
            observations={"obs": np.stack(observations)},
            actions=np.array(actions),
            policy_version=0,
        )
        event = Demonstration(
            run_id="run",
            episode=episode,
            begin=0,
            end=len(actions),
            digest=bytes(32),
            event_id=f"shown{episode}",
        )
        return event, [segment]


def _address(source: str, episode: int, begin: int, end: int) -> StepAddress:
    return StepAddress(task_id="task", run_id="run", source=source, episode=episode, begin=begin, end=end)
