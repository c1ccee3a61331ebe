"""What holds for every test: no settings, home folder or git identity of the person who runs it enter."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from tests.s3 import s3, s3_server

__all__ = ["s3", "s3_server", "surroundings"]

# how long an example takes says nothing on a busy machine
settings.register_profile("lakemark", deadline=None)
settings.load_profile("lakemark")


@pytest.fixture(scope="session", autouse=True)
def surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Give the session an empty home folder, a git identity, and no settings of Lakemark."""
    with pytest.MonkeyPatch.context() as patch:
        # downloads stay in the user's cache: environments are rebuilt from it without the network
        cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
        patch.setenv("UV_CACHE_DIR", os.environ.get("UV_CACHE_DIR", str(cache / "uv")))
        for name in [name for name in os.environ if name.startswith(("LAKEMARK_", "GIT_", "XDG_"))]:
            if name != "GIT_SSL_CAINFO":
                patch.delenv(name)
        # parallel workers are given the width of the terminal, which would cut what commands print
        for name in ("COLUMNS", "LINES", "NO_COLOR", "PYTHONHASHSEED", "PYTHONPATH"):
            patch.delenv(name, raising=False)
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
        patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        for role in ("AUTHOR", "COMMITTER"):
            patch.setenv(f"GIT_{role}_NAME", "Ada")
            patch.setenv(f"GIT_{role}_EMAIL", "ada@example.org")
        yield
