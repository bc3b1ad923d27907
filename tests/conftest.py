"""What every test stands on: shapes checked at run time, no network, a home of its own, one thread."""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jaxtyping
import pytest

# Before anything of mezzotint is imported: every annotated shape is then checked at each call.
# An int will do for a float, as in PEP 484.
_HOOK = jaxtyping.install_import_hook(
    "mezzotint", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"
)

import torch  # noqa: E402

FASHION = Path("/usr/share/datasets/fashion-mnist")
LOOPBACK = ("127.0.0.1", "::1", "localhost")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite-golden", action="store_true", help="write the golden numbers anew, on purpose")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    named = os.environ.get("MEZZOTINT_DATA")
    fashion = FASHION.is_dir() or bool(named and any(Path(named).rglob("*train-images*")))
    for item in items:
        if "fashion" in item.keywords and not fashion:
            item.add_marker(pytest.mark.skip(reason="the Fashion-MNIST files are not on this machine"))
        if "gpu" in item.keywords and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="this machine has no GPU"))
    # The longest first, so that two processes end together.
    items.sort(key=lambda item: "test_every_block_runs" not in item.name)


TOGETHER = {
    f"tests/{name}.py"
    for name in (
        "test_arena",
        "test_audit",
        "test_compare",
        "test_latent",
        "test_measure",
        "test_model",
        "test_validity",
    )
} | {"tests/cli/test_edit.py", "tests/cli/test_forecast.py", "tests/training/test_kill.py"}
"""Files whose tests share what takes long to make: one process runs all of them, and makes it once."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Single tests to whichever process is free, but those of some files together (xdist's marks need its node ids)."""
    from xdist.scheduler import LoadScopeScheduling

    class Together(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return file if file in TOGETHER else nodeid

    return Together(config, log) if config.getvalue("dist") == "loadgroup" else None


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def no_network() -> Iterator[None]:
    """A connection to anywhere but this machine is an error, not a flaky test."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in LOOPBACK:
            raise AssertionError(f"a test wants to reach {address}")
        connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded)
        yield


@pytest.fixture(scope="session")
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Decoded pictures, shared by all tests of a session: decoding is not what they test."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session", autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, cache_folder: Path) -> Iterator[Path]:
    """No test reads or writes the home of who runs it."""
    place = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(place))
        patch.setenv("XDG_CACHE_HOME", str(place / ".cache"))
        patch.setenv("MEZZOTINT_CACHE", str(cache_folder))
        yield place


@pytest.fixture
def home(own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to be in, as a user who has just logged in."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def rewrite_golden(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--rewrite-golden"))


@pytest.fixture
def restore_threads() -> Iterator[Callable[[], None]]:
    """For tests whose code changes torch's thread count."""
    yield lambda: torch.set_num_threads(1)
    torch.set_num_threads(1)


class StopAfter(threading.Event):
    """Asks a training to stop after so many steps, as Ctrl-C does."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.left = steps

    def is_set(self) -> bool:
        self.left -= 1
        return self.left <= 0


STEADY = {"device": "cpu", "precision": "fp32", "channels_last": False, "threads": 1}
"""Execution without a probe: the same arithmetic each time."""


@pytest.fixture(scope="session")
def still(cache_folder: Path) -> Any:
    from mezzotint.data import dataset

    return dataset.load("digits", cache_folder=cache_folder)


@pytest.fixture(scope="session")
def digits(still: Any) -> Any:
    return still


@pytest.fixture(scope="session")
def moving(cache_folder: Path) -> Any:
    """Clips of six frames of 16×16 pixels."""
    from mezzotint.data import clips

    return clips.load("moving-digits", frames=6, cache_folder=cache_folder)


NARROW = {
    "convlstm-vae": ("method.network.core.width=8", "method.network.core.patch=2"),
    "flow-large": ("method.network.width=32",),
    "simvp": ("method.network.width=8", "method.network.hidden=16", "method.network.blocks=1"),
}
"""Settings that keep large networks small; those of the other ones for clips are the last line's."""
NARROW_CELLS = ("method.network.width=8", "method.network.patch=2")


@pytest.fixture
def data_of(digits: Any, moving: Any) -> Callable[[str], Any]:
    """What a recipe learns from."""
    from mezzotint import catalog

    return lambda name: moving if catalog.entry(name).clips else digits


@pytest.fixture(scope="session")
def make_recipe(still: Any, moving: Any) -> Callable[..., Any]:
    """A recipe of the catalog on digits: few pictures a batch, no probe, no milestones, a budget of pictures."""
    from mezzotint import catalog
    from mezzotint.recipe import Budget, Execution

    def make(name: str, *settings: str, steps: int = 4, batch: int = 16, **changes: Any) -> Any:
        from mezzotint.recipe import with_setting

        clips = catalog.entry(name).clips
        recipe = catalog.recipe(name, (moving if clips else still).spec, 1.0)
        recipe = replace(recipe, batch=batch, budget=Budget(images=steps * batch), execution=Execution(**STEADY))
        recipe = replace(recipe, **{"milestones": 0, **changes})
        for setting in (*NARROW.get(name, NARROW_CELLS if clips else ()), *settings):
            recipe = with_setting(recipe, setting, catalog.kinds())
        return recipe

    return make


@pytest.fixture(scope="session")
def train_in(still: Any, moving: Any) -> Callable[..., Any]:
    """Train a recipe in a folder (a new run there, or on with the old one), for so many steps or to its end."""
    from mezzotint import catalog
    from mezzotint.training import run as runs
    from mezzotint.training.loop import Training

    def train(folder: Path, recipe: Any = None, steps: int | None = None, dataset: Any = None) -> Any:
        known = recipe or runs.find(folder).recipe(catalog.kinds())
        data = dataset or (moving if catalog.entry(known.name).clips else still)
        run = runs.find(folder) if recipe is None else runs.begin(folder, recipe, data.spec, data.digest)
        training = Training(run, known, data, time.monotonic())
        for _ in training.steps(threading.Event() if steps is None else StopAfter(steps)):
            pass
        return training

    return train
