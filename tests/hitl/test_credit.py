import numpy as np
import pytest

from hitl.credit import DEEP_TAMER, GAMMA, TAMER, DelayFit, GammaDelay, UniformDelay, credit, place, thin

DENSITIES = {
    "tamer": (TAMER, lambda x: (1 / 0.6) * ((x >= 0.2) & (x < 0.8))),
    "deep_tamer": (DEEP_TAMER, lambda x: (1 / 3.72) * ((x >= 0.28) & (x < 4.0))),
    # Of shape 2: (x / scale^2) exp(-x / scale).
    "gamma": (GAMMA, lambda x: np.maximum(x - 0.2, 0) / 0.28**2 * np.exp(-np.maximum(x - 0.2, 0) / 0.28)),
}


def slowly(density, press: float, begin: float, end: float) -> float:
    """The density of the delay, added up over small pieces of the time that a step was on show."""
    ticks = np.linspace(begin, end, 200_001)
    middles = (ticks[1:] + ticks[:-1]) / 2
    return density(press - middles).mean() * (end - begin)


@pytest.mark.parametrize("name", DENSITIES)
def test_credit_is_the_integral_of_the_density_over_the_time_on_show(name) -> None:
    delay, density = DENSITIES[name]
    begin_T = np.array([0.0, 0.1, 0.55, 0.6, 1.0])
    end_T = np.array([0.1, 0.55, 0.6, 1.0, 1.3])
    press_S = np.array([0.9, 1.25])
    credit_ST = credit(
        delay,
        press_S=press_S,
        begin_T=begin_T,
        end_T=end_T,
        episode_T=np.zeros(5, np.int64),
        shown_episode_S=np.zeros(2, np.int64),
    )
    expected = [[slowly(density, p, b, e) for b, e in zip(begin_T, end_T, strict=True)] for p in press_S]
    np.testing.assert_allclose(credit_ST, expected, atol=2e-5)


@pytest.mark.parametrize("name", DENSITIES)
def test_steps_that_cover_all_delays_share_the_whole_signal(name) -> None:
    delay, _ = DENSITIES[name]
    edges = np.linspace(0, delay.longest_seconds, 40)
    credit_ST = credit(
        delay,
        press_S=np.array([delay.longest_seconds]),
        begin_T=edges[:-1],
        end_T=edges[1:],
        episode_T=np.zeros(39, np.int64),
        shown_episode_S=None,
    )
    assert credit_ST.sum() == pytest.approx(1, abs=1.1e-3)


def test_a_step_that_lasts_longer_gets_more() -> None:
    credit_ST = credit(
        TAMER,
        press_S=np.array([1.0]),
        begin_T=np.array([0.2, 0.3]),
        end_T=np.array([0.3, 0.8]),
        episode_T=np.zeros(2, np.int64),
        shown_episode_S=None,
    )
    np.testing.assert_allclose(credit_ST, [[0.1 / 0.6, 0.5 / 0.6]])


def test_what_was_not_shown_yet_gets_nothing() -> None:
    credit_ST = credit(
        UniformDelay(0.0, 1.0),
        press_S=np.array([1.0]),
        begin_T=np.array([0.5, 1.0, 2.0]),
        end_T=np.array([1.0, 2.0, 3.0]),
        episode_T=np.zeros(3, np.int64),
        shown_episode_S=None,
    )
    np.testing.assert_allclose(credit_ST, [[0.5, 0.0, 0.0]])


def test_the_step_on_show_has_no_end_yet() -> None:
    credit_ST = credit(
        TAMER,
        press_S=np.array([1.0]),
        begin_T=np.array([0.0, 0.5]),
        end_T=np.array([0.5, np.inf]),
        episode_T=np.zeros(2, np.int64),
        shown_episode_S=None,
    )
    np.testing.assert_allclose(credit_ST, [[0.5, 0.5]])


def test_nothing_crosses_the_edge_of_an_episode_unless_asked() -> None:
    steps = {
        "press_S": np.array([1.0]),
        "begin_T": np.array([0.2, 0.5]),
        "end_T": np.array([0.5, 1.0]),
        "episode_T": np.array([3, 4]),
    }
    within = credit(TAMER, **steps, shown_episode_S=np.array([4]))
    np.testing.assert_allclose(within, [[0.0, 0.5]])
    across = credit(TAMER, **steps, shown_episode_S=None)
    np.testing.assert_allclose(across, [[0.5, 0.5]])


def test_a_placed_signal_counts_as_one() -> None:
    credit_ST, placed_S = place(np.array([[0.2, 0.4], [0.1, 0.2], [0.0, 0.0]]), smallest_share=0.5)
    np.testing.assert_allclose(credit_ST, [[1 / 3, 2 / 3], [0, 0], [0, 0]])
    assert placed_S.tolist() == [True, False, False]


def test_without_a_smallest_share_only_signals_about_nothing_are_unplaced() -> None:
    credit_ST, placed_S = place(np.array([[0.1, 0.2], [0.0, 0.0]]), smallest_share=0.0)
    np.testing.assert_allclose(credit_ST, [[1 / 3, 2 / 3], [0, 0]])
    assert placed_S.tolist() == [True, False]


@pytest.mark.parametrize("bounds", [(0.5, 0.5), (-0.1, 1.0), (1.0, 0.5)])
def test_a_uniform_delay_that_cannot_be_is_refused(bounds) -> None:
    with pytest.raises(ValueError, match="empty or begins before 0"):
        UniformDelay(*bounds)


@pytest.mark.parametrize("numbers", [(0.0, 1.0, 0.0), (1.0, 0.0, 0.0), (1.0, 1.0, -0.1)])
def test_a_gamma_delay_that_cannot_be_is_refused(numbers) -> None:
    with pytest.raises(ValueError, match="gamma delay"):
        GammaDelay(*numbers)


class TestFit:
    def signals(self, delay: GammaDelay, count: int, *, informative: bool):
        """Presses that `delay` seconds after a step say its value; all steps have values of their own."""
        rng = np.random.default_rng(0)
        begin_T = np.arange(80) * 0.15
        for _ in range(count):
            value_T, step = rng.choice([-1.0, 1.0], 80), 40
            press = (
                begin_T[step] + rng.uniform(0, 0.15) + delay.shortest + rng.gamma(delay.shape, delay.scale)
            )
            shown = begin_T < press
            error_T = value_T[step] - value_T[shown]
            yield {
                "press": press,
                "begin_T": begin_T[shown],
                "end_T": begin_T[shown] + 0.15,
                "log_likelihood_T": -2.0 * error_T**2 if informative else 0 * error_T,
            }

    def test_it_finds_a_slow_teacher(self) -> None:
        slow, prior = GammaDelay(9.0, 0.15, 0.4), UniformDelay(0.2, 4.0)
        fit = DelayFit(prior, prior_signals=5)
        for signal in self.signals(slow, 500, informative=True):
            fit.observe(**signal)
        at = np.linspace(0, 4, 41)
        assert np.abs(fit.density.cumulative(at) - slow.cumulative(at)).max() < 0.1
        assert np.abs(prior.cumulative(at) - slow.cumulative(at)).max() > 0.25

    def test_without_knowing_what_was_meant_it_keeps_to_the_prior(self) -> None:
        fit = DelayFit(GAMMA, prior_signals=20)
        for signal in self.signals(GammaDelay(9.0, 0.15, 0.4), 500, informative=False):
            fit.observe(**signal)
        at = np.linspace(0, 2, 21)
        assert np.abs(fit.density.cumulative(at) - GAMMA.cumulative(at)).max() < 0.05

    def test_it_begins_with_the_prior(self) -> None:
        at = np.linspace(0, 2, 21)
        begins = DelayFit(GAMMA, prior_signals=20).density
        assert np.abs(begins.cumulative(at) - GAMMA.cumulative(at)).max() < 0.01
        assert begins.shortest == 0.2

    def test_one_signal_is_shared_by_bins_as_bayes_says(self) -> None:
        prior = UniformDelay(0.2, 0.6)
        fit = DelayFit(prior, prior_signals=2.0, bin_seconds=0.2)
        first = fit.density
        # Delays of 0.3 to 0.6 s for the first step, 0 to 0.3 s for the second, whose value fits e times worse.
        fit.observe(
            press=1.0,
            begin_T=np.array([0.4, 0.7]),
            end_T=np.array([0.7, 1.0]),
            log_likelihood_T=np.array([0.0, -1.0]),
        )
        slowly = first
        for _ in range(3):
            early, late = np.diff(slowly.cumulative(np.array([0.2, 0.4, 0.6])))
            early, late = early * (0.5 * np.exp(-1) + 0.5), late
            count = np.array([1 + early / (early + late), 1 + late / (early + late)])
            mean = count @ [0.1, 0.3] / 3
            variance = count @ (np.array([0.1, 0.3]) - mean) ** 2 / 3
            slowly = GammaDelay(mean**2 / variance, variance / mean, 0.2)
        assert fit.density.shape == pytest.approx(slowly.shape)
        assert fit.density.scale == pytest.approx(slowly.scale)
        assert fit.density != first

    @pytest.mark.parametrize(
        "numbers",
        [
            {"prior_signals": 0.0},
            {"prior_signals": -1.0},
            {"prior_signals": float("nan")},
            {"bin_seconds": 0.0},
            {"shortest": -0.1},
            {"most_signals": 0},
            # One bin has no variance.
            {"bin_seconds": 0.6},
            {"shortest": 0.77},
            {"shortest": 0.9},
        ],
    )
    def test_a_fit_that_cannot_be_is_refused(self, numbers) -> None:
        with pytest.raises(ValueError, match="delay"):
            DelayFit(TAMER, **{"prior_signals": 10.0, **numbers})

    def test_a_prior_that_falls_into_one_bin_is_refused(self) -> None:
        with pytest.raises(ValueError, match="no two delays"):
            DelayFit(UniformDelay(0.71, 0.74), prior_signals=10.0)

    def test_the_mean_of_a_density(self) -> None:
        samples = 0.2 + np.random.default_rng(0).gamma(2.0, 0.28, 100_000)
        assert GAMMA.mean_seconds == pytest.approx(samples.mean(), rel=0.01)

    def test_a_signal_about_nothing_changes_nothing(self) -> None:
        fit = DelayFit(TAMER, prior_signals=20)
        before = fit.density
        fit.observe(press=9.0, begin_T=np.array([0.0]), end_T=np.array([1.0]), log_likelihood_T=np.zeros(1))
        fit.observe(press=9.0, begin_T=np.zeros(0), end_T=np.zeros(0), log_likelihood_T=np.zeros(0))
        assert fit.density == before


class TestThinning:
    def test_few_steps_stay_as_they_are(self) -> None:
        credit = np.array([0.0, 0.2, 0.0, 0.5, 0.3])
        steps, thinned = thin(credit, most=3, offset=0.4)
        assert steps.tolist() == [1, 3, 4]
        assert thinned.tolist() == [0.2, 0.5, 0.3]

    def test_on_average_over_offsets_nothing_changes(self) -> None:
        """Slow: every offset of a fine grid."""
        credit = np.random.default_rng(0).dirichlet(np.full(40, 0.5))
        total = np.zeros(40)
        for offset in (np.arange(2000) + 0.5) / 2000:
            steps, thinned = thin(credit, most=7, offset=float(offset))
            assert len(steps) <= 7
            assert thinned.sum() == pytest.approx(1.0)
            assert (credit[steps] > 0).all()
            total[steps] += thinned
        np.testing.assert_allclose(total / 2000, credit, atol=2e-4)

    def test_a_step_is_chosen_as_often_as_its_credit_says_give_or_take_one(self) -> None:
        credit = np.random.default_rng(1).dirichlet(np.full(30, 0.3))
        steps, thinned = thin(credit, most=9, offset=0.1)
        full = np.zeros(30)
        full[steps] = thinned
        assert (np.abs(9 * full - 9 * credit) < 1).all()
