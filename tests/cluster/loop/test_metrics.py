"""The driver's metrics: one table, names by the rule, each filled in one place, served over HTTP."""

import re
import socket
import urllib.request
from pathlib import Path

import pytest

from cluster import metrics
from cluster.metrics import TABLE, DriverMetrics
from cluster.runs.progress import ProgressRow
from hitl.errors import ConfigError
from hitl.metrics import Metric
from hitl.service.metrics import TABLE as SERVICE_TABLE

PARTS = "rollout|queue|learner|weights|reward|feedback"
UNITS = (
    "steps|steps_per_second|rewards|rollouts|updates|seconds|loss|versions|ratio|nats|comparisons|signals|corrections"
    "|relabels|environments|segments|teachers|alarms"
)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_names_follow_the_rule(row: Metric) -> None:
    tail = "_total" if row.kind == "counter" else ""
    assert re.fullmatch(rf"hitl_({PARTS})_(\w+_)?({UNITS}){tail}", row.name)
    assert row.help.endswith(".")
    assert len(row.labels) <= 1


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_each_row_is_filled_in_one_place(row: Metric) -> None:
    source = Path(metrics.__file__).read_text().partition("class DriverMetrics")[2]
    assert source.count(f'"{row.name}"') == 1


def test_driver_and_service_share_no_name() -> None:
    names = [row.name for row in (*TABLE, *SERVICE_TABLE)]
    assert len(names) == len(set(names))


def scrape(address: str) -> dict[str, float]:
    text = urllib.request.urlopen(f"http://{address}/metrics", timeout=10).read().decode()
    lines = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in lines}


def test_rows_arrive_at_the_scraper() -> None:
    driver = DriverMetrics()
    driver.start_from(
        ProgressRow(
            time=0,
            wall_seconds=0,
            phase="learning",
            env_steps=1000,
            dropped_rollouts={"stale": 9},
            alarms={"agreement": 1},
            rolled_back_reward_versions=1,
        )
    )
    address = driver.serve("127.0.0.1", 0)
    driver.observe_update(duration_seconds=0.2, sampling_seconds=0.3, lag_updates=1)
    for env_steps in (1500, 1800):
        driver.show(
            ProgressRow(
                time=0, wall_seconds=0, phase="learning", env_steps=env_steps, policy_version=7,
                reward_version=3, true_return=12.5, heldout_accuracy=0.75, fresh_accuracy=0.5,
                fresh_log_loss=0.625, calibration_error=0.0625, losses={"value": 0.25}, risk=0.125,
                dropped_rollouts={"stale": 3, "lost": 1}, asked=40,
                lost_environments={"timeout": 2, "error": env_steps // 500},
                alarms={"agreement": 1, "saturation": env_steps // 900}, alarm_holds=True,
                policy_disagreement=1.5, saturated_share=0.375, rolled_back_reward_versions=3,
            )
        )  # fmt: skip
    seen = scrape(address)
    assert seen["hitl_rollout_env_steps_total"] == 800
    # A driver drops its own: what the one before it dropped is in no row of this one.
    assert seen['hitl_queue_dropped_rollouts_total{reason="stale"}'] == 3
    assert seen['hitl_queue_dropped_rollouts_total{reason="lost"}'] == 1
    assert seen['hitl_rollout_lost_environments_total{reason="timeout"}'] == 2
    assert seen['hitl_rollout_lost_environments_total{reason="error"}'] == 3
    assert seen["hitl_rollout_true_return_rewards"] == 12.5
    assert seen["hitl_learner_risk_ratio"] == 0.125
    assert seen["hitl_weights_version_updates"] == 7
    assert seen["hitl_reward_version_updates"] == 3
    assert seen['hitl_learner_loss{term="value"}'] == 0.25
    assert seen['hitl_reward_agreement_ratio{split="heldout"}'] == 0.75
    assert seen['hitl_reward_agreement_ratio{split="fresh"}'] == 0.5
    assert seen["hitl_reward_fresh_loss_nats"] == 0.625
    assert seen["hitl_reward_calibration_error_ratio"] == 0.0625
    # Those of the life before are no work of this driver.
    assert seen['hitl_reward_alarms_total{reason="saturation"}'] == 2
    assert seen.get('hitl_reward_alarms_total{reason="agreement"}', 0) == 0
    assert seen["hitl_reward_rolled_back_versions_total"] == 2
    assert seen["hitl_reward_alarm_holds_ratio"] == 1
    assert seen["hitl_reward_policy_disagreement_ratio"] == 1.5
    assert seen["hitl_reward_saturated_ratio"] == 0.375
    assert seen["hitl_feedback_asked_comparisons"] == 40
    assert seen["hitl_learner_updates_total"] == 1
    assert seen['hitl_learner_policy_lag_updates_bucket{le="1.0"}'] == 1
    assert 'hitl_reward_agreement_ratio{split="train"}' not in seen


def test_counters_never_go_back() -> None:
    driver = DriverMetrics()
    address = driver.serve("127.0.0.1", 0)
    for env_steps in (100, 50, 120):
        driver.show(ProgressRow(time=0, wall_seconds=0, phase="learning", env_steps=env_steps))
    assert scrape(address)["hitl_rollout_env_steps_total"] == 120


def test_a_port_in_use_is_a_mistake_with_a_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"127.0.0.1:{port} .*choose another port"):
            DriverMetrics().serve("127.0.0.1", port)
