"""Shapley values: the three laws that define them, and what happens where sets have no value."""

import itertools
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakemark._base.errors import InvalidInputError
from lakemark.reproduce.shapley import attribute

NAMES = ("data", "code", "params", "env")

Sets = dict[frozenset[str], float]


def subsets(names: tuple[str, ...]) -> list[frozenset[str]]:
    return [frozenset(chosen) for size in range(len(names) + 1) for chosen in itertools.combinations(names, size)]


@st.composite
def games(draw: st.DrawFn, most: int = 4, least: int = 1) -> tuple[tuple[str, ...], Sets]:
    names = NAMES[: draw(st.integers(least, most))]
    numbers = st.floats(-100, 100, allow_nan=False)
    return names, {members: draw(numbers) for members in subsets(names)}


@given(games())
def test_shares_sum_up_to_the_total(game: tuple[tuple[str, ...], Sets]) -> None:
    names, values = game
    result = attribute(values, names)
    total = values[frozenset(names)] - values[frozenset()]
    assert float(sum(result.shares.values())) == pytest.approx(total, abs=1e-9)
    assert float(result.total) == pytest.approx(total)


@given(games(most=3), st.floats(-5, 5))
def test_a_player_that_never_changes_anything_gets_nothing(game: tuple[tuple[str, ...], Sets], scale: float) -> None:
    names, values = game
    wider = values | {members | {"idle"}: value for members, value in values.items()}
    result = attribute(wider, (*names, "idle"))
    assert float(result.shares["idle",]) == pytest.approx(0, abs=1e-9)
    without = attribute(values, names)
    for name in names:
        assert float(result.shares[name,]) == pytest.approx(float(without.shares[name,]), abs=1e-9)


@given(games(least=2))
def test_players_that_do_the_same_get_the_same(game: tuple[tuple[str, ...], Sets]) -> None:
    names, values = game
    one, other = names[:2]
    swap = {one: other, other: one}
    even = {
        members: (value + values[frozenset(swap.get(name, name) for name in members)]) / 2
        for members, value in values.items()
    }
    result = attribute(even, names)
    assert float(result.shares[one,]) == pytest.approx(float(result.shares[other,]), abs=1e-9)


@given(games(least=2))
def test_interactions_of_two_players_are_what_is_left_beside_both(game: tuple[tuple[str, ...], Sets]) -> None:
    names, values = game
    pair = names[:2]
    two = {members: values[members] for members in subsets(pair)}
    result = attribute(two, pair)
    expected = two[frozenset(pair)] - two[frozenset(pair[:1])] - two[frozenset(pair[1:])] + two[frozenset()]
    assert float(result.interactions[(pair[0],), (pair[1],)]) == pytest.approx(expected, abs=1e-9)


def test_replicates_are_shared_out_each_for_itself() -> None:
    generator = np.random.default_rng(7)
    values = {members: generator.normal(size=5) for members in subsets(NAMES[:3])}
    together = attribute(values, NAMES[:3])
    for place in range(5):
        alone = attribute({members: float(value[place]) for members, value in values.items()}, NAMES[:3])
        for player, share in alone.shares.items():
            assert together.shares[player][place] == pytest.approx(float(share))


def test_only_orders_that_could_run_are_averaged_over() -> None:
    values: Sets = {frozenset(): 0.0, frozenset({"data"}): 1.0, frozenset({"data", "code"}): 5.0}
    result = attribute(values, ("data", "code"))
    assert {player: float(share) for player, share in result.shares.items()} == {("data",): 1.0, ("code",): 4.0}
    assert (result.orders, result.possible) == (1, 2)
    assert not result.interactions


def test_players_that_no_order_separates_are_taken_as_one() -> None:
    values: Sets = {
        frozenset(): 0.0,
        frozenset({"params"}): 2.0,
        frozenset({"data", "code"}): 3.0,
        frozenset({"data", "code", "params"}): 7.0,
    }
    result = attribute(values, ("data", "code", "params"))
    shares = {player: float(share) for player, share in result.shares.items()}
    assert shares == {("data", "code"): 4.0, ("params",): 3.0}
    assert float(result.interactions[("data", "code"), ("params",)]) == 2.0


def test_with_the_two_ends_alone_all_are_one_player() -> None:
    result = attribute({frozenset(): 1.0, frozenset(NAMES): 4.0}, NAMES)
    assert {player: float(share) for player, share in result.shares.items()} == {NAMES: 3.0}


@pytest.mark.parametrize("players", [(), (*NAMES, "luck"), ("data", "data")])
def test_a_wrong_number_of_players_is_refused(players: tuple[str, ...]) -> None:
    with pytest.raises(InvalidInputError, match="one to 4 different ones"):
        attribute({frozenset(players): 1.0}, players)


def test_a_missing_end_is_refused() -> None:
    with pytest.raises(InvalidInputError, match=re.escape("must both be there")):
        attribute({frozenset[str](): 0.0}, ("data",))
