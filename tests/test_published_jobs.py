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


def documents(data_dir: Path, name: str, ids: dict[str, int], limit: int) -> list[Record]:
    """A random sentence of each article beside the others, as the published notebook has it."""
    records = []
    with gzip.open(data_dir / "wikipedia" / name, "rt", encoding="utf-8") as lines:
        for number, line in zip(range(limit), lines):
            sentences = line.rstrip("\n").split("\t")
            chosen = number % len(sentences)
            rest = [s for place, s in enumerate(sentences) if place != chosen]
            in0, in1 = (
                [ids.setdefault(word, len(ids)) for word in text.lower().split()]
                for text in (sentences[chosen], " ".join(rest))
            )
            records.append({"label": 1, "in0": in0, "in1": in1})
    return records


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


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_movielens_recommendation(data_dir: Path, tmp_path: Path) -> None:
    write_channel(tmp_path, "train", movielens(data_dir, "ua.base", lambda r: int(r > 3)))
    write_channel(tmp_path, "validation", movielens(data_dir, "ua.test", lambda r: int(r > 3)))
    log = run_job(tmp_path, {**PUBLISHED["movielens_recommendation"], "_seed": 1, "epochs": 8})
    losses, accuracies = (
        values(log, f"validation {name}") for name in ("cross_entropy", "accuracy")
    )
    print("validation cross_entropy", losses, "accuracy", accuracies)
    assert min(losses) <= 0.575
    assert max(accuracies) >= 0.70


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_document_embedding(data_dir: Path, tmp_path: Path) -> None:
    ids: dict[str, int] = collections.OrderedDict()
    train = documents(data_dir, "train.txt.gz", ids, 4000)
    dev = documents(data_dir, "dev.txt.gz", ids, 500)
    vocab_size = int(PUBLISHED["document_embedding"]["enc0_vocab_size"])
    assert len(ids) <= vocab_size
    write_channel(tmp_path, "train", train)
    negatives = [
        {"label": 0, "in0": one["in0"], "in1": other["in1"]}
        for one, other in zip(dev, dev[1:] + dev[:1])
    ]
    write_channel(tmp_path, "validation", [*dev, *negatives])
    log = run_job(tmp_path, {**PUBLISHED["document_embedding"], "_seed": 1, "epochs": 4})
    accuracies = values(log, "validation accuracy")
    print("validation accuracy", accuracies)
    assert max(accuracies) >= 0.75
