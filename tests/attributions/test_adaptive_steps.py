"""Steps that are short where a gradient jumps."""

import numpy as np
import pytest

from zoo.attributions.adaptive_steps import integrate_adaptively


def jump(alphas):
    """Two units that set in at 0.3 and 0.7123, with the slopes 5 and -2."""
    begins, slopes = np.array([0.3, 0.7123]), np.array([5.0, -2.0])
    outputs = np.maximum(alphas[:, None] - begins, 0) @ slopes
    return outputs, (slopes * (alphas[:, None] > begins)).astype("float32")


def test_jumps_are_found():
    integrals, points = integrate_adaptively(jump, 5, 1e-6, 1000)
    np.testing.assert_allclose(integrals, [3.5, -2 * 0.2877], atol=1e-5)
    assert points < 200
    alphas = (np.arange(1000) + 0.5) / 1000  # equal steps are far from it
    assert abs(jump(alphas)[1].mean(axis=0).sum() - integrals.sum()) > 1e-4


def test_straight_lines_need_no_more_steps():
    integrals, points = integrate_adaptively(
        lambda x: (3 * x, np.full((len(x), 1), 3)), 4, 1e-9, 99
    )
    assert integrals == pytest.approx([3]) and points == 9


def test_a_gradient_that_is_wrong_ends_at_the_limit():
    asked = []

    def differentiate(alphas):
        asked.extend(alphas)
        return alphas, np.zeros((len(alphas), 2, 2))

    integrals, points = integrate_adaptively(differentiate, 9, 1e-3, 500)
    assert integrals.shape == (2, 2) and 500 <= points == len(asked) < 510
    assert len(set(asked)) == len(asked) and min(asked) == 0 and max(asked) == 1
