"""One thread, and a home of its own: what every test can rely on. Imports nothing heavy."""

from __future__ import annotations

import os
import sys

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is slow, and says nothing of the code.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
# Read when torch is imported: threads that spin at a barrier cost more than they bring on a shared machine.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
os.environ["COLUMNS"] = "110"  # lines are wrapped in one place, whoever started the tests
# Files that take minutes go first: at the end of a run one process would work at them alone.
LONG = (
    "sweep",
    "outside",
    "run",
    "methods",
    "sweep_engines",
    "task_check",
    "run_heads",
    "cost",
    "train",
    "faults",
    "search_page",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    place = {f"test_{name}.py": k for k, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path.name, len(LONG)))  # stable: the others stay in their order


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


@pytest.fixture(autouse=True)
def _methods_of_the_suite_alone():
    """A method that a test loads from a file is in no registry for the tests after it."""
    yield
    if catalog := sys.modules.get("benchmarks.catalog"):
        for name in list(catalog.METHODS._origins):
            del catalog.METHODS._entries[name], catalog.METHODS._origins[name]
