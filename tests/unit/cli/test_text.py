from __future__ import annotations

import io

import pytest

from lakemark.cli.text import columns, duration, number, paint, plain, size, table, terminal_width, uses_colour, wrap


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_columns_are_aligned_and_nothing_is_cut_without_a_width() -> None:
    lines = list(table(("RUN", "PARAMS"), [("a", "x" * 300), ("bbbb", "y")]))
    assert [line.rstrip() for line in lines] == ["RUN   PARAMS", "a     " + "x" * 300, "bbbb  y"]


def test_the_widest_columns_give_way_first() -> None:
    lines = list(table(("RUN", "A", "B"), [("4bf92f35", "a" * 50, "b" * 40)], width=50))
    assert all(columns(line) <= 50 for line in lines)
    assert lines[1].startswith("4bf92f35  aaaa")
    assert lines[1].count("…") == 2


def test_rigid_columns_are_not_cut_and_the_last_ones_go_where_there_is_no_room() -> None:
    rows = [("4bf92f35", "a" * 50, "b" * 40)]
    narrow = list(table(("RUN", "A", "B"), rows, width=24, rigid=("RUN",)))
    assert narrow[1] == "4bf92f35  aaaaa…  bbbbb…"
    narrower = list(table(("RUN", "A", "B"), rows, width=23, rigid=("RUN",)))
    assert narrower[1] == "4bf92f35  aaaaaaaaaaaa…"
    assert list(table(("RUN", "A", "B"), rows, width=5, rigid=("RUN",)))[1] == "4bf92f35"


def test_wide_letters_and_colours_do_not_break_the_columns() -> None:
    assert columns("東京") == 4
    assert columns("\x1b[31mred\x1b[0m") == 3
    lines = list(table(("NAME", "X"), [("東京", "1"), ("ab", "2")]))
    assert [columns(line.split("1")[0].split("2")[0]) for line in lines[1:]] == [6, 6]


def test_a_coloured_text_that_is_cut_ends_its_colour() -> None:
    lines = list(table(("STATUS", "X"), [("\x1b[31m" + "f" * 60 + "\x1b[0m", "1")], width=40))
    assert columns(lines[1]) <= 40
    assert lines[1].count("\x1b[") % 2 == 0


def test_what_could_move_the_cursor_is_written_out() -> None:
    assert plain("a\x1b[2J\r\nb") == "a\\x1b[2J\\r\\nb"
    assert plain("naïve 東京") == "naïve 東京"


def test_long_texts_are_broken_between_words() -> None:
    assert list(wrap("data", "one two three", indent=6, width=14)) == ["data  one two", "      three"]
    assert list(wrap("data", "x" * 30, indent=6, width=14)) == ["data  " + "x" * 30]


def test_numbers_as_people_read_them() -> None:
    assert [number(value) for value in (0.1, 1 / 3, 12, 1e-9, float("nan"), float("-inf"))] == [
        "0.1",
        "0.33333",
        "12",
        "1e-09",
        "NaN",
        "-inf",
    ]
    assert [size(count) for count in (0, 999, 1_000, 999_999, 5e12)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "1.0 MB",
        "5.0 TB",
    ]
    assert [duration(seconds) for seconds in (0, 59.94, 59.97, 60, 3_599.6, 7_322)] == [
        "0.0 s",
        "59.9 s",
        "1 min 0 s",
        "1 min 0 s",
        "1 h 0 min",
        "2 h 2 min",
    ]


def test_colours_are_for_terminals_that_want_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert paint("no", "red", stream=Terminal()) == "\x1b[31mno\x1b[0m"
    assert not uses_colour(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert paint("no", "red", stream=Terminal()) == "no"
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert not uses_colour(Terminal())


def test_the_width_is_that_of_columns_or_of_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr("sys.stdout", io.StringIO())
    assert terminal_width() is None
    monkeypatch.setenv("COLUMNS", "72")
    assert terminal_width() == 72
