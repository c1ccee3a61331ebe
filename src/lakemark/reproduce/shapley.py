"""Shapley values of a few players: what each adds, averaged over the orders in which they may come.

Exact for up to four players. A set of players may have no value (a mixture that could not run); then only the orders
that pass through sets with values count, and players that no such order separates are taken as one.

References
----------
L. S. Shapley, A value for n-person games, 1953.
M. Grabisch and M. Roubens, An axiomatic approach to the concept of interaction among players, 1999.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import factorial
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from lakemark._base.errors import InvalidInputError

__all__ = ["Attribution", "Player", "Value", "attribute"]

Value: TypeAlias = NDArray[np.float64]
"""A number, or one number per bootstrap replicate: an array of any one shape."""

Player: TypeAlias = tuple[str, ...]
"""A factor, or several that could not be separated."""

_MOST = 4


@dataclass(frozen=True, slots=True)
class Attribution:
    """How the change from no player to all players is shared out.

    Parameters
    ----------
    shares : mapping of player to value
        The Shapley values; their sum is `total`.
    total : value
        The value of all players minus the value of none.
    interactions : mapping of pair of players to value
        The Shapley interaction index: positive where two do more together than each alone. A pair for which the sets
        that it takes have no values is not there.
    orders : int
        The orders that were averaged over.
    possible : int
        The orders that there are.
    """

    shares: Mapping[Player, Value]
    total: Value
    interactions: Mapping[tuple[Player, Player], Value]
    orders: int
    possible: int


def attribute(
    values: Mapping[frozenset[str], float] | Mapping[frozenset[str], Value], players: Sequence[str]
) -> Attribution:
    """Share out the change of a value over the players.

    Parameters
    ----------
    values : mapping of set of players to float or array
        The value of each set that has one; the empty set and the set of all must. Arrays must have one shape: each
        place in it is shared out for itself.
    players : sequence of str
        One to four of them.

    Returns
    -------
    Attribution

    Raises
    ------
    InvalidInputError
        If there are no players or more than four, or the empty or the full set has no value.

    Notes
    -----
    At most 4! orders over at most 15 ways to take players together.

    Examples
    --------
    >>> sets = {(): 1.0, ("data",): 2.0, ("params",): 1.5, ("data", "params"): 3.0}
    >>> result = attribute({frozenset(names): value for names, value in sets.items()}, ["data", "params"])
    >>> {player: float(share) for player, share in result.shares.items()}
    {('data',): 1.25, ('params',): 0.75}
    >>> float(result.interactions[("data",), ("params",)])
    0.5
    """
    _check(values, players)
    arrays = {members: np.asarray(value, dtype=np.float64) for members, value in values.items()}
    blocks, orders = _separate(arrays, players)
    shares = {block: np.zeros_like(arrays[frozenset()]) for block in blocks}
    for order in orders:
        before: frozenset[str] = frozenset()
        for block in order:
            after = before | set(block)
            shares[block] = shares[block] + (arrays[after] - arrays[before]) / len(orders)
            before = after
    return Attribution(
        shares=shares,
        total=arrays[frozenset(players)] - arrays[frozenset()],
        interactions=_interactions(arrays, blocks),
        orders=len(orders),
        possible=factorial(len(blocks)),
    )


def _check(values: Mapping[frozenset[str], float] | Mapping[frozenset[str], Value], players: Sequence[str]) -> None:
    if not 1 <= len(players) <= _MOST or len(set(players)) != len(players):
        raise InvalidInputError(f"players are {list(players)}: one to {_MOST} different ones are allowed")
    known = set(values)
    if frozenset() not in known or frozenset(players) not in known:
        raise InvalidInputError("the value of no player and the value of all players must both be there")


def _separate(
    arrays: Mapping[frozenset[str], Value], players: Sequence[str]
) -> tuple[tuple[Player, ...], list[tuple[Player, ...]]]:
    """Return the finest way to take players together that an order exists for, and its orders."""
    found: list[tuple[tuple[Player, ...], list[tuple[Player, ...]]]] = []
    for blocks in _partitions(tuple(players)):
        orders = [order for order in itertools.permutations(blocks) if _runs(arrays, order)]
        if orders:
            found.append((blocks, orders))
    return max(found, key=lambda pair: (len(pair[0]), len(pair[1])))


def _runs(arrays: Mapping[frozenset[str], Value], order: tuple[Player, ...]) -> bool:
    prefixes = itertools.accumulate(order, lambda before, block: before | set(block), initial=frozenset[str]())
    return all(prefix in arrays for prefix in prefixes)


def _partitions(players: Player) -> Iterator[tuple[Player, ...]]:
    """Yield all ways to split the players into groups, names in the order given."""
    if not players:
        yield ()
        return
    first, rest = players[0], players[1:]
    for blocks in _partitions(rest):
        yield ((first,), *blocks)
        for index, block in enumerate(blocks):
            yield ((first, *block), *blocks[:index], *blocks[index + 1 :])


def _interactions(
    arrays: Mapping[frozenset[str], Value], blocks: tuple[Player, ...]
) -> dict[tuple[Player, Player], Value]:
    found: dict[tuple[Player, Player], Value] = {}
    for one, other in itertools.combinations(blocks, 2):
        terms: list[tuple[float, Value]] = []
        others = [block for block in blocks if block not in (one, other)]
        for size in range(len(others) + 1):
            weight = factorial(size) * factorial(len(blocks) - size - 2) / factorial(len(blocks) - 1)
            for chosen in itertools.combinations(others, size):
                base = frozenset(itertools.chain.from_iterable(chosen))
                corners = (base, base | set(one), base | set(other), base | set(one) | set(other))
                if all(corner in arrays for corner in corners):
                    none, left, right, both = (arrays[corner] for corner in corners)
                    terms.append((weight, both - left - right + none))
        if terms:
            whole = sum(weight for weight, _ in terms)
            found[one, other] = np.sum([weight / whole * term for weight, term in terms], axis=0)
    return found
