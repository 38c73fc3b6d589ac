# SPDX-License-Identifier: Apache-2.0
"""docs/moving.md and the tuning example run, and SageMaker would take what they send."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_aws import FakeAws
from service_rules import broken_rules, with_image

from object2vec.cli import main
from object2vec.sagemaker.algorithm import metric_definitions

TOP = Path(__file__).resolve().parents[1]
PAGE = (TOP / "docs" / "moving.md").read_text(encoding="utf-8")
EXAMPLE = TOP / "examples" / "sagemaker_tuning.py"
#: A Python with SageMaker's SDK.
SDK_PYTHON = os.environ.get("OBJECT2VEC_SDK_PYTHON", sys.executable)
YOURS = """\
account, region, bucket, version = "111111111111", "us-east-1", "my-bucket", "1.2.3"
role = "arn:aws:iam::111111111111:role/sagemaker"
"""
BUILT_IN_IMAGE = "382416733822.dkr.ecr.us-east-1.amazonaws.com/object2vec:1"
# The SDK sleeps half a minute before it asks whether an endpoint is up: here it only seems to.
NO_WAITING = """\
import time
clock, slept = time.time, []
time.sleep = slept.append
time.time = lambda: clock() + sum(slept)
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


PYTHON = blocks("python")
BEFORE, AFTER, SETTINGS, SDK, BOTO3, SDK_TUNING, BOTO3_TUNING, SDK_ALGORITHM = PYTHON
# The page's pairs: ratings of films by people, with the highest numbers that there are.
RATINGS = [
    {"label": stars, "in0": [person], "in1": [film]}
    for stars, person, film in [(5, 1, 1), (3, 943, 1682), (1, 20, 50), (4, 6, 1682)]
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder in which the page's commands ran."""
    command = f'object2vec() {{ "{sys.executable}" -m object2vec "$@"; }}\n'
    for block in blocks("sh"):
        done = subprocess.run(
            ["sh", "-ec", command + block], cwd=tmp_path, capture_output=True, text=True
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return tmp_path


@pytest.fixture
def aws() -> Iterator[FakeAws]:
    with FakeAws() as fake:
        yield fake


def run_python(
    aws: FakeAws, folder: Path, *arguments: str, python: str = sys.executable
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [python, *arguments],
        cwd=folder,
        env={
            **os.environ,
            **aws.environment,
            "SAGEMAKER_SUPPRESS_V2_WARNING": "1",
            "HOME": str(folder),
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def check_requests(aws: FakeAws, *created: str) -> None:
    """What was created, in this order, and nothing of it breaks a rule of the service."""
    assert [name for name, _ in aws.requests if name.startswith("Create")] == list(created)
    for operation, arguments in aws.requests:
        if operation not in ("DescribeLogStreams", "GetLogEvents"):
            assert broken_rules(operation, arguments) == []


def check_jobs(aws: FakeAws, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the jobs were given trains on the page's ratings and logs what is tuned for."""
    objectives = {metric["Name"]: metric["Regex"] for metric in metric_definitions()}
    jobs = [(job["HyperParameters"], "") for job in aws.of("CreateTrainingJob")]
    for tuning in aws.of("CreateHyperParameterTuningJob"):
        config = tuning["HyperParameterTuningJobConfig"]
        objective = config["HyperParameterTuningJobObjective"]["MetricName"]
        given = dict(tuning["TrainingJobDefinition"]["StaticHyperParameters"])
        for ranges in config["ParameterRanges"].values():
            given.update({item["Name"]: item["MinValue"] for item in ranges})
        jobs.append((given, objective))
    assert jobs
    for given, objective in jobs:
        log = train_on_ratings(given, folder, capsys)
        assert not objective or re.search(objectives[objective], log)


def train_on_ratings(
    given: dict[str, str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> str:
    """A training's log."""
    # Narrow and short, so that it takes a second.
    small = {**given, "epochs": "1", "enc_dim": "8", "mlp_dim": "8"}
    (folder / "given.json").write_text(json.dumps(small))
    pairs = folder / "ratings.jsonl"
    pairs.write_text("".join(json.dumps(pair) + "\n" for pair in RATINGS))
    command = ["train", "--train", pairs, "--validation", pairs, "--model-dir", folder / "model"]
    command += ["--log", "sagemaker"]
    code = main(list(map(str, [*command, "--hyperparameters", folder / "given.json"])))
    out = capsys.readouterr()
    assert code == 0, out.err
    return out.out + out.err


def test_every_job_of_the_page_has_the_same_hyperparameters() -> None:
    assert [block for block in PYTHON if "enc0_" in block] == [SETTINGS]
    for block in (SDK, BOTO3, SDK_ALGORITHM):
        assert "hyperparameters" in block
    names: dict[str, Any] = {}
    exec(SETTINGS, names)  # the page's own text
    command = next(block for block in blocks("sh") if "--tuning-job" in block)
    of_command = dict(re.findall(r"-p (\w+)=(\S+)", command))
    searched = set(re.findall(r"--search (\w+)", command))
    assert of_command == {
        name: str(value) for name, value in names["hyperparameters"].items() if name not in searched
    }


@pytest.mark.slow
def test_the_lines_with_boto3(
    aws: FakeAws, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_python(aws, folder, "-c", YOURS + AFTER + SETTINGS + BOTO3 + BOTO3_TUNING)
    check_requests(aws, "CreateTrainingJob", "CreateModel", "CreateHyperParameterTuningJob")
    (training,) = aws.of("CreateTrainingJob")
    image = training["AlgorithmSpecification"]["TrainingImage"]
    assert image.endswith(".dkr.ecr.us-east-1.amazonaws.com/object2vec:1.2.3")
    assert training["AlgorithmSpecification"]["MetricDefinitions"] == metric_definitions()
    (model,) = aws.of("CreateModel")
    assert model["PrimaryContainer"]["Image"] == image
    (tuning,) = aws.of("CreateHyperParameterTuningJob")
    definition = tuning["TrainingJobDefinition"]
    assert definition["AlgorithmSpecification"]["TrainingImage"] == image
    assert definition["InputDataConfig"] == training["InputDataConfig"]
    check_jobs(aws, folder, capsys)


@pytest.mark.image
def test_the_lines_with_the_sdk(
    aws: FakeAws, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = '    metric_definitions=json.loads(Path("metrics.json").read_text()),  # new\n'
    assert new in SDK
    before = BEFORE + SETTINGS + SDK.replace(new, "")
    after = AFTER + SDK + SDK_TUNING + SDK_ALGORITHM
    aws.answers["DescribeAlgorithm"] = with_image("repo/object2vec:1")
    program = NO_WAITING + YOURS + before + after
    run_python(aws, folder, "-c", program, python=SDK_PYTHON)
    jobs = (
        "CreateTrainingJob",
        "CreateModel",
        "CreateEndpointConfig",
        "CreateEndpoint",
        "CreateModel",
        "CreateTransformJob",
    )
    check_requests(
        aws, *jobs, *jobs, "CreateHyperParameterTuningJob", "CreateHyperParameterTuningJob"
    )
    for training, metrics in zip(aws.of("CreateTrainingJob"), ([], metric_definitions())):
        assert training["AlgorithmSpecification"].get("MetricDefinitions", []) == metrics
    tuning, of_algorithm = aws.of("CreateHyperParameterTuningJob")
    algorithm = of_algorithm["TrainingJobDefinition"]["AlgorithmSpecification"]
    assert algorithm["AlgorithmName"].endswith("111111111111:algorithm/object2vec")
    assert not {"MetricDefinitions", "TrainingImage"} & set(algorithm)
    # SageMaker adds it to each job.
    static = of_algorithm["TrainingJobDefinition"]["StaticHyperParameters"]
    assert len(static) > 30 and "_tuning_objective_metric" not in static
    algorithm = tuning["TrainingJobDefinition"]["AlgorithmSpecification"]
    assert algorithm["MetricDefinitions"] == metric_definitions()
    # Nothing changes but the image and the metrics.
    created = [json.dumps(plain(body)) for name, body in aws.requests if name.startswith("Create")]
    image = algorithm["TrainingImage"]
    for old, new in zip(created[: len(jobs)], created[len(jobs) :]):
        assert old.replace(BUILT_IN_IMAGE, image) == new
    assert sum(BUILT_IN_IMAGE in text for text in created) == 3
    check_jobs(aws, folder, capsys)


def plain(value: Any) -> Any:
    """A request without its metrics, and without the times in the names that the SDK makes."""
    if isinstance(value, dict):
        return {key: plain(value[key]) for key in sorted(value) if key != "MetricDefinitions"}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return re.sub(r"[-0-9]{20,}", "-time", value) if isinstance(value, str) else value


@pytest.mark.image
def test_the_tuning_example(aws: FakeAws, folder: Path) -> None:
    image = "222222222222.dkr.ecr.us-east-1.amazonaws.com/object2vec:gpu"
    options = ["--send", "--image", image, "--instance-type", "ml.g5.xlarge", "--jobs", "3"]
    program = (
        f"{NO_WAITING}import runpy, sys\n"
        "for options in ([], sys.argv[1:]):\n"
        f"    sys.argv = [{str(EXAMPLE)!r}, *options]\n"
        "    try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "    except SystemExit as end: assert end.code == 0\n"
        "    print('END', flush=True)\n"
    )
    done = run_python(aws, folder, "-c", program, *options, python=SDK_PYTHON)
    text, words, _ = done.stdout.split("END\n")
    shown = json.loads(text)
    assert broken_rules("CreateHyperParameterTuningJob", shown) == []
    config = shown["HyperParameterTuningJobConfig"]
    assert {
        kind: [item["Name"] for item in items]
        for kind, items in config["ParameterRanges"].items()
        if items
    } == {
        "IntegerParameterRanges": ["enc_dim", "mlp_dim"],
        "ContinuousParameterRanges": ["dropout", "learning_rate"],
    }
    static = shown["TrainingJobDefinition"]["StaticHyperParameters"]
    assert len(static) == 12 and static["mlp_layers"] == "1" and "learning_rate" not in static
    algorithm = shown["TrainingJobDefinition"]["AlgorithmSpecification"]
    assert algorithm["MetricDefinitions"] == metric_definitions()
    # Nothing was sent but by --send.
    check_requests(aws, "CreateHyperParameterTuningJob")
    assert words.splitlines()[-1] == "The best job is the-best."
    (sent,) = aws.of("CreateHyperParameterTuningJob")
    algorithm["TrainingImage"] = image
    config["ResourceLimits"]["MaxNumberOfTrainingJobs"] = 3
    resources = shown["TrainingJobDefinition"]["HyperParameterTuningResourceConfig"]
    resources["InstanceType"] = "ml.g5.xlarge"
    shown["HyperParameterTuningJobName"] = sent["HyperParameterTuningJobName"]
    assert sent == shown


@pytest.mark.slow
def test_the_original_model_is_refused_as_the_page_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "`model_algo-1`" in PAGE
    (tmp_path / "model_algo-1").write_bytes(b"\x00")
    assert main(["serve", "--model-dir", str(tmp_path)]) == 1
    (sentence,) = capsys.readouterr().err.splitlines()
    assert "model_algo-1" in sentence and "train again" in sentence
