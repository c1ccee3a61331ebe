"""Why a run could not be evaluated again: the stage and the reason of a verdict of level 0."""

from __future__ import annotations

from lakemark._base.errors import LakemarkError

__all__ = ["ReplayError"]


class ReplayError(LakemarkError):
    """A receipt's world could not be rebuilt, or its script failed in it.

    Parameters
    ----------
    stage : {"params", "code", "environment", "data", "run"}
        What was being done.
    reason : str
        What is not as it must be, with the name and the version of the thing.
    hint : str, optional
        How to get it back.
    """

    code = "could_not_run"

    def __init__(self, stage: str, reason: str, *, hint: str | None = None) -> None:
        super().__init__(f"{stage}: {reason}", hint=hint)
        self.stage = stage
        self.reason = reason
