import numpy as np
import torch

from policies.exploration.reservoir import Reservoir

CPU, MOST = torch.device("cpu"), 10


def _made(seed: int = 0, most: int = MOST) -> Reservoir:
    return Reservoir(most, 1, generator=torch.Generator().manual_seed(seed), device=CPU)


def _rows(begin: int, end: int) -> torch.Tensor:
    return torch.arange(begin, end, dtype=torch.float32)[:, None]


def test_what_fits_is_kept_in_order() -> None:
    reservoir = _made()
    reservoir.take(_rows(0, 4))
    reservoir.take(_rows(4, 7))
    assert reservoir.rows.flatten().tolist() == [0, 1, 2, 3, 4, 5, 6]


def test_it_is_algorithm_r() -> None:
    """Row n (from 0) goes to a place drawn from 0..n, if there is such a place; a later one takes it over."""
    rows, parts = 200, (3, 40, 1, 156)
    drawn = torch.rand(rows, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    expected = [0.0] * MOST
    for number in range(rows):
        place = number if number < MOST else int(float(drawn[number]) * (number + 1))
        if place < MOST:
            expected[place] = float(number)
    reservoir, begin = _made(3), 0
    for part in parts:
        reservoir.take(_rows(begin, begin + part))
        begin += part
    assert reservoir.rows.flatten().tolist() == expected


def test_every_row_is_as_likely() -> None:
    counts = np.zeros(40)
    for seed in range(2000):
        reservoir = _made(seed)
        reservoir.take(_rows(0, 15))
        reservoir.take(_rows(15, 40))
        counts[reservoir.rows.flatten().long().numpy()] += 1
    # Each count is binomial of 2000 draws at 1/4: 19.4 is a standard deviation.
    assert np.abs(counts - 500).max() < 5 * 19.4


def test_more_room_goes_on_from_what_there_is() -> None:
    small, big = _made(), _made(most=30)
    small.take(_rows(0, 50))
    big.set_state(small.get_state())
    assert torch.equal(big.rows, small.rows)
    big.take(_rows(50, 55))
    assert big.rows[MOST:].flatten().tolist() == [50, 51, 52, 53, 54]


def test_less_room_keeps_what_fits() -> None:
    small, big = _made(most=5), _made()
    big.take(_rows(0, 10))
    small.set_state(big.get_state())
    assert small.rows.flatten().tolist() == [0, 1, 2, 3, 4]
