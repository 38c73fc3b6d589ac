# SPDX-License-Identifier: Apache-2.0
"""What all tests share: seeds that can be replayed, and the folder of the real data."""

from __future__ import annotations

import collections
import gc
import importlib
import os
import random
import secrets
import zlib
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, Optional

import hypothesis
import numpy as np
import pytest
from cpu_isas import ISAS, computing_with
from watchdog import Watchdog

SEED_VARIABLE = "OBJECT2VEC_TEST_SEED"
DATA_VARIABLE = "OBJECT2VEC_DATA"
COMPILED_VARIABLE = "OBJECT2VEC_COMPILED"
# No value that the variable may have: who asks for it ends with an error.
UNCHOSEN = "chosen by nobody"

# How long an example takes says more of the machine than of the code.
hypothesis.settings.register_profile(
    "tests", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("tests")

# Read when OpenMP is loaded, after this. Threads of several processes that spin for long take the
# cores from each other: a training took four times as long. It is what `own_process.tune` sets.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")

# To wait for the disk at each file protects from a loss of power, which no test can see. The
# processes that a test starts do wait.
os.fsync = lambda handle: None

# A base folder of the person who runs the tests is none of theirs.
os.environ.pop("OBJECT2VEC_BASE", None)


def pytest_configure(config: pytest.Config) -> None:
    given = os.environ.get(SEED_VARIABLE)
    try:
        config.stash[_RUN_SEED] = secrets.randbelow(2**31) if given is None else int(given)
    except ValueError:
        raise pytest.UsageError(f"{SEED_VARIABLE} is {given!r} and should be an integer.") from None
    # The processes that share out the tests take the same one.
    os.environ[SEED_VARIABLE] = str(config.stash[_RUN_SEED])


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, Any, Any]:
    """Spare the garbage collector half a million objects, all of which outlive the tests."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> Optional[bool]:
    """Watch a test; who chooses the method ``signal`` has pytest-timeout's own."""
    if settings.method != "thread":
        return None
    _WATCHDOG.watch(item, settings)
    return True


def pytest_timeout_cancel_timer() -> None:
    _WATCHDOG.rest()


def pytest_report_header(config: pytest.Config) -> str:
    return f"seed: {SEED_VARIABLE}={config.stash[_RUN_SEED]}"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what the compiled part's absence cannot change; put files that may take long first.

    A long file that is the last one leaves all processes but one without work.
    """
    if os.environ.get(COMPILED_VARIABLE) == "0":
        config.hook.pytest_deselected(items=[item for item in items if _is_of_own_way(item)])
        items[:] = [item for item in items if not _is_of_own_way(item)]
    seconds: dict[Path, float] = collections.defaultdict(float)
    for item in items:
        limit = item.get_closest_marker("timeout")
        is_slow = item.get_closest_marker("slow") is not None
        seconds[item.path] += limit.args[0] if limit else (10 if is_slow else 0.1)
    items.sort(key=lambda item: -seconds[item.path])


def _is_of_own_way(item: pytest.Item) -> bool:
    """Whether the file of a test is marked; a single test's fixtures may be those of others."""
    file = item.getparent(pytest.Module)
    return file is not None and any(mark.name == "own_way" for mark in file.own_markers)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    """Hold that the mark `own_way` is true, for whoever relied on the variable fails."""
    with pytest.MonkeyPatch.context() as patched:
        if _is_of_own_way(item):
            patched.setenv(COMPILED_VARIABLE, UNCHOSEN)
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    report = yield
    if report.failed and "seed" in getattr(item, "fixturenames", ()):
        run_seed = item.config.stash[_RUN_SEED]
        report.sections.append(("seed", f"replay with {SEED_VARIABLE}={run_seed}"))
    return report


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """A seed in [0, 2**31) that differs by run and by test, and seeds the global generators.

    The run's seed is printed at the start and with each failure; ``OBJECT2VEC_TEST_SEED`` replays
    it, for all tests or a single one.
    """
    text = f"{request.config.stash[_RUN_SEED]} {request.node.nodeid}"
    value = zlib.crc32(text.encode()) % 2**31
    random.seed(value)
    np.random.seed(value)
    return value


@pytest.fixture
def rng(seed: int) -> np.random.Generator:
    """NumPy's generator, started from ``seed``."""
    return np.random.default_rng(seed)


@pytest.fixture(params=ISAS)
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """The compiled part as on a CPU whose best is this; skipped where this CPU lacks it."""
    library = importlib.import_module("object2vec.compiled.kernels").library
    with computing_with(library, request.param):
        yield request.param


@pytest.fixture(params=[1, 2], ids=["one thread", "two threads"])
def threads(request: pytest.FixtureRequest) -> Iterator[None]:
    """How many threads the compiled part takes."""
    openmp = importlib.import_module("object2vec.backend.openmp")
    with openmp.threads_in_caller(request.param):
        yield


@pytest.fixture(scope="module")
def stars() -> Any:
    """An Object2Vec that predicts the numbers of `raw_rows`."""
    return importlib.import_module("raw_rows").stars_model()


@pytest.fixture(scope="module")
def liked() -> Any:
    """An Object2Vec that predicts the classes of `raw_rows`."""
    return importlib.import_module("raw_rows").liked_model()


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data sets, as ``OBJECT2VEC_DATA`` names it."""
    given = os.environ.get(DATA_VARIABLE, "")
    if given and Path(given).is_dir():
        return Path(given)
    problem = f"{given!r}, which is no folder" if given else "not set"
    reason = f"{DATA_VARIABLE} is {problem}: it should name the folder of the real data sets"
    if os.environ.get("CI", "").lower() in ("", "0", "false"):
        pytest.skip(reason)
    pytest.fail(f"{reason}, and under CI no test is skipped for lack of data.", pytrace=False)


_RUN_SEED = pytest.StashKey[int]()
_WATCHDOG = Watchdog()
