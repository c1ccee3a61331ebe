import re
from pathlib import Path

import pytest

from lakemark.capture.workspace import Workspace
from lakemark.config.home import create_home
from lakemark.config.settings import Settings
from lakemark.reproduce.failures import ReplayError
from lakemark.reproduce.replay import Replays
from lakemark.tracking.records import RunKind


def test_a_mixture_does_not_take_an_environment_whose_packages_were_edited(tmp_path: Path) -> None:
    home = create_home(tmp_path)
    replays = Replays(Workspace(home, Settings(home.path)), RunKind.COUNTERFACTUAL)
    edited = {"env": {"packages": [{"name": "six", "version": "1.16.0", "modified": ["six.py"]}]}}
    with pytest.raises(ReplayError, match=re.escape("installed files of six were edited")):
        replays.evaluate(edited, name="cell", parent_run_id="a")
