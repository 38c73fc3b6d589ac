# SPDX-License-Identifier: Apache-2.0
"""The folders and JSON files of a job."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Optional, Union

import pytest

from object2vec.errors import CustomerError, PlatformError
from object2vec.sagemaker.environment import CHANNELS, Environment, meant_channel

pytestmark = pytest.mark.own_way


def configure(base: Path, name: str, content: Any) -> None:
    folder = base / "input" / "config"
    folder.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, (str, bytes)) else json.dumps(content)
    (folder / f"{name}.json").write_bytes(text if isinstance(text, bytes) else text.encode())


def test_construction_neither_needs_nor_makes_anything(tmp_path: Path) -> None:
    environment = Environment(tmp_path / "nothing")
    assert environment.model_dir == tmp_path / "nothing" / "model"
    assert environment.channels == {}
    assert environment.ignored_channels == ()
    assert (environment.host, environment.hosts) == ("algo-1", ("algo-1",))
    assert os.listdir(tmp_path) == []


def test_the_default_base_is_sagemakers() -> None:
    environment = Environment()
    assert str(environment.hyperparameters_file) == "/opt/ml/input/config/hyperparameters.json"
    assert str(environment.failure_file) == "/opt/ml/output/failure"


def test_hyperparameters_come_as_the_file_has_them(tmp_path: Path) -> None:
    configure(tmp_path, "hyperparameters", '\ufeff{"enc_dim": "10", "epochs": 3}')
    assert Environment(tmp_path).read_hyperparameters() == {"enc_dim": "10", "epochs": 3}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "There is no file .*hyperparameters.json"),
        ("{", "hyperparameters.json is broken JSON"),
        ('{"learning_rate": NaN}', "hyperparameters.json is broken JSON"),
        ("[1]", "must hold one JSON object, found list"),
        ('{"epochs": 1, "epochs": 2}', '"epochs" twice in one object'),
        ('{"epochs": {"a": 1, "a": 2}}', '"a" twice in one object'),
        ("[" * 1000, "nested too deeply"),
        ('{"a": ' * 100_000, "nested too deeply"),
        ('{"epochs": "\\ud800"', "hyperparameters.json is broken JSON"),
        (b'{"epochs": "\xff"}', "is not UTF-8 text"),
    ],
    ids=lambda value: repr(value)[:50],
)
def test_a_bad_file_of_hyperparameters_is_the_customers(
    tmp_path: Path, content: Union[str, bytes, None], sentence: str
) -> None:
    if content is not None:
        configure(tmp_path, "hyperparameters", content)
    with pytest.raises(CustomerError, match=sentence):
        Environment(tmp_path).read_hyperparameters()


def test_channels_come_from_the_configuration(tmp_path: Path) -> None:
    configure(
        tmp_path,
        "inputdataconfig",
        {
            "validation": {"TrainingInputMode": "FastFile", "ContentType": ""},
            "train": {"TrainingInputMode": "File", "ContentType": "application/jsonlines"},
            "sm_drivers": {"TrainingInputMode": "Pipe"},
            "code": {"S3DistributionType": "FullyReplicated"},
        },
    )
    (tmp_path / "input" / "data" / "test").mkdir(parents=True)
    environment = Environment(tmp_path)
    assert list(environment.channels) == ["train", "validation"]
    assert environment.channels["train"].path == tmp_path / "input" / "data" / "train"
    assert environment.channels["train"].content_type == "application/jsonlines"
    assert environment.channels["validation"].content_type is None
    assert environment.ignored_channels == ("code", "sm_drivers")


def test_without_a_configuration_the_folders_are_the_channels(tmp_path: Path) -> None:
    data = tmp_path / "input" / "data"
    for name in ("train", "auxiliary", "extra", ".hidden"):
        (data / name).mkdir(parents=True)
    (data / "test").write_text("a file is no channel", encoding="utf-8")
    environment = Environment(tmp_path)
    assert list(environment.channels) == ["train", "auxiliary"]
    assert environment.ignored_channels == ("extra",)


@pytest.mark.parametrize(
    ("name", "channel"),
    [
        *[(name, "train") for name in ("training", "Train", "TRAINING", "train_data", "trian")],
        *[(name, "train") for name in ("training-2024", "trainset", "trn")],
        *[(name, "validation") for name in ("val", "valid", "Validation", "val_data", "validate")],
        *[(name, "validation") for name in ("dev", "dev-set", "eval", "vaildation", "evaluation")],
        *[(name, "test") for name in ("testing", "Test", "test_data", "tests")],
        *[(name, "auxiliary") for name in ("aux", "auxillary", "Auxiliary", "axuiliary")],
        *[(name, None) for name in ("code", "sm_drivers", "model", "extra", "values", "devices")],
        *[(name, None) for name in ("", "x" * 64, "config", "text", "output")],
    ],
)
def test_what_was_meant_by_another_name(name: str, channel: Optional[str]) -> None:
    assert meant_channel(name) == channel


def test_every_channel_is_meant_by_itself() -> None:
    assert [meant_channel(name) for name in CHANNELS] == list(CHANNELS)


@pytest.mark.parametrize("key", ["TrainingInputMode", "InputMode"])
def test_pipe_mode_is_refused(tmp_path: Path, key: str) -> None:
    configure(tmp_path, "inputdataconfig", {"train": {key: "Pipe"}})
    with pytest.raises(CustomerError, match=f"train channel has {key}=Pipe.*File mode only"):
        _ = Environment(tmp_path).channels


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"train": "File"}',
        '{"train": {}, "train": {}}',
        '{"../../etc": {}}',
        '{"..": {}}',
        json.dumps({"n" * 5000: {}}),
        json.dumps({"a\nb": {}}),
    ],
    ids=lambda value: repr(value)[:50],
)
def test_a_bad_channel_configuration_is_the_platforms(tmp_path: Path, content: str) -> None:
    configure(tmp_path, "inputdataconfig", content)
    with pytest.raises(PlatformError, match=r"inputdataconfig\.json"):
        _ = Environment(tmp_path).channels


def test_hosts_are_sorted(tmp_path: Path) -> None:
    configure(tmp_path, "resourceconfig", {"current_host": "algo-2", "hosts": ["algo-2", "algo-1"]})
    environment = Environment(tmp_path)
    assert (environment.host, environment.hosts) == ("algo-2", ("algo-1", "algo-2"))


@pytest.mark.parametrize(
    "content",
    [
        "no json",
        '{"hosts": "algo-1"}',
        '{"current_host": "a", "hosts": ["b"]}',
        '{"current_host": "a", "hosts": ["a", 1]}',
        '{"current_host": ["a"], "hosts": [["a"]]}',
        json.dumps({"current_host": "a\n#metrics", "hosts": ["a\n#metrics"]}),
        json.dumps({"current_host": "n" * 5000}),
    ],
    ids=lambda value: repr(value)[:50],
)
def test_a_bad_resource_configuration_is_the_platforms(tmp_path: Path, content: str) -> None:
    configure(tmp_path, "resourceconfig", content)
    with pytest.raises(PlatformError, match=r"resourceconfig\.json"):
        _ = Environment(tmp_path).host


def test_the_first_failure_is_kept(tmp_path: Path) -> None:
    environment = Environment(tmp_path)
    environment.write_failure("Customer Error: the first – ü")
    environment.write_failure("Algorithm Error: a later one")
    assert environment.failure_file.read_text("utf-8") == "Customer Error: the first – ü"
    assert os.listdir(environment.output_dir) == ["failure"]


def test_an_empty_failure_file_gives_no_reason_and_is_filled(tmp_path: Path) -> None:
    environment = Environment(tmp_path)
    environment.output_dir.mkdir()
    environment.failure_file.touch()
    environment.write_failure("Customer Error: why")
    assert environment.failure_file.read_text() == "Customer Error: why"


def test_a_failure_that_cannot_be_written_raises_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "output").write_text("a file in the folder's place")
    Environment(tmp_path).write_failure("Customer Error: why")
    assert "Cannot write" in caplog.text
