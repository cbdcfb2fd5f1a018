"""EnsembleDAgger: the policy acts only where it is sure and near the expert.

Source: Menda, Driggs-Campbell and Kochenderfer 2019, "EnsembleDAgger: A Bayesian approach to safe imitation learning",
arXiv:1807.08364, the decision rule of its algorithm.
"""

from policies.imitation.gates.gate import Moment, SwitchingGate, known


class EnsembleDAgger(SwitchingGate):
    """The policy acts where its doubt is at most chi and its discrepancy at most tau; all visited states are labels.

    It needs `doubt` and `discrepancy` at each step, so an expert who is asked at each step: a program.
    """

    labels_every_step = True

    def __init__(self, *, chi: float, tau: float, most_switches: int | None = None) -> None:
        """Begin before an episode.

        Args:
            chi: largest doubt of the policy that acts.
            tau: largest discrepancy.
            most_switches: see `SwitchingGate`.

        Raises:
            ValueError: a threshold or the bound is below 0.
        """
        super().__init__(most_switches=most_switches)
        if not (chi >= 0 and tau >= 0):
            raise ValueError(f"chi is {chi} and tau is {tau}; give 0 or more")
        self._chi, self._tau = chi, tau

    def _wants_expert(self, moment: Moment) -> bool:
        is_sure = known(moment.doubt, "doubt") <= self._chi
        is_near = known(moment.discrepancy, "discrepancy") <= self._tau
        return not (is_sure and is_near)
