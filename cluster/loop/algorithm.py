"""`HITL`: the algorithm. `training_step` is where the whole way of the data is read."""

import logging
import time
import uuid
from typing import Any

import ray
from ray.rllib.algorithms.algorithm import Algorithm
from ray.tune.result import TRIAL_INFO

from cluster.behaviour import Behaviour
from cluster.environments.making import spaces_of
from cluster.feedback.service import FeedbackLink, FeedbackService
from cluster.loop.algorithm_config import HITLConfig
from cluster.loop.counting import what_counts
from cluster.loop.heeding import Heeding
from cluster.loop.imitating import Imitating, Life
from cluster.loop.learning.learner import HITLLearner, Learnt
from cluster.loop.rollouts.env_runner import Sample
from cluster.loop.rollouts.sampling import Sampler
from cluster.loop.staging import open_stages
from cluster.loop.statistics import Statistics
from cluster.loop.teaching import Teaching
from cluster.newest import Published
from cluster.runs.section import annealed

logger = logging.getLogger(__name__)

_PROBE_SECONDS = 0.05
_IDLE_SECONDS = 0.02


class HITL(Algorithm):  # type: ignore[misc]
    """PPO on a weighted sum of reward sources, one of which people teach while it trains."""

    config: HITLConfig
    teaching: Teaching | None = None

    @classmethod
    def get_default_config(cls) -> HITLConfig:
        """Return the settings to start from."""
        return HITLConfig()

    def __init__(self, config: Any = None, *args: Any, **kwargs: Any) -> None:
        """Take note of Tune's trial, which RLlib drops from a config, and start."""
        trial = config.get(TRIAL_INFO) if isinstance(config, dict) else None
        self._trial_name = trial.trial_id if trial else uuid.uuid4().hex[:8]
        super().__init__(config, *args, **kwargs)

    def setup(self, config: Any) -> None:
        """Start env runners, learner and, where people teach, reward trainer and publisher."""
        if config.learns_from_people and isinstance(config.feedback_link, FeedbackService):
            link = config.feedback_link.open_run(config.environment_config, self._trial_name)
            config = self.config = config.copy(copy_frozen=False).people(feedback=link)
        if config.learns_reward:
            # First, so that its processes start while RLlib starts the env runners.
            self.teaching = Teaching(config)
        super().setup(config)
        self.env_steps = 0
        self.updates = 0
        self.policy_version = 1
        self._start = 0
        self._earliest = 0.0
        self.statistics = Statistics()
        rows = self.config.num_envs_per_env_runner * self.config.rollout_fragment_length
        self._sampler = Sampler(
            self.env_runner_group,
            batch_rows=rows * max(self.config.num_env_runners, 1),
            timeout_seconds=self.config.sample_timeout_s,
            give_up_seconds=self.config.give_up_s,
            max_lag=self.config.max_policy_lag,
            lockstep=self.config.lockstep,
        )
        self.imitating: Imitating | None = None
        if self.config.imitation.imitates:
            people = self.config.feedback_link
            self.imitating = Imitating(
                self.config.imitation,
                spaces_of(self.config.environment_config),
                people if isinstance(people, FeedbackLink) else None,
                Life.of(self.config) if self.config.imitation.asks_people else None,
            )
        self.heeding: Heeding | None = None
        if self.config.heeds_signals and isinstance(self.config.feedback_link, FeedbackLink):
            spaces, seed = spaces_of(self.config.environment_config), self.config.seed_for("signal reader")
            self.heeding = Heeding(self.config.signals, spaces, self.config.feedback_link, seed=seed)
        self.stages = open_stages(self.config, self.teaching, self.imitating)
        self._set_weights(ray.put(self._ask_learner(lambda learner: learner.acting_weights)))

    def _set_weights(self, weights: ray.ObjectRef) -> None:
        self._weights = weights
        if self.stages:
            self.stages.show_policy(self.policy_version, weights, reward_weight=self._reward_weight)

    @property
    def _reward_weight(self) -> float:
        """How much the reward model counts where it acts with the policy."""
        acting = self.config.acting
        return annealed(acting.weight, acting.until_env_steps, self.env_steps)

    def training_step(self) -> None:
        """One update: rollouts in, reward by its newest version, new weights out. It never waits for a person."""
        if not self._sampler.in_flight and not self._waiting_for_answers():
            self._request()
        ask_again = None if self.config.lockstep or self._without_a_reward() else self._request
        samples = self._sampler.gather(policy_version=self.policy_version, ask_again=ask_again)
        self.env_steps += sum(sample.steps for sample in samples)
        self._rest()
        reward = self.teaching.newest(samples, env_steps=self.env_steps) if self.teaching else None
        if self.teaching and reward is None and not (samples and self.config.reward_sources.intrinsic):
            time.sleep(_IDLE_SECONDS)
            return
        if not self.config.lockstep and not self._waiting_for_answers():
            self._request()
        if not samples:
            return
        labels: Published | None = None
        if self.imitating:
            labels = self.imitating.take(samples, env_steps=self.env_steps, weights=self._weights)
        signals = self.heeding.take(self.policy_version) if self.heeding else None
        if self.imitating and self.config.imitation.alone:
            # Critics of success learn from every step, also where nobody has said anything new.
            rollouts = [s.rollout for s in samples] if self.config.imitation.help.goal != "none" else None
            labels = self.imitating.unlearnt(labels)
            self._learn_alone(samples, HITLLearner.imitate, rollouts, labels=labels)
        elif self.heeding and self.config.heeds_alone:
            self._learn_alone(samples, HITLLearner.heed, signals=self.heeding.unlearnt(signals))
        elif self.config.acting.kind == "reward":
            self._follow(samples)
        elif self.teaching and self.teaching.freezes_policy:
            self._end_update(samples, None, seconds=0.0)
        else:
            self._learn(samples, reward.take_arrays() if reward else None, labels, signals)

    def _rest(self) -> None:
        """Wait until the next update may begin; not after it, so that its rollouts are gathered by what is newest."""
        while (now := time.monotonic()) < self._earliest:
            if self.teaching:
                self.teaching.look()
            time.sleep(min(self._earliest - now, _IDLE_SECONDS))
        self._earliest = max(self._earliest, now) + self.config.least_update_s

    def _waiting_for_answers(self) -> bool:
        """Whether there is no reward yet and experience enough to ask the first questions."""
        return self.teaching is not None and self.teaching.waiting

    def _without_a_reward(self) -> bool:
        return self.teaching is not None and not self.teaching.version

    def _request(self, workers: list[int] | None = None) -> None:
        acts = self.config.acting.kind != "policy"
        reward = self.teaching.newest_version if self.teaching and acts else None
        self._sampler.request(
            behaviour=Behaviour(
                policy_version=self.policy_version,
                reward_version=reward.version if reward else 0,
                reward_weight=self._reward_weight,
                expert_share=self.imitating.beta(self.updates) if self.imitating else 0.0,
                asks_expert=self.imitating is not None and self.imitating.is_asked,
            ),
            weights=self._weights,
            reward_model=reward.boxed[0] if reward else None,
            start=self._start,
            workers=workers,
        )

    def _learn_alone(
        self,
        samples: list[Sample],
        question: Any,
        rollouts: list[ray.ObjectRef] | None = None,
        **news: Published | None,
    ) -> None:
        """Learn from what people or experts have said since the last time, if anything, and from no reward."""
        start = time.perf_counter()
        learnt: Learnt | None = None
        said: dict[str, Any] = {name: published.boxed[0] for name, published in news.items() if published}
        if rollouts is not None:
            said["rollouts"] = rollouts
        if said:
            learnt = self._ask_learner(question, **said)
        if learnt and learnt.lost:
            self._sampler.lost(learnt.lost)
        self._end_update(samples, learnt, seconds=time.perf_counter() - start)

    def _follow(self, samples: list[Sample]) -> None:
        """Take note of rollouts where the reward model acts: what people teach it is all that is learnt."""
        self._end_update(samples, None, seconds=0.0)
        if self.teaching and self.teaching.take_arrays() is not None:
            self.policy_version += 1
            self._set_weights(self._weights)

    def _learn(
        self,
        samples: list[Sample],
        reward_model: ray.ObjectRef | None,
        labels: Published | None,
        signals: Published | None,
    ) -> None:
        counts = what_counts(self.config, self.teaching, self.imitating, self.heeding, self.env_steps)
        rollouts, start = [sample.rollout for sample in samples], time.perf_counter()
        learnt: Learnt | None = self._ask_learner(
            HITLLearner.learn,
            rollouts=rollouts,
            reward_model=reward_model,
            labels=labels.boxed[0] if labels else None,
            signals=signals.boxed[0] if signals else None,
            **counts,
        )
        self._sampler.lost(len(rollouts) if learnt is None else learnt.lost)
        if learnt is not None:
            self._end_update(samples, learnt, seconds=time.perf_counter() - start)

    def _end_update(self, samples: list[Sample], learnt: Learnt | None, *, seconds: float) -> None:
        """Count an update, and show everybody the policy that came of it, if one did."""
        lag = self.policy_version - min(sample.policy_version for sample in samples)
        self.statistics.take(samples, learnt.statistics if learnt else {}, lag=lag, seconds=seconds)
        self.updates += 1
        if learnt is not None:
            self.policy_version += 1
            self._set_weights(ray.put(learnt.acting_weights))
        self._report()

    def _ask_learner(self, question: Any, **kwargs: Any) -> Any:
        """Ask all learners, who answer alike."""
        first, *_ = [answer.get() for answer in self.learner_group.foreach_learner(question, **kwargs)]
        return first

    def _report(self) -> None:
        self.metrics.log_value("env_steps", self.env_steps, reduce="max")
        for name, value in self.statistics.losses.items():
            self.metrics.log_value(("learner", name), value, window=1)
        if self.statistics.true_return is not None:
            self.metrics.log_value("episode_return_mean", self.statistics.true_return, window=1)

    @property
    def dropped_rollouts(self) -> dict[str, int]:
        """Rollouts never used, by reason."""
        return dict(self._sampler.dropped)

    def restore_env_runners(self, env_runner_group: Any) -> list[int]:
        """Take env runners back into service as they come back; their weights come with each request."""
        restored: list[int] = env_runner_group.probe_unhealthy_env_runners(timeout_seconds=_PROBE_SECONDS)
        return restored

    def get_state(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return RLlib's state with our counters."""
        state: dict[str, Any] = super().get_state(*args, **kwargs)
        state["handrail"] = {
            "env_steps": self.env_steps,
            "updates": self.updates,
            "policy_version": self.policy_version,
            "reward": self.teaching.get_state() if self.teaching else None,
            "labels": self.imitating.get_state() if self.imitating else None,
        }
        return state

    def set_state(self, state: dict[str, Any]) -> None:
        """Take over a state made by `get_state`."""
        super().set_state(state)
        if "handrail" not in state:
            return
        ours = state["handrail"]
        self.env_steps, self.updates = ours["env_steps"], ours["updates"]
        self.policy_version = ours["policy_version"]
        if self.teaching and ours["reward"]:
            self.teaching.set_state(ours["reward"], env_steps=self.env_steps)
        if self.imitating and ours.get("labels"):
            self.imitating.set_state(ours["labels"])
        self._begin_anew()

    def get_checkpointable_components(self) -> list[tuple[str, Any]]:
        """Return what a checkpoint consists of: the learner. Env runners have nothing to keep."""
        return [("learner_group", self.learner_group)]

    def save_to_path(self, *args: Any, **kwargs: Any) -> Any:
        """Write a checkpoint; in lockstep all episodes begin anew, as they do for one who goes on from it."""
        path = super().save_to_path(*args, **kwargs)
        self._begin_anew()
        return path

    def _begin_anew(self) -> None:
        # Not by the policy's version: those of a driver that comes back are others.
        self._start = self.env_steps if self.config.lockstep else 0
        if self.config.lockstep and self.config.objective.critic_warm_up.steps:
            self._ask_learner(HITLLearner.begin_anew)
        if self.teaching:
            self.teaching.begin_anew(self.config.seed_for(f"reward trainer {self._start}"))
        if self.imitating:
            self.imitating.begin_anew(self.config.seed_for(f"label reader {self._start}"))

    def restore_from_path(self, path: Any, *args: Any, **kwargs: Any) -> None:
        """Go on from a checkpoint."""
        super().restore_from_path(path, *args, **kwargs)
        self._set_weights(ray.put(self._ask_learner(lambda learner: learner.acting_weights)))

    @property
    def network_state(self) -> dict[str, Any]:
        """The policy and its critic, as arrays."""
        state: dict[str, Any] = self._ask_learner(
            lambda learner: {k: v.cpu().numpy().copy() for k, v in learner.network.state_dict().items()}
        )
        return state

    def cleanup(self) -> None:
        """Stop what was started."""
        if sampler := getattr(self, "_sampler", None):
            sampler.let_go()
        if stages := getattr(self, "stages", None):
            stages.stop()
        for teaching in (getattr(self, "imitating", None), getattr(self, "heeding", None)):
            if teaching is not None:
                teaching.stop()
        if self.teaching is not None:
            self.teaching.stop()
        super().cleanup()
