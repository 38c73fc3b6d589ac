# SPDX-License-Identifier: Apache-2.0
"""What reports hold, and how they come about: from Python, by command, after a training."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from parsed_report import Parsed

from object2vec import CustomerError, Object2Vec, Tuning
from object2vec.cli.command_line import main
from object2vec.demo.ratings import generate
from object2vec.model.manifest import MANIFEST
from object2vec.tuning.trials import Trial


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tables, ratings.csv, test.csv and films.csv with a kind and a year, and a model of them."""
    folder = tmp_path_factory.mktemp("report")
    ratings = generate(people=40, films=60, ratings=1500)
    for name, part in (("ratings.csv", ratings.train), ("test.csv", ratings.validation)):
        with (folder / name).open("w", newline="") as stream:
            table = csv.writer(stream)
            table.writerow(["user", "film", "stars"])
            table.writerows([p, ratings.titles[f], stars] for p, f, stars in part.tolist())
    with (folder / "films.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["film", "kind", "year", "long name"])
        for number, title in ratings.titles.items():
            kinds = [title.split()[0], "Film"]
            table.writerow([title, "|".join(kinds), 1950 + number, f"The {title}"])
    assert main([
        "train", "--train", str(folder / "ratings.csv"), "--in0", "user", "--in1", "film",
        "--label", "stars", "--validation", "0.2", "--model-dir", str(folder / "model"), "--quiet",
        "-p", "epochs=4", "-p", "enc_dim=8", "--report", str(folder / "trained.html"),
    ]) == 0  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def model(folder: Path) -> Object2Vec:
    return Object2Vec.load(folder / "model")


# What stands on the page


@pytest.mark.slow
@pytest.mark.both_ways
def test_a_training_leaves_a_report(folder: Path, model: Object2Vec) -> None:
    found = Parsed(folder / "trained.html")
    assert "Predicts a number, stars, for pairs of user and film." in found.text
    assert "Mean squared error" in found.text and "global mean" in found.text
    assert "user mean" in found.text and "Residuals" in found.text
    assert list(found.sides) == ["in1", "in0"]
    films = found.sides["in1"]
    assert films["names"] == model.vectors("in1").names
    occurrences = films["arrays"]["column0"]
    assert films["columns"][0]["name"] == "occurrences"
    assert occurrences.sum() == model._metrics["data"]["train"]["pairs"]
    epochs = len(model.history)
    assert f"of {epochs} trained, counting from 0" in found.text


def test_neighbours_on_the_page_are_those_of_the_vectors(folder: Path, model: Object2Vec) -> None:
    films, vectors = Parsed(folder / "trained.html").sides["in1"], model.vectors("in1").vectors
    unit = vectors.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -2)
    rows = films["arrays"]["neighbours"].reshape(len(vectors), 10)
    told = films["arrays"]["cosines"].reshape(rows.shape) / 127 - 1
    best = -np.sort(-cosines, axis=1)[:, :10]
    np.testing.assert_allclose(np.take_along_axis(cosines, rows.astype(int), 1), best, atol=1e-5)
    np.testing.assert_allclose(told, best, atol=0.51 / 127)


@pytest.mark.slow
@pytest.mark.both_ways
def test_a_report_tells_what_it_is_asked_for(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    assert main([
        "report", "--model-dir", str(folder / "model"), "--output", str(path),
        "--data", str(folder / "test.csv"), "--seen", str(folder / "ratings.csv"),
        "--objects", str(folder / "films.csv"), "--name", "long name", "--title", "All films",
        "--projections", "pca",
    ]) == 0  # fmt: skip
    found = Parsed(path)
    assert "<title>All films – Object2Vec report</title>" in found.source
    films = found.sides["in1"]
    assert all(name.startswith("The ") for name in films["names"])
    assert [column["name"] for column in films["columns"]] == ["kind", "year", "occurrences"]
    kinds, year, _ = films["columns"]
    first = films["arrays"]["column0"][0]
    labels = {kinds["labels"][tag] for tag in kinds["cells"][first]}
    assert labels == {"Film", films["names"][0].split()[1]}
    assert films["arrays"]["column1"][0] == 1950 + int(films["names"][0].split()[-1])
    assert len(year["ranges"]) == 5
    assert [side["maps"][0]["title"] for side in found.sides.values()] == [
        "Principal components"
    ] * 2
    worth = Object2Vec.load(folder / "model").evaluate(
        folder / "test.csv", task="labels", seen=folder / "ratings.csv"
    )
    for own in (worth.measures, *worth.baselines.values()):
        error = own["mean_squared_error"]
        assert f"{error.value:.4f}" in found.text
        assert f"{error.low:.4f} – {error.high:.4f}" in found.text


def test_a_report_tells_of_the_study(folder: Path, model: Object2Vec, tmp_path: Path) -> None:
    path, written = tmp_path / "report.html", tmp_path / "trials.json"
    trials = [Trial(0, "complete", 0.9, {}, 4, 3, 2.0), Trial(1, "failed", None, {"enc_dim": 4})]
    found = Tuning(
        "validation_mean_squared_error", "minimize", 0, trials, {"enc_dim": "8, 4"}, {"enc_dim": 8}
    )
    written.write_text(found.to_json())
    command = ["report", "--model-dir", str(folder / "model"), "--projections", "pca"]
    assert main([*command, "--output", str(path), "--study", str(written)]) == 0
    by_command = Parsed(path)
    model.report(path, title="model", projections=["pca"], study=found)
    for page in (by_command, Parsed(path)):
        assert "2 trainings with other hyperparameters" in page.text
        assert "0 (best) complete 0.9000 4 2 8" in page.text
        assert "other settings than the best trial" not in page.text
    with pytest.raises(CustomerError, match=r"Tuning\.load\('study\.db'\) gives, found 'study"):
        model.report(path, study="study.db")  # type: ignore[arg-type]


def test_it_says_where_it_is_and_holds_all(folder: Path) -> None:
    """No address but of its own parts, and the policy knows this very script and this style."""
    found = Parsed(folder / "trained.html")
    assert all(link.startswith("#") or link == "data:," for link in found.links), found.links
    assert not re.search(r"https?://|@import|url\(|//\w+\.\w+/", found.source)
    (script,), (style,) = found.scripts, found.styles
    for text, kind in ((script, "script-src"), (style, "style-src")):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind} 'sha256-{digest}'" in found.policy
    assert found.policy.startswith("default-src 'none'")
    # inline handlers and styles would not run under it
    assert not re.search(
        r"<[a-z][^>]* (on\w+|style)=", found.source[: found.source.rindex("<script>")]
    )


def test_without_a_history_there_are_no_curves(tmp_path: Path, model: Object2Vec) -> None:
    """As of a model that an older version has written."""
    old = Object2Vec.load(Path(__file__).parent / "data" / "models" / "0.1" / "pooled")
    assert "data" not in old._metrics
    old._metrics = {}
    old.report(tmp_path / "report.html", projections=["pca"])
    found = Parsed(tmp_path / "report.html")
    assert "Hyperparameters that differ" in found.text
    assert "polyline" not in found.source and "Best epoch" not in found.text


def test_no_data_are_needed(folder: Path, tmp_path: Path) -> None:
    path = str(tmp_path / "report.html")
    asked = ["report", "--model-dir", str(folder / "model"), "--projections", "pca"]
    assert main([*asked, "--output", path]) == 0
    found = Parsed(Path(path))
    assert "The best epoch, " in found.text and "without a model, validation" in found.text
    assert list(found.sides) == ["in1", "in0"] and "Frequencies: film" in found.text


# How it is asked for


def test_classes_are_confused_and_calibrated(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    rows = [
        {"left": f"a{x}", "right": f"b{y}", "is": ["no", "yes"][int(x % 2 == y % 2)]}
        for x, y in rng.integers(12, size=(400, 2)).tolist()
    ]
    trained = Object2Vec.from_table(rows, in0="left", in1="right", label="is", epochs=2, seed=1)
    trained.report(tmp_path / "report.html", {"the rows": rows}, projections=["pca"])
    found = Parsed(tmp_path / "report.html")
    confusion = trained.evaluate(rows, task="labels").confusion
    assert confusion is not None
    flat = [str(count) for row in confusion.counts for count in row]
    assert re.findall(r'<td class="s\d" title="[^"]*">(\d+)</td>', found.source) == flat
    assert "Calibration" in found.text and "the rows: 400 pairs" in found.text


def test_a_training_with_negatives_is_compared_with_what_it_met(tmp_path: Path) -> None:
    """Labels are kept without them, so that of positive pairs alone nothing could be learnt."""
    rng = np.random.default_rng(1)
    rows = [{"left": f"a{x}", "right": f"b{y}"} for x, y in rng.integers(30, size=(200, 2))]
    settings: dict[str, Any] = {"scorer": "dot", "negative_sampling_rate": 3, "epochs": 2}
    found = {}
    for share in (0, 0.5):
        trained = Object2Vec.from_table(
            rows, in0="left", in1="right", seed=1, hard_negative_share=share, **settings
        )
        trained.report(tmp_path / "report.html", projections=["pca"])
        found[share] = Parsed(tmp_path / "report.html").text
        expected = 0.25 * np.log(4) + 0.75 * np.log(4 / 3)
        told = re.search(
            r"cross entropy ↓ [\d.]+ ([\d.−]+) accuracy ↑ [\d.]+ ([\d.]+)", found[share]
        )
        assert told is not None
        assert (told[1], told[2]) == (f"{expected:.4f}", "0.7500")
    assert "Best epoch" in found[0] and "(best)" in found[0] and "last" not in found[0]
    # whose losses cannot be compared
    assert "Last epoch" in found[0.5] and "1 (last)" in found[0.5] and "best" not in found[0.5]


def test_a_model_of_ids_takes_names_from_a_table(tmp_path: Path) -> None:
    pairs = [{"in0": [i % 5], "in1": [i % 7], "label": i % 2} for i in range(70)]
    trained = Object2Vec(
        enc0_network="pooled_embedding", enc0_max_seq_len=1, enc0_vocab_size=7, enc_dim=4,
        epochs=1, seed=1,
    ).fit(pairs)  # fmt: skip
    titles = [{"in1": place, "title": f"Film {place}"} for place in range(7)]
    path = tmp_path / "report.html"
    trained.report(path, pairs, objects=titles, name="title", projections=["pca"])
    found = Parsed(path)
    assert found.sides["in1"]["names"] == [f"Film {place}" for place in range(7)]
    assert found.sides["in0"]["names"] == [str(place) for place in range(7)]


def test_a_side_without_a_vocabulary_is_mapped_by_the_data(tmp_path: Path) -> None:
    rows = [
        {"query": f"find number {i % 9} of the shop", "item": f"item {i % 11}", "tags": "a|b"}
        for i in range(120)
    ]
    trained = Object2Vec.from_table(
        rows, in0="query", in1=["item", "tags"], epochs=1, seed=1, enc_dim=8
    )
    trained.report(tmp_path / "a.html", projections=["pca"])
    assert "There is no map of query" in Parsed(tmp_path / "a.html").text
    trained.report(tmp_path / "b.html", rows, projections=["pca"])
    found = Parsed(tmp_path / "b.html")
    assert len(found.sides["in0"]["names"]) == 9 and len(found.sides["in1"]["names"]) == 11
    assert found.sides["in1"]["columns"][0]["name"] == "tags"
    assert "data: 120 pairs" in found.text


def test_what_belongs_together_is_ranked(tmp_path: Path) -> None:
    rows = [{"user": i % 9, "film": f"film {i * 7 % 23}"} for i in range(60)]
    trained = Object2Vec.from_table(rows, in0="user", in1="film", epochs=1, seed=1, enc_dim=8)
    trained.report(tmp_path / "report.html", rows, seen=rows, projections=["pca"])
    found = Parsed(tmp_path / "report.html")
    assert "Learns which film belongs to which user" in found.text
    assert "hit rate@10" in found.text and "popularity" in found.text


def test_points_are_shared_out(tmp_path: Path, model: Object2Vec) -> None:
    model.report(tmp_path / "report.html", projections=["pca"], points=50)
    found = Parsed(tmp_path / "report.html").sides
    assert [len(side["names"]) for side in found.values()] == [25, 25]
    assert found["in1"]["names"] == model.vectors("in1").names[:25]
    assert "the most frequent ones" in found["in1"]["note"]


def test_a_side_without_a_share_of_the_points_is_not_on_the_map(
    tmp_path: Path, model: Object2Vec
) -> None:
    model.report(tmp_path / "report.html", projections=["pca"], points=1)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert text.count("data-side=") == 1


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"projections": ["tsn"]}, "A projection must be one of pca, tsne, umap, found 'tsn'."),
        ({"points": 0}, "points must be a whole number from 1 to 50,000, found 0."),
        ({"objects": [{"movie": "x"}]}, "has none of the columns film, user"),
        ({"objects": [{"film": "x", "year": 1}], "colours": ["yaer"]}, "has the column 'yaer'"),
        ({"name": "title"}, "has the column 'title'"),
        ({"data": "no.csv"}, "no.csv"),
    ],
    ids=["projection", "points", "objects", "colour", "name", "data"],
)
def test_a_mistake_is_one_sentence_and_leaves_the_older_file(
    tmp_path: Path, model: Object2Vec, given: dict[str, Any], sentence: str
) -> None:
    path = tmp_path / "report.html"
    path.write_text("older")
    with pytest.raises(CustomerError) as caught:
        model.report(path, **{"projections": ["pca"], **given})
    assert sentence in str(caught.value) and str(caught.value).count(". ") == 0
    assert path.read_text() == "older" and [path] == list(tmp_path.iterdir())


def test_where_it_cannot_be_written_is_told_before_anything_is_done(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = str(tmp_path / "none" / "report.html")
    wrong = ["report", "--model-dir", str(folder / "model"), "--output", target]
    assert main(wrong) == 1
    assert "does not exist" in capsys.readouterr().err
    wrong = ["train", "--train", "x.csv", "--model-dir", str(tmp_path / "m"), "--report", target]
    assert main(wrong) == 1
    assert "does not exist" in capsys.readouterr().err and not (tmp_path / "m").exists()


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, model: Object2Vec) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(CustomerError, match=r"tsne needs scikit-learn: pip install"):
        model.report("report.html", projections=["tsne"])


# What the model directory keeps for it


def test_the_model_directory_keeps_all_epochs_and_what_the_pairs_are_like(folder: Path) -> None:
    manifest = json.loads((folder / "model" / MANIFEST).read_text())
    metrics = json.loads((folder / "model" / manifest["metrics"]).read_text())
    assert [epoch["epoch"] for epoch in metrics["history"]] == [0, 1, 2, 3]
    # nothing is left of the metrics that were written with the best epoch
    assert len(list((folder / "model").glob("metrics-*"))) == 1
    with (folder / "ratings.csv").open() as stream:
        stars = np.array([float(row["stars"]) for row in csv.DictReader(stream)])
    kept = metrics["data"]
    assert kept["train"]["pairs"] + kept["validation"]["pairs"] == len(stars)
    bars = {bar[0]: bar[2] for name in kept for bar in kept[name]["labels"]["bars"][:0]}
    for split in kept.values():
        for value, _, count in split["labels"]["bars"]:
            bars[value] = bars.get(value, 0) + count
    assert bars == {value: int(np.sum(stars == value)) for value in np.unique(stars)}
