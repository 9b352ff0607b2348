"""Batches of rows that are predicted several at a time."""

import threading

import pytest

from zoo.errors import UserError
from zoo.serving.rows.blocks import make_row
from zoo.serving.rows.row_log import RowLog
from zoo.serving.rows.row_predictions import predict_batches


def make_batches(count):
    rows = [make_row(str(n), n, {"n": n}, {}) for n in range(2 * count)]
    return [rows[start : start + 2] for start in range(0, len(rows), 2)]


def test_batches_are_in_flight_together_and_come_in_order():
    first_two = threading.Barrier(2, timeout=20)

    def predict(rows, log):
        if rows[0].shown < 4:
            first_two.wait()  # passes only if both are asked for before one is answered
        return [None if row.shown == 5 else row.shown * 10 for row in rows]

    log = RowLog(skip_bad_rows=True)
    batches = predict_batches(iter(make_batches(4)), predict, log, concurrency=2)
    found = [(row.shown, prediction) for pairs in batches for row, prediction in pairs]
    assert found == [(n, 10 * n) for n in range(8) if n != 5]


def test_rows_that_are_refused_are_logged_in_the_order_of_the_rows():
    second_is_done = threading.Event()

    def predict(rows, log):
        if rows[0].shown == 0:
            assert second_is_done.wait(20)
        log.report_bad_row(rows[0].place)
        second_is_done.set()
        return [None] * len(rows)

    log = RowLog(skip_bad_rows=True)
    # the first batch waits for the second one
    assert [*predict_batches(iter(make_batches(2)), predict, log, concurrency=2)] == [[], []]
    assert log.bad_rows == ["0", "2"]


def test_what_was_read_before_a_mistake_is_predicted():
    def read():
        yield from make_batches(3)
        raise UserError("line 7")

    found = []
    with pytest.raises(UserError, match="line 7"):
        for pairs in predict_batches(read(), lambda rows, _: [1] * len(rows), RowLog(), 4):
            found += pairs
    assert [row.shown for row, _ in found] == [0, 1, 2, 3, 4, 5]


def test_no_batch_is_asked_for_after_one_that_failed():
    asked = []

    def predict(rows, log):
        asked.append(rows[0].shown)
        raise UserError("refused")

    with pytest.raises(UserError, match="refused"):
        [*predict_batches(iter(make_batches(9)), predict, RowLog(), concurrency=1)]
    assert asked == [0]
