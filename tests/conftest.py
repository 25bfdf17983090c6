"""One thread, and a home of its own: what every test can rely on. Imports nothing heavy."""

from __future__ import annotations

import os
import sys

import pytest

# Read when torch is imported: threads that spin at a barrier cost more than they bring on a shared machine.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
os.environ["COLUMNS"] = "110"  # lines are wrapped in one place, whoever started the tests


@pytest.fixture(scope="session", autouse=True)
def _home_of_its_own(tmp_path_factory):
    """No test reads or writes the user's cache; child processes inherit it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHANSWAP_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(autouse=True)
def _one_thread():
    """torch in one thread, also where a plugin imported it before this file was read. Without torch: nothing."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)
