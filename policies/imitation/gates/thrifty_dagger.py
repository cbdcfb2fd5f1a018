"""ThriftyDAgger: the expert is called where a state is new or the policy is likely to fail, within a budget.

Source: Hoque et al. 2021, "ThriftyDAgger: Budget-aware novelty and risk gating for interactive imitation learning",
arXiv:2109.08273, section 4.
"""

from collections import deque
from dataclasses import dataclass, replace

import numpy as np

from policies.imitation.gates.gate import Moment, SwitchingGate, known


@dataclass(frozen=True, slots=True, kw_only=True)
class ThriftyLimits:
    """The paper's thresholds."""

    novelty: float
    """delta_h: the expert takes over above it. The novelty of a state is the policy's doubt in it."""
    risk: float
    """beta_h: the expert takes over above it."""
    calm_discrepancy: float
    """The expert gives back below it, if also the risk is low; in the paper the mean over the labels so far."""
    calm_risk: float
    """beta_r: the risk that is low enough is below it."""


class ThriftyDAgger(SwitchingGate):
    """The expert acts from novelty or risk above their limits until discrepancy and risk are below theirs.

    The risk is read where the policy would go on, so that it may act at once where it is low. As long as none has ever
    been given, nobody knows it yet, and novelty alone decides.

    Between episodes, limits are fitted anew to the newest steps that were the policy's to take: novelty and risk to the
    smallest value that at most the target share of them exceeds, calm_risk to the median. Each of the two calls then
    for so large a share of these steps; both together for at most twice as much. Only the expert's steps are labels.
    """

    def __init__(
        self,
        limits: ThriftyLimits,
        *,
        target_share: float,
        reads_risk: bool = True,
        fewest_steps: int = 25,
        most_steps: int = 10_000,
        most_switches: int | None = None,
    ) -> None:
        """Begin before an episode.

        Args:
            limits: to begin with.
            target_share: alpha_h, in (0, 0.5).
            reads_risk: False leaves the risk out of everything, for tasks without a goal.
            fewest_steps: with a novelty, and with a risk, before which its limits stay as they are.
            most_steps: that the limits are fitted to; older ones are forgotten.
            most_switches: see `SwitchingGate`.

        Raises:
            ValueError: a number is out of its range.
        """
        super().__init__(most_switches=most_switches)
        if not 0 < target_share < 0.5:
            raise ValueError(f"target_share is {target_share}; give a share above 0 and below 0.5")
        if not 1 <= fewest_steps <= most_steps:
            raise ValueError(f"fewest_steps is {fewest_steps}; give 1 to most_steps, {most_steps}")
        self.limits = limits
        """In force in this episode."""
        self._share, self._reads_risk, self._fewest = target_share, reads_risk, fewest_steps
        self._novelty: deque[float] = deque(maxlen=most_steps)
        self._risk: deque[float] = deque(maxlen=most_steps)

    def _begin_episode(self) -> None:
        limits = self.limits
        if len(self._novelty) >= self._fewest:
            limits = replace(limits, novelty=self._exceeded_by_share(self._novelty))
        if len(self._risk) >= self._fewest:
            calm = float(np.median(self._risk))
            limits = replace(limits, risk=self._exceeded_by_share(self._risk), calm_risk=calm)
        self.limits = limits

    def _exceeded_by_share(self, values: deque[float]) -> float:
        return float(np.quantile(values, 1 - self._share, method="inverted_cdf"))

    def _wants_expert(self, moment: Moment) -> bool:
        limits = self.limits
        is_risk_known = self._reads_risk and (moment.risk is not None or bool(self._risk))
        risk = known(moment.risk, "risk") if is_risk_known else None
        if self._expert_acts:
            is_near = known(moment.discrepancy, "discrepancy") < limits.calm_discrepancy
            if not (is_near and (risk is None or risk < limits.calm_risk)):
                return True
        novelty = known(moment.doubt, "doubt")
        self._novelty.append(novelty)
        if risk is not None:
            self._risk.append(risk)
        return novelty > limits.novelty or (risk is not None and risk > limits.risk)
