"""A process that annotates is killed at any moment; what it accepted is there afterwards."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

KILLS = 50


@pytest.mark.skipif(sys.platform == "win32", reason="children are forked")
def test_what_was_accepted_before_a_kill_is_restored_exactly(tmp_path):
    script = Path(__file__).with_name("kills.py")
    command = [sys.executable, str(script), str(tmp_path), str(KILLS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    kills = [json.loads(line) for line in done.stdout.splitlines()]
    for kill in kills:
        sys.stdout.write("{kind}: {told} steps told, {found} accepts restored\n".format(**kill))
    assert all(kill["exact"] for kill in kills)
    assert sum(kill["kind"] == "at random" for kill in kills) == KILLS
    assert len({kill["told"] for kill in kills}) > 10
    assert {"before a sync", "before a rename", "in a half-written line"} <= {
        kill["kind"] for kill in kills
    }
