"""One policy taught from nothing by what so many seconds buy, round by round; in one process, without a clock."""

from dataclasses import dataclass

import numpy as np

from benchmarks.journal import Said, entry_of
from benchmarks.kinds.experience import Candidate, Experience
from benchmarks.kinds.prices import Purses
from benchmarks.kinds.shares import Shares, Sharing
from benchmarks.kinds.stage import Demonstrator, Stage
from benchmarks.kinds.teacher import Answerer
from benchmarks.kinds.world import TASK
from benchmarks.loop import Loop, World
from benchmarks.preferences import RUNS
from benchmarks.questions.labels import Curve
from cluster.environments.making import spaces_of
from cluster.feedback.evidence import online_model
from cluster.loop.evaluation import evaluate
from cluster.runs.config import RunConfig
from cluster.runs.loading import load_run
from hitl.reward.evidence.demonstrations import Demonstrations
from hitl.reward.serving.source import LearnedReward
from policies.threads import use_threads

_OWN = 256
"""Segments that demonstrations are held against, as in a run."""
_JUDGED_FROM = 1_000_000
"""Seeds of the episodes that judge are other ones than those of episodes that teach."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """When a teacher says how much, and how much is learnt from it before they say more."""

    first_seconds: float = 60.0
    round_seconds: float = 20.0
    rounds: int
    first_updates: int = 2
    """Whose rollouts the first round is about; nothing is learnt from them."""
    updates: int = 3
    """Of the policy in each round."""
    episodes: int = 20
    """Greedy ones, that the policy is judged by after each round."""


class Lesson:
    """A teacher, a reward model, and a policy that sees nothing else."""

    def __init__(self, *, seed: int) -> None:
        """Begin."""
        self._config = load_run(RUNS / TASK.run_file, TASK.settings)
        spaces = spaces_of(self._config.environment)
        self.model = online_model(self._config.reward, *spaces, seed=seed)
        """Learns from all that is said."""
        self.loop = Loop(world_of(self._config), {"learned": LearnedReward(self.model.ensemble)}, seed=seed)
        self._rng = np.random.default_rng([seed, 2])
        self.experience = Experience(batches=self._config.reward.questions.fresh_batches)
        """What can be asked about."""
        self._purses = Purses()
        self._answerer = Answerer(self._config, self.model, seed=seed)
        self._stage = Stage(self._config.environment, seed=seed)
        self._demonstrator = Demonstrator(self._config.environment, seed=seed)
        self._rounds, self._entries = 0, 0
        self.has_reward = False
        """Anything was learnt from the teacher."""

    def gather(self) -> None:
        """Collect a batch without learning from it; all of them together fix the scale of rewards."""
        self.experience.add(self.loop.collect())

    def fix_scale(self) -> None:
        """Let what was gathered define the scale of inputs and rewards; once."""
        self.model.set_probe(*self.experience.probe(self._rng))

    def teach(self, seconds: float, shares: Shares) -> None:
        """Let the teacher say what so many more seconds buy, and fit the reward to all that was said."""
        steps = self._config.reward.questions.segment_steps
        candidates = self.experience.candidates(steps=steps, rng=self._rng)
        self._rounds += 1
        self._answerer.look(candidates)
        self._show_own(candidates)
        self._purses.fill(seconds, shares)
        for kind in self._purses.left:
            while count := self._purses.affords(kind):
                said, paid = self._say(kind, count)
                for event, segments in said:
                    self.model.take(entry_of(event, "teacher", segments, offset=self._entries), segments)
                    self._entries += 1
                self._purses.pay(kind, paid)
                if paid < count:
                    break
        report = self.model.fit(is_first=not self.has_reward)
        self.has_reward |= report is not None

    def _say(self, kind: str, count: int) -> tuple[list[Said], int]:
        """Return what is said, and how much of what was afforded is to be paid."""
        if kind == "signals":
            return self._stage.watch(self.loop.network, count, policy_version=self._rounds), count
        if kind == "demonstrations":
            return [self._demonstrator.play(count)], count
        said = self._answerer.say(kind, count)
        return said, len(said)

    def _show_own(self, candidates: list[Candidate]) -> None:
        demonstrations = self.model.evidence["demonstrations"]
        assert isinstance(demonstrations, Demonstrations)
        chosen = np.sort(self._rng.permutation(len(candidates))[:_OWN])
        demonstrations.show_own(candidates[row].segment for row in chosen)

    def learn(self) -> None:
        """Collect a batch, and let the policy learn from it by the reward as it is; nothing while there is none."""
        collected = self.loop.collect()
        self.experience.add(collected)
        if self.has_reward:
            self.loop.learn(collected)

    def score(self, *, episodes: int, seed: int) -> float:
        """Return the normalised true return of the greedy policy: 0 at random, 1 at best."""
        returns = evaluate(self.loop.network, self._config.environment, episodes=episodes, seed=seed)
        return TASK.score(float(np.mean(returns)))


def world_of(config: RunConfig) -> World:
    """Return what a run file says of its world and its learner."""
    learner, rollouts = config.learner, config.rollouts
    return World(
        environment=config.environment,
        discount=learner.discount,
        envs=rollouts.envs_per_runner,
        steps=rollouts.steps,
        learning_rate=learner.learning_rate,
        epochs=learner.epochs,
        minibatch_size=learner.minibatch_size,
    )


def taught(sharing: Sharing, *, seed: int, plan: Plan) -> Curve:
    """Teach one policy; returns its score after so many seconds of teaching, which begins with 0 seconds."""
    use_threads(1)
    lesson = Lesson(seed=seed)
    for _ in range(plan.first_updates):
        lesson.gather()
    lesson.fix_scale()
    # Whom nobody has taught is as good as chance, whatever a greedy network does by luck.
    curve, seconds = [(0.0, 0.0)], 0.0
    for number in range(plan.rounds):
        more = plan.round_seconds if number else plan.first_seconds
        lesson.teach(more, sharing.later if number else sharing.first)
        seconds += more
        for update in range(plan.updates):
            lesson.loop.anneal(1 - (number * plan.updates + update) / (plan.rounds * plan.updates))
            lesson.learn()
        curve.append((seconds, lesson.score(episodes=plan.episodes, seed=_JUDGED_FROM + seed)))
    return curve
