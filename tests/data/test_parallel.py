"""Results of threads come in order, and no more arguments are taken than are needed."""

import os

import pytest

from zoo.data.parallel import map_in_threads


def test_results_come_in_order_and_arguments_one_by_one():
    taken = []

    def take():
        for number in range(50):
            taken.append(number)
            yield number

    results = map_in_threads(lambda number: number**2, take())
    assert next(results) == 0
    assert len(taken) <= (os.cpu_count() or 1) + 1
    assert [*results] == [number**2 for number in range(1, 50)]
    assert not [*map_in_threads(str, [])]


def test_errors_are_raised():
    with pytest.raises(ZeroDivisionError):
        [*map_in_threads(lambda number: 1 // number, [1, 0])]
