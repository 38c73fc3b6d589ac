# SPDX-License-Identifier: Apache-2.0
"""The published hyperparameter sets train on real data, through the command line."""

from __future__ import annotations

import collections
import gzip
import json
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

PUBLISHED = json.loads(
    (Path(__file__).parent / "data" / "published_hyperparameters.json").read_text(encoding="utf-8")
)
Record = dict[str, Any]


def write_channel(base: Path, channel: str, records: Iterable[Record]) -> None:
    folder = base / "input" / "data" / channel
    folder.mkdir(parents=True)
    lines = (json.dumps(record) + "\n" for record in records)
    (folder / "part-0.jsonl").write_text("".join(lines), encoding="utf-8")


def run_job(base: Path, hyperparameters: dict[str, Any]) -> str:
    """Train under SageMaker's contract, every value a string, and give the log."""
    config = base / "input" / "config"
    config.mkdir(parents=True)
    strings = {name: str(value) for name, value in hyperparameters.items()}
    (config / "hyperparameters.json").write_text(json.dumps(strings), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "object2vec", "train", "--base", str(base)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert (base / "model" / "model.json").is_file()
    return done.stdout + done.stderr


def values(log: str, metric: str) -> list[float]:
    """The values of a metric, one an epoch."""
    return [float(value) for value in re.findall(rf"{metric} <\w+>=(\S+)", log)]


def movielens(data_dir: Path, name: str, label: Any) -> list[Record]:
    rows = (line.split("\t") for line in (data_dir / "ml-100k" / name).read_text().splitlines())
    return [
        {"label": label(int(rating)), "in0": [int(user)], "in1": [int(film)]}
        for user, film, rating, _ in rows
    ]


def documents(data_dir: Path, name: str, pairs: int) -> list[tuple[list[str], list[str]]]:
    """Sentences of each article, each beside the article without it, as published."""
    found = []
    with gzip.open(data_dir / "wikipedia" / name, "rt", encoding="utf-8") as lines:
        for line in lines:
            sentences = [re.findall(r"\w+", text.lower()) for text in line.split("\t")]
            for chosen in range(0, pairs):
                rest = sentences[:chosen] + sentences[chosen + 1 :]
                found.append((sentences[chosen], [word for text in rest for word in text]))
    return found


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_movielens_rating(data_dir: Path, tmp_path: Path) -> None:
    write_channel(tmp_path, "train", movielens(data_dir, "ua.base", int))
    write_channel(tmp_path, "validation", movielens(data_dir, "ua.test", int))
    log = run_job(tmp_path, {**PUBLISHED["movielens_rating"], "_seed": 1})
    losses = values(log, "validation mean_squared_error")
    print("validation mean_squared_error", losses)
    assert min(losses[:7]) <= 0.945
    assert "Early stopping criterion met!" in log


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("epochs", "most_loss", "least_accuracy"),
    [
        # two threads add up in no fixed order: the short run leaves room for that
        (1, 0.595, 0.68),
        (4, 0.575, 0.70),
    ],
)
def test_movielens_recommendation(
    data_dir: Path, tmp_path: Path, epochs: int, most_loss: float, least_accuracy: float
) -> None:
    write_channel(tmp_path, "train", movielens(data_dir, "ua.base", lambda r: int(r > 3)))
    write_channel(tmp_path, "validation", movielens(data_dir, "ua.test", lambda r: int(r > 3)))
    log = run_job(tmp_path, {**PUBLISHED["movielens_recommendation"], "_seed": 1, "epochs": epochs})
    losses, accuracies = (
        values(log, f"validation {name}") for name in ("cross_entropy", "accuracy")
    )
    print("validation cross_entropy", losses, "accuracy", accuracies)
    assert min(losses) <= most_loss
    assert max(accuracies) >= least_accuracy


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_document_embedding(data_dir: Path, tmp_path: Path) -> None:
    hyperparameters = PUBLISHED["document_embedding"]
    train = documents(data_dir, "train.txt.gz", 3)
    dev = documents(data_dir, "dev.txt.gz", 1)
    counts = collections.Counter(word for pair in train for text in pair for word in text[:50])
    common = counts.most_common(int(hyperparameters["enc0_vocab_size"]))
    ids = {word: number for number, (word, count) in enumerate(common) if count > 1}

    def record(label: int, in0: list[str], in1: list[str]) -> Record:
        known = ([ids[word] for word in text if word in ids] for text in (in0, in1))
        return {"label": label, **dict(zip(("in0", "in1"), known))}

    write_channel(tmp_path, "train", (record(1, *pair) for pair in train))
    others = dev[1:] + dev[:1]
    positives = [record(1, *pair) for pair in dev]
    negatives = [record(0, pair[0], other[1]) for pair, other in zip(dev, others)]
    write_channel(tmp_path, "validation", [*positives, *negatives])
    log = run_job(tmp_path, {**hyperparameters, "_seed": 1, "epochs": 2})
    accuracies = values(log, "validation accuracy")
    print("validation accuracy", accuracies, re.findall(r"throughput=(\S+)", log))
    assert max(accuracies) >= 0.75
