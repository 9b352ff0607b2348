"""Dates of tables: their forms, and the parsers in Python and in the graph."""

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from zoo.data.tables.cells import STRING
from zoo.data.tables.date_forms import DATE_FORMATS, are_dates, format_days
from zoo.data.tables.dates import parse_dates

TIMES = ("", " %H:%M", "T%H:%M:%S", " %I:%M %p", ", %I:%M:%S%p")
MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "x"]


def parse(texts, date_format):
    return parse_dates(tf.constant(np.asarray(texts, object)), date_format)


@pytest.mark.parametrize("date_format", DATE_FORMATS)
def test_dates_are_parsed_as_pandas_does_it(date_format):
    # two digits of a year are of 1969 to 2068
    low, high = (0, 3e9) if "%y" in date_format else (-5e9, 5e9)
    stamps = pd.to_datetime(np.random.default_rng(0).integers(low, high, 60), unit="s")
    for time in TIMES:
        form = date_format + time
        if date_format == "%H:%M":
            form = time.strip(" ,T") or date_format
        texts = stamps.strftime(form)
        expected = pd.to_datetime(texts, format=form)
        if date_format == "%H:%M":
            expected -= pd.Timestamp("1900-01-01") - pd.Timestamp(0)
        seconds = (expected - pd.Timestamp(0)).total_seconds()
        for written in (texts, texts.str.upper()):
            days, month = parse(written, date_format)
            np.testing.assert_allclose(days, seconds / 86_400, atol=1e-8)
            np.testing.assert_array_equal(month, expected.month - 1)
            assert are_dates(pd.Series(written), date_format).all()


@pytest.mark.parametrize("date_format", [x for x in DATE_FORMATS if "%d" in x])
def test_all_days_and_no_others_are_dates(date_format):
    every = pd.date_range("1999-12-01", "2004-04-01").strftime(date_format)
    assert not np.isnan(parse(every, date_format)[0]).any()
    wrong = ["", "x", "2020-13-41", "2020010", "10.0.0.1", "12 Janu 2024", "\u0661/1/2020"]
    for day, month, year in [
        (30, 2, 2024),
        (29, 2, 2023),
        (31, 11, 2024),
        (0, 1, 2024),
        (1, 13, 20),
    ]:
        parts = {"d": f"{day:02}", "m": f"{month:02}", "Y": f"{year:04}", "y": f"{year % 100:02}"}
        parts["b"] = MONTHS[month - 1]
        text = date_format
        for letter, part in parts.items():
            text = text.replace(f"%{letter}", part)
        wrong.append(text)
    first = every[0]
    wrong += [f"{first} {time}" for time in ("24:01", "9:60", "13:00 PM", "0:30 am", "7", "7:5")]
    assert np.isnan(parse(wrong, date_format)[0]).all()
    assert not are_dates(pd.Series(wrong, dtype=STRING), date_format).any()


@pytest.mark.parametrize(
    ("text", "date_format", "time"),
    [
        ("3:05 PM", "%H:%M", "1970-01-01 15:05"),
        ("03:05:10 am", "%H:%M", "1970-01-01 03:05:10"),
        ("12 a.m.", "%H:%M", "1970-01-01"),
        ("12:30 PM", "%H:%M", "1970-01-01 12:30"),
        ("Mon, 12 Jan 2024 10:00:00 GMT", "%d %b %Y", "2024-01-12 10:00"),
        ("12/Jan/2024:10:00:00 +0100", "%d %b %Y", "2024-01-12 09:00"),
        ("12Jan2024", "%d %b %Y", "2024-01-12"),
        ("September 3rd, 2024", "%b %d, %Y", "2024-09-03"),
        ("jan. 12 2024 3 PM -0200", "%b %d, %Y", "2024-01-12 17:00"),
        ("12-JAN-69", "%d %b %y", "1969-01-12"),
        ("12-JAN-68", "%d %b %y", "2068-01-12"),
        ("May 2024", "%b %Y", "2024-05-01"),
        ("20240229", "%Y%m%d", "2024-02-29"),
        ("2024-01-31 24:00", "%Y-%m-%d", "2024-02-01"),
    ],
)
def test_dates_as_people_write_them(text, date_format, time):
    days, month = parse([text], date_format)
    assert pd.to_datetime(days.numpy(), unit="D").round("s")[0] == pd.Timestamp(time)
    assert month[0] == pd.Timestamp(time).month - 1
    assert are_dates(pd.Series([text]), date_format).all()


def test_what_is_missing_is_no_date():
    assert are_dates(pd.Series(["2024-01-01", None]), "%Y-%m-%d").tolist() == [True, False]


def test_the_time_of_the_day_is_kept_where_a_form_has_no_date():
    assert format_days(np.array([0.75]), "%H:%M").tolist() == ["18:00"]
    assert format_days(np.array([0.75]), "%Y-%m-%d").tolist() == ["1970-01-02"]
