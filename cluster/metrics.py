"""What the driver exports for Prometheus: one table, and the one place that fills each row."""

from collections import Counter
from typing import TYPE_CHECKING

from hitl.metrics import Metric, build, export

if TYPE_CHECKING:
    from cluster.runs.progress import ProgressRow

TABLE: tuple[Metric, ...] = (
    Metric("hitl_rollout_env_steps_total", "counter", (), "Environment steps since the driver started."),
    Metric("hitl_rollout_speed_steps_per_second", "gauge", (), "Environment steps per second, lately."),
    Metric("hitl_rollout_true_return_rewards", "gauge", (), "Mean true return of the latest episodes."),
    Metric("hitl_rollout_lost_environments_total", "counter", ("reason",), "Environments made anew."),
    Metric("hitl_queue_dropped_rollouts_total", "counter", ("reason",), "Rollouts never trained on."),
    Metric(
        "hitl_rollout_duration_seconds",
        "histogram",
        (),
        "Time of the slowest env runner for its part of a batch.",
    ),
    Metric("hitl_learner_updates_total", "counter", (), "Updates of the policy since the driver started."),
    Metric("hitl_learner_update_duration_seconds", "histogram", (), "Time of one update of the policy."),
    Metric(
        "hitl_learner_policy_lag_updates",
        "histogram",
        (),
        "Age of the experience trained on.",
        (0.0, 1.0, 2.0, 3.0, 5.0, 8.0),
    ),
    Metric("hitl_learner_loss", "gauge", ("term",), "Terms of the loss, unweighted."),
    Metric("hitl_rollout_expert_steps_ratio", "gauge", (), "Steps of the last batch that the expert took."),
    Metric("hitl_learner_risk_ratio", "gauge", (), "Chance that the policy misses its goal, as critics say."),
    Metric("hitl_weights_version_updates", "gauge", (), "Version of the policy; it only grows."),
    Metric("hitl_reward_version_updates", "gauge", (), "Version of the reward model in use; it only grows."),
    Metric(
        "hitl_reward_refused_versions_total",
        "counter",
        (),
        "Reward versions that judged worse than the last.",
    ),
    Metric(
        "hitl_reward_rolled_back_versions_total", "counter", (), "Times an earlier reward version came back."
    ),
    Metric("hitl_reward_alarms_total", "counter", ("reason",), "Alarms of the guards (docs/guards.md)."),
    Metric("hitl_reward_alarm_holds_ratio", "gauge", (), "1 while an alarm has not cleared."),
    Metric(
        "hitl_reward_policy_disagreement_ratio",
        "gauge",
        (),
        "The ensemble's on what the policy does, over that on what people judged.",
    ),
    Metric(
        "hitl_reward_saturated_ratio", "gauge", (), "Steps with more reward than anything that people judged."
    ),
    Metric("hitl_reward_agreement_ratio", "gauge", ("split",), "Answers that the reward model predicts."),
    Metric(
        "hitl_reward_heldout_loss_nats", "gauge", (), "Log-loss on held-out answers; 1.099 is a blind guess."
    ),
    Metric(
        "hitl_reward_fresh_loss_nats", "gauge", (), "Log-loss on the newest answers, before training on them."
    ),
    Metric(
        "hitl_reward_calibration_error_ratio", "gauge", (), "Expected calibration error on held-out answers."
    ),
    Metric(
        "hitl_reward_plain_heldout_loss_nats",
        "gauge",
        (),
        "The same of a model that takes all teachers for alike.",
    ),
    Metric(
        "hitl_reward_predicted_return_rewards", "gauge", (), "Mean return that the reward model predicts."
    ),
    Metric("hitl_reward_signal_agreement_ratio", "gauge", (), "Held-out signals whose sign it predicts."),
    Metric("hitl_feedback_learnt_signals", "gauge", (), "Live signals that the reward model stands on."),
    Metric("hitl_feedback_unplaced_signals", "gauge", (), "Live signals about no step that is known."),
    Metric("hitl_reward_correction_agreement_ratio", "gauge", (), "Held-out corrections that it prefers."),
    Metric(
        "hitl_feedback_learnt_corrections", "gauge", (), "Corrected states that the reward model stands on."
    ),
    Metric("hitl_feedback_answered_relabels", "gauge", (), "Answers to what should be done, skips counted."),
    Metric(
        "hitl_feedback_unrendered_segments", "gauge", (), "Asked about though no stage could render them."
    ),
    Metric(
        "hitl_feedback_agreement_ratio",
        "gauge",
        (),
        "Krippendorff's alpha of teachers on the same comparisons.",
    ),
    Metric("hitl_feedback_flagged_teachers", "gauge", (), "Teachers whom a test has come out against."),
    Metric("hitl_feedback_asked_comparisons", "gauge", (), "Comparisons asked of teachers in the whole run."),
)
"""Every metric of the driver; the service has a table of its own."""


class DriverMetrics:
    """The living metrics of one driver."""

    def __init__(self) -> None:
        self._metrics = build(TABLE)
        self._before: dict[str, int] = {}
        self._by_reason: dict[str, Counter[str]] = {}
        self._alarms_before: Counter[str] = Counter()

    def serve(self, host: str, port: int) -> str:
        """Serve http://host:port/metrics from a daemon thread; returns host:port, as it really is.

        Raises:
            ConfigError: the port is in use, or the host is not this machine's.
        """
        return export(self._metrics, host=host, port=port)

    def observe_update(self, *, duration_seconds: float, sampling_seconds: float, lag_updates: float) -> None:
        """Count one update of the policy: how long it and its rollouts took, and how old these were."""
        self._metrics.counter("hitl_learner_updates_total").inc()
        self._metrics.histogram("hitl_learner_update_duration_seconds").observe(duration_seconds)
        self._metrics.histogram("hitl_rollout_duration_seconds").observe(sampling_seconds)
        self._metrics.histogram("hitl_learner_policy_lag_updates").observe(lag_updates)

    def show(self, row: "ProgressRow") -> None:
        """Take over everything that a row of progress says; counters grow by what is new in it."""
        gauges = {
            "hitl_rollout_speed_steps_per_second": row.steps_per_second,
            "hitl_rollout_true_return_rewards": row.true_return,
            "hitl_rollout_expert_steps_ratio": row.expert_share,
            "hitl_learner_risk_ratio": row.risk,
            "hitl_weights_version_updates": row.policy_version,
            "hitl_reward_version_updates": row.reward_version,
            "hitl_reward_heldout_loss_nats": row.heldout_log_loss,
            "hitl_reward_plain_heldout_loss_nats": row.plain_heldout_log_loss,
            "hitl_reward_fresh_loss_nats": row.fresh_log_loss,
            "hitl_reward_calibration_error_ratio": row.calibration_error,
            "hitl_reward_predicted_return_rewards": row.predicted_return,
            "hitl_reward_alarm_holds_ratio": row.alarm_holds,
            "hitl_reward_policy_disagreement_ratio": row.policy_disagreement,
            "hitl_reward_saturated_ratio": row.saturated_share,
            "hitl_feedback_asked_comparisons": row.asked,
            "hitl_reward_signal_agreement_ratio": row.signal_accuracy,
            "hitl_feedback_learnt_signals": row.signals,
            "hitl_feedback_unplaced_signals": row.unplaced_signals,
            "hitl_reward_correction_agreement_ratio": row.correction_accuracy,
            "hitl_feedback_learnt_corrections": row.corrections,
            "hitl_feedback_answered_relabels": row.relabels,
            "hitl_feedback_unrendered_segments": row.segments_without_clip,
            "hitl_feedback_agreement_ratio": row.teacher_agreement,
            "hitl_feedback_flagged_teachers": row.flagged_teachers,
        }
        for name, value in gauges.items():
            if value is not None:
                self._metrics.gauge(name).set(value)
        for term, loss in row.losses.items():
            self._metrics.gauge("hitl_learner_loss").labels(term=term).set(loss)
        agreement = self._metrics.gauge("hitl_reward_agreement_ratio")
        for split, accuracy in (
            ("train", row.train_accuracy),
            ("heldout", row.heldout_accuracy),
            ("plain_heldout", row.plain_heldout_accuracy),
            ("fresh", row.fresh_accuracy),
        ):
            if accuracy is not None:
                agreement.labels(split=split).set(accuracy)
        for name, total in _totals(row).items():
            before = self._before.get(name, 0)
            self._metrics.counter(name).inc(max(0, total - before))
            self._before[name] = max(total, before)
        for name, reasons in (
            ("hitl_rollout_lost_environments_total", Counter(row.lost_environments)),
            ("hitl_queue_dropped_rollouts_total", Counter(row.dropped_rollouts)),
            ("hitl_reward_alarms_total", Counter(row.alarms) - self._alarms_before),
        ):
            known = self._by_reason.setdefault(name, Counter())
            for reason, count in (reasons - known).items():
                self._metrics.counter(name).labels(reason=reason).inc(count)
            self._by_reason[name] = known | reasons

    def start_from(self, row: "ProgressRow") -> None:
        """Count from this row on: what a resumed run did before is no work of this driver."""
        self._before = _totals(row)
        self._alarms_before = Counter(row.alarms)


def _totals(row: "ProgressRow") -> dict[str, int]:
    """What a row counts since the run began, by the counter that exports it."""
    return {
        "hitl_rollout_env_steps_total": row.env_steps,
        "hitl_reward_refused_versions_total": row.refused_reward_versions,
        "hitl_reward_rolled_back_versions_total": row.rolled_back_reward_versions,
    }
