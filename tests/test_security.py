"""What the README's SECURITY section promises: read from the source of the package, and watched in a run."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import relight_eval

HOUSE = Path(relight_eval.__file__).parent
SAMPLES = Path(__file__).parent.parent / "sample_images"
TREES = {
    str(file.relative_to(HOUSE).as_posix()): ast.parse(file.read_text(encoding="utf-8"))
    for file in sorted(HOUSE.rglob("*.py"))
}


def modules(tree: ast.AST) -> Iterator[str]:
    """What is imported anywhere in it: `a.b` for `import a.b`, `a` and `a.b` for `from a import b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def importers(*names: str) -> set[str]:
    """The files that import one of these modules, or something of them."""
    return {
        file
        for file, tree in TREES.items()
        if any(module == name or module.startswith(f"{name}.") for module in modules(tree) for name in names)
    }


CALLS = [
    (file, ast.unparse(node.func), node)
    for file, tree in TREES.items()
    for node in ast.walk(tree)
    if isinstance(node, ast.Call)
]


def calls(*endings: str) -> list[tuple[str, str, ast.Call]]:
    """(file, function as it is written, call) of functions of these names: `load` finds `np.load(a)` and `load(a)`."""
    return [found for found in CALLS if any(f".{found[1]}".endswith(f".{ending}") for ending in endings)]


def callers(*endings: str) -> set[tuple[str, str]]:
    """(file, function as it is written) of the same."""
    return {(file, called) for file, called, _ in calls(*endings)}


def keyword(call: ast.Call, name: str) -> object:
    """The literal that a call passes by this name; None when it passes none."""
    return next((ast.literal_eval(word.value) for word in call.keywords if word.arg == name), None)


class TestSource:
    def test_no_serialisation_that_runs_code(self) -> None:
        unsafe = (
            "pickle", "_pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "dbm", "yaml",
            "multiprocessing", "concurrent.futures.ProcessPoolExecutor", "concurrent.futures.process", "code", "codeop",
            "xmlrpc",
        )  # fmt: skip
        assert importers(*unsafe) == set()
        assert callers("read_pickle", "to_pickle", "ProcessPoolExecutor") == set()

    def test_nothing_is_run_as_code(self) -> None:
        builtin = {found for found in callers("eval", "exec", "compile", "__import__") if "." not in found[1]}
        assert builtin == set()
        imported = {file for file, _ in callers("import_module", "find_spec", "spec_from_file_location", "run_path")}
        assert imported == {"doctor/program.py"}  # what relight-eval's own metadata declare

    def test_no_shell_and_other_programs_only_to_decode(self) -> None:
        assert importers("subprocess") <= {"decoding/apart.py"}
        assert importers("pty", "popen2", "commands", "asyncio") == set()
        starting = (
            "system",
            "popen",
            "execv",
            "execve",
            "execvp",
            "spawnv",
            "spawnl",
            "posix_spawn",
            "startfile",
            "fork",
        )
        assert {found for found in callers(*starting) if found[1] != "platform.system"} == set()
        words = {node.arg for tree in TREES.values() for node in ast.walk(tree) if isinstance(node, ast.keyword)}
        assert "shell" not in words

    def test_checkpoints_are_read_as_weights_only(self) -> None:
        loads = [call for _, _, call in calls("torch.load")]
        assert loads
        assert all(keyword(call, "weights_only") is True for call in loads)
        assert importers("torch.load", "torch.hub", "torch.jit", "torch.serialization", "torchvision.models") == set()
        assert callers("load_state_dict_from_url", "jit.load", "hub.load") == set()

    def test_arrays_are_read_without_pickle(self) -> None:
        for file, name, call in calls("load", "read_array", "open_memmap", "fromregex"):
            if name.split(".")[0] in ("np", "numpy", "format"):
                assert keyword(call, "allow_pickle") is False, f"{file}: {ast.unparse(call)}"
        assert importers("numpy.load") == set()

    def test_the_network_is_reached_in_one_place_from_one_place(self) -> None:
        network = (
            "socket", "ssl", "http", "urllib.request", "urllib.error", "ftplib", "requests", "urllib3", "aiohttp",
            "httpx", "socketserver", "smtplib", "webbrowser", "huggingface_hub",
        )  # fmt: skip
        connecting = {file for file in importers(*network) if not asks_only_for_the_name_of_the_host(TREES[file])}
        # (session asks whether a cluster answers, and remote says how long a web server may be silent.)
        assert connecting == {"downloads.py", "engines/ray/session.py", "places/remote.py"}
        assert importers("relight_eval.downloads") == {"weights.py"}
        fetching = {file for file, _ in callers("fetch", "_fetched", "download") if not file.startswith("places/")}
        assert fetching <= {"weights.py", "cli/weights.py"}
        assert [url for tree in TREES.values() for url in addresses(tree, "http://")] == ["http://www.w3.org/2000/svg"]

    def test_ray_which_pickles_is_reached_from_the_engine_alone(self) -> None:
        assert importers("ray") == {f"engines/ray/{file}.py" for file in ("__init__", "session", "team")}
        own = importers("relight_eval.engines.ray")
        assert own <= {"engines/__init__.py", *(file for file in TREES if file.startswith("engines/ray/"))}

    def test_stores_are_reached_from_places_alone(self) -> None:
        assert importers("fsspec", "s3fs", "gcsfs", "boto3", "botocore", "aiobotocore") == {"places/remote.py"}
        own = importers("relight_eval.places.remote", "relight_eval.places.archives")
        assert {file.partition("/")[0] for file in own} == {"places"}

    def test_trackers_are_reached_from_their_files_alone(self) -> None:
        for name in ("tensorboard", "mlflow", "wandb"):
            assert importers(name) == {f"trackers/{name}.py"}
        assert importers("relight_eval.trackers") <= {
            *("trackers/__init__.py", "trackers/tensorboard.py", "trackers/mlflow.py", "trackers/wandb.py"),
            *("trackers/entry.py", "cli/looking.py", "cli/tracking.py"),
        }

    def test_temporary_files_cannot_be_foreseen(self) -> None:
        assert callers("mktemp", "tmpnam", "tempnam") == set()

    def test_pages_escape_what_they_are_given(self) -> None:
        environments = calls("Environment")
        assert {file for file, _, _ in environments} == {"reports/html.py"}
        assert all(keyword(call, "autoescape") is True for _, _, call in environments)
        assert callers("Template", "from_string") == set()

    def test_xml_is_written_and_never_read(self) -> None:
        assert importers("lxml", "xml.sax", "xml.dom", "xml.parsers") == set()
        assert importers("xml") <= {"reports/junit.py"}
        assert (
            callers("ET.parse", "ET.fromstring", "ET.XML", "iterparse", "XMLParser", "read_xml", "read_html") == set()
        )


def asks_only_for_the_name_of_the_host(tree: ast.AST) -> bool:
    used = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    return {name for name in used if name.startswith("socket.")} == {"socket.gethostname"}


def addresses(tree: ast.AST, scheme: str) -> Iterator[str]:
    """The addresses of this scheme that stand in its texts, docstrings aside as they are no use to a program."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and scheme in node.value:
            yield node.value[node.value.index(scheme) :].split('"')[0]


# Runs first in every Python process of the run (that of the decoders, too) and ends it when it does what is forbidden.
WATCH = """
import os, sys
FORBIDDEN = {"pickle.find_class", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.startfile",
             "webbrowser.open", "urllib.Request", "ftplib.connect", "http.client.connect"}
def expected(words):  # the decoders' process; and where torch is imported, ctypes asks the system for a library
    frame = sys._getframe()
    while frame and not frame.f_code.co_filename.endswith(os.path.join("ctypes", "util.py")):
        frame = frame.f_back
    return frame is not None or "relight_eval.decoding.worker" in words
def watch(event, args):
    network = event.startswith("socket.") and event not in ("socket.__new__", "socket.gethostname")
    if event in FORBIDDEN or network or (event == "subprocess.Popen" and not expected(args[1])):
        os.write(2, f"FORBIDDEN {event} {args!r}\\n".encode())
        os._exit(99)
sys.addaudithook(watch)
"""


@pytest.fixture
def watched(tmp_path: Path, empty_home: Path) -> dict[str, str]:
    """An environment in which a Python process ends with 99 when it touches the network, a shell or a pickle."""
    (tmp_path / "watch").mkdir()
    (tmp_path / "watch" / "sitecustomize.py").write_text(WATCH, encoding="utf-8")
    return {**os.environ, "PYTHONPATH": str(tmp_path / "watch"), "COLUMNS": "80"}


class TestRun:
    @pytest.mark.parametrize(
        "code",
        [
            "import socket; socket.create_connection(('127.0.0.1', 9))",
            "import socket; socket.getaddrinfo('localhost', 80)",
            "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9')",
            "import os; os.system('true')",
            "import subprocess; subprocess.run(['true'])",
            "import pickle; pickle.loads(b'cos\\nsystem\\n.')",
        ],
    )
    def test_the_watch_sees(self, watched: dict[str, str], code: str) -> None:
        ran = subprocess.run([sys.executable, "-c", code], env=watched, capture_output=True, text=True)
        assert ran.returncode == 99
        assert ran.stderr.startswith("FORBIDDEN ")

    @pytest.mark.parametrize(
        "words",
        [
            ("score", SAMPLES / "prediction", SAMPLES / "target", "--glob", "01*", "--offline", "--html", "a.html"),
            ("doctor", "--device", "cpu"),
        ],
        ids=["score", "doctor"],
    )
    def test_no_network_no_shell_no_pickle(
        self, watched: dict[str, str], tmp_path: Path, words: tuple[object, ...]
    ) -> None:
        program = [sys.executable, "-m", "relight_eval", *map(str, words)]
        ran = subprocess.run(program, env=watched, cwd=tmp_path, capture_output=True, text=True)
        assert "FORBIDDEN" not in ran.stdout + ran.stderr
        assert ran.returncode == 0, ran.stdout + ran.stderr
