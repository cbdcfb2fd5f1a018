"""LazyDAgger: few switches, by two thresholds that lie apart.

Source: Hoque et al. 2021, "LazyDAgger: Reducing context switching in interactive imitation learning", arXiv:2104.00053.
The noise that it adds to the expert's actions is no part of the gate.
"""

from policies.imitation.gates.gate import Moment, SwitchingGate, known


class LazyDAgger(SwitchingGate):
    """The expert acts from a predicted discrepancy above tau_sup until the true one is below tau_auto.

    It needs `predicted_discrepancy` where the policy would act and `discrepancy` after each step of the expert. Where
    the expert gives back, the prediction is asked at once, as in the paper. Only the expert's steps are labels.
    """

    def __init__(self, *, tau_sup: float, tau_auto: float, most_switches: int | None = None) -> None:
        """Begin before an episode.

        Args:
            tau_sup: predicted discrepancy above which the expert takes over.
            tau_auto: true discrepancy below which they give back.
            most_switches: see `SwitchingGate`.

        Raises:
            ValueError: the thresholds leave no band between them, or the bound is below 0.
        """
        super().__init__(most_switches=most_switches)
        if not 0 < tau_auto < tau_sup:
            raise ValueError(f"tau_auto is {tau_auto} and tau_sup is {tau_sup}; give 0 < tau_auto < tau_sup")
        self._tau_sup, self._tau_auto = tau_sup, tau_auto

    def _wants_expert(self, moment: Moment) -> bool:
        if self._expert_acts and not known(moment.discrepancy, "discrepancy") < self._tau_auto:
            return True
        return known(moment.predicted_discrepancy, "predicted_discrepancy") > self._tau_sup
