"""Conditions on rows, in the form that files and row groups are left out by."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow.compute as pc

__all__ = ["Condition", "Predicate"]


@dataclass(frozen=True, slots=True)
class Condition:
    """One of the parts that must all be true.

    Parameters
    ----------
    expression : pyarrow.compute.Expression
        What must be true.
    columns : frozenset of str
        The columns that it speaks of.
    """

    expression: pc.Expression
    columns: frozenset[str]


@dataclass(frozen=True, slots=True)
class Predicate:
    """A condition on rows.

    Parameters
    ----------
    expression : pyarrow.compute.Expression
        What must be true of a row.
    conditions : tuple of Condition
        Its parts that are joined by `and`.
    """

    expression: pc.Expression
    conditions: tuple[Condition, ...]

    @property
    def columns(self) -> frozenset[str]:
        """The columns that it speaks of."""
        return frozenset().union(*(condition.columns for condition in self.conditions))
