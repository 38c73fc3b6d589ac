# SPDX-License-Identifier: Apache-2.0
"""Pages of made-up models, of any size, and the parts that they are made of."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from parsed_report import Parsed
from report_contents import HOSTILE, content, map_side
from small_jobs import settings

from object2vec import Tuning
from object2vec.data.arrays import PairDataset, TokenLists
from object2vec.data.summary import summary
from object2vec.report.content import Content
from object2vec.report.neighbours import nearest_of_each
from object2vec.report.object_columns import column_of
from object2vec.report.page import most_bytes, page
from object2vec.report.projections import MOST_OF_TSNE, principal_components, projections
from object2vec.report.section_parts import kept_baseline
from object2vec.report.tuned import MOST_ROWS, best_so_far
from object2vec.tuning.trials import COMPLETE, FAILED, PRUNED, Trial

pytestmark = pytest.mark.own_way


def test_names_are_escaped_wherever_they_stand(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    side = map_side(rng, 12, [HOSTILE, *(f"name {place}" for place in range(11))])
    path = tmp_path / "report.html"
    given = content(side, title=HOSTILE, unmapped=[HOSTILE], versions={HOSTILE: HOSTILE})
    path.write_bytes(page(given, HOSTILE))
    found = Parsed(path)
    assert 'onerror="' not in found.source and "<img" not in found.source
    assert found.source.count("</script>") == 2
    assert HOSTILE.replace("\u202e", "\\u202e") in found.text
    assert found.sides["in1"]["names"][0] == HOSTILE.replace("\u202e", "\\u202e")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("count", "letters"),
    [(1682, 24), (1682, 2000), (50_000, 24), (50_000, 200)],
    ids=["few", "few long names", "many", "many long names"],
)
def test_a_page_is_as_small_as_promised(count: int, letters: int) -> None:
    rng = np.random.default_rng(1)
    # letters that no compression makes much shorter
    codes = rng.integers(ord("a"), ord("z") + 1, size=(count, min(letters, 400)), dtype=np.uint8)
    names = [row.tobytes().decode() for row in codes]
    side = map_side(rng, count, names, exact=count < 10_000)
    size = len(page(content(side), "today"))
    assert size <= most_bytes(count) == {1682: 1_000_000, 50_000: 4_000_000}[count]


@pytest.mark.slow
def test_principal_components_are_scikit_learns(rng: np.random.Generator) -> None:
    from sklearn.decomposition import PCA

    for count, width in ((200, 12), (3, 7), (60, 1500), (1100, 1100)):
        scales = np.full(width, 0.5)
        scales[:2] = 20, 10
        vectors = (rng.normal(size=(count, width)) * scales + 3).astype(np.float32)
        found, share = principal_components(vectors, 2)
        expected = PCA(2, svd_solver="full").fit(vectors.astype(np.float64))
        components = expected.transform(vectors.astype(np.float64))
        for ours, theirs in zip(found.T, components.T):
            sign = np.sign(ours @ theirs)
            np.testing.assert_allclose(ours * sign, theirs, atol=2e-3 * np.abs(theirs).max())
        assert share == pytest.approx(expected.explained_variance_ratio_.sum(), rel=1e-3)


@pytest.mark.parametrize("same", [1, 4], ids=["one", "all alike"])
def test_a_map_of_what_does_not_differ(same: int) -> None:
    (found,) = projections(np.ones((same, 6), np.float32), ["pca", "tsne"])
    assert found.title == "Principal components" and not found.places.any()


def test_t_sne_keeps_groups_together(rng: np.random.Generator) -> None:
    groups = np.repeat([0, 1], 60)
    vectors = rng.normal(size=(120, 8)).astype(np.float32) + 9 * groups[:, None]
    tsne, pca = projections(vectors.astype(np.float32), ["pca", "tsne"])
    assert (tsne.title, pca.title) == ("t-SNE", "Principal components") and tsne.objects is None
    places = tsne.places.astype(float)
    rows, _ = nearest_of_each(places - places.mean(0), 1)
    assert np.mean(groups[rows[:, 0]] == groups) > 0.9


def test_t_sne_is_of_some_where_there_are_many(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MOST_OF_TSNE == 5000
    monkeypatch.setattr("object2vec.report.projections.MOST_OF_TSNE", 40)
    vectors = rng.normal(size=(70, 3)).astype(np.float32)
    pca, tsne = projections(vectors, ["pca", "tsne"])
    assert pca.objects is None and len(pca.places) == 70
    assert tsne.objects is not None and len(tsne.places) == len(set(tsne.objects.tolist())) == 40
    assert "40 of the objects" in tsne.note


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"cross_entropy", "perplexity", "accuracy"}),
        ({"class_weights": "1,3"}, {"accuracy"}),
        ({"output_layer": "mean_squared_error", "negative_sampling_rate": 2}, set()),
    ],
    ids=["classes", "weighted-classes", "numbers-and-negatives"],
)
def test_what_kept_labels_cannot_tell_is_left_out(
    given: dict[str, Any], expected: set[str], rng: np.random.Generator
) -> None:
    """The measures of training are by class weights, and with negatives; the kept labels not."""
    lists = TokenLists.of_each(rng.integers(10, size=40).astype(np.int32))
    hyperparameters = settings(**given)
    pairs = PairDataset(lists, lists, np.arange(40, dtype=np.float32) % 2)
    data = summary({"train": pairs}, hyperparameters.classes)
    found = Content("A model", hyperparameters, {"data": data})
    assert set(kept_baseline(found, "train")) == expected


def test_the_nearest_of_each_are_found(rng: np.random.Generator) -> None:
    for count, width in ((2, 3), (9, 4), (700, 5)):
        vectors = rng.normal(size=(count, width)).astype(np.float32)
        vectors[0] = 0
        rows, cosines = nearest_of_each(vectors, 5)
        unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
        every = unit @ unit.T
        np.fill_diagonal(every, -2)
        best = -np.sort(-every, axis=1)[:, : rows.shape[1]]
        np.testing.assert_allclose(cosines, best, atol=1e-6)
        np.testing.assert_allclose(np.take_along_axis(every, rows, 1), best, atol=1e-6)
        assert all(len(set(row)) == len(row) for row in rows.tolist())


@pytest.mark.parametrize(
    ("cells", "labels", "ranges"),
    [
        (["b", "a", "b", None, ""], ["b", "a"], []),
        (["x|y", "y", "z|y"], ["y", "x", "z"], []),
        (["['u', 'v']", "['v']"], ["v", "u"], []),
        ([["p", "q"], ["q"]], ["q", "p"], []),
        ([1, 2, 1, 2], ["1", "2"], []),
        (list(range(100)), [], ["0 – 19", "20 – 39", "40 – 58", "59 – 78", "79 – 99"]),
    ],
    ids=["groups", "tags", "lists as text", "lists", "few numbers", "numbers"],
)
def test_a_column_is_what_its_cells_are(
    cells: list[Any], labels: list[str], ranges: list[str]
) -> None:
    found = column_of("it", cells)
    assert list(found.labels) == labels
    if labels:
        first = [found.labels[tag] for tag in found.cells[found.values[0]]]
        assert first and all(tag in str(cells[0]) for tag in first)
    else:
        steps = np.searchsorted(found.edges, cells, side="right")
        assert len(found.ranges) == 5 and np.bincount(steps).min() >= 19
        assert found.ranges[0].startswith("0") and found.ranges[-1].endswith("99")


def test_bars_hold_every_pair(rng: np.random.Generator) -> None:
    lengths = rng.integers(0, 90, size=500)
    pairs = PairDataset(
        TokenLists.from_lists([rng.integers(50, size=n).tolist() for n in lengths]),
        TokenLists.from_lists([[1]] * 500), rng.integers(3, size=500).astype(np.float32),
    )  # fmt: skip
    found = summary({"train": pairs, "validation": None}, 3)
    assert list(found) == ["train"]
    own = found["train"]
    assert own["labels"] == {"counts": [int(np.sum(pairs.labels == c)) for c in range(3)]}
    assert own["in0"]["tokens"] == lengths.sum()
    for low, high, count in own["in0"]["lengths"]:
        assert count == np.sum((lengths >= low) & (lengths <= high))
    times = Counter(pairs.in0.tokens.tolist())
    assert own["in0"]["distinct"] == len(times)
    for low, high, count in own["in0"]["frequencies"]:
        assert count == sum(low <= often <= high for often in times.values())
    assert own["in1"]["lengths"] == [[1, 1, 500]]
    assert json.loads(json.dumps(found)) == found
    # labels that are numbers, of which there are many
    numbers = PairDataset(pairs.in0, pairs.in1, rng.normal(size=500).astype(np.float32))
    kept = summary({"train": numbers}, None)["train"]["labels"]
    assert sum(bar[2] for bar in kept["bars"]) == 500
    assert kept["mean"] == pytest.approx(numbers.labels.mean(dtype=float), abs=1e-6)


def study(values: list[Any], direction: str = "minimize", error: str = "") -> Tuning:
    """A study of trials with these values; None is a failed one, a text a pruned one's value."""
    trials = [
        Trial(number, FAILED, None, {"enc_dim": 9}, error=error) if value is None
        else Trial(number, PRUNED, float(value), {"enc_dim": 7}, 1) if isinstance(value, str)
        else Trial(number, COMPLETE, value, {"enc_dim": 10 + number} if number else {}, 3, 2, 1.5)
        for number, value in enumerate(values)
    ]  # fmt: skip
    complete = {trial.number: trial.value for trial in trials if trial.state == COMPLETE}
    choose = min if direction == "minimize" else max
    best = choose(complete, key=lambda number: complete[number] or 0)
    space = {"enc_dim": "4 to 90", "comparator_list": "hadamard, abs_diff"}
    start = {"enc_dim": 5, "comparator_list": ["hadamard", "concat"]}
    return Tuning("validation_mean_squared_error", direction, best, trials, space, start)


@pytest.mark.parametrize(
    ("values", "direction", "expected"),
    [
        ([0.9, 0.8, 1.2, 0.85, None, "0.1", 0.7], "minimize",
         [(0, 0.9), (1, 0.8), (3, 0.8), (6, 0.7)]),
        ([0.1, 0.1, 0.1, 0.1, 0.3, 0.2], "maximize", [(0, 0.1), (3, 0.1), (4, 0.3), (5, 0.3)]),
        (["0.5", 0.4], "minimize", [(1, 0.4)]),
    ],
    ids=["lower", "higher", "one complete"],
)  # fmt: skip
def test_the_best_so_far(
    values: list[Any], direction: str, expected: list[tuple[float, float]]
) -> None:
    found = study(values, direction)
    assert best_so_far(found) == expected
    # a line through these is one through the best of all trials up to each
    choose = np.minimum if direction == "minimize" else np.maximum
    ended = {t.number: t.value for t in found.trials if t.state == COMPLETE}
    every = choose.accumulate(list(ended.values()))
    steps = np.array(expected)
    np.testing.assert_array_equal(steps[np.searchsorted(steps[:, 0], list(ended)), 1], every)


def test_a_study_is_a_table_and_a_chart(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_bytes(page(content(tuned=study([0.9, 0.8, "1.5", None], error=HOSTILE)), "today"))
    found = Parsed(path)
    assert "#tuning" in found.links and "4 trainings with other hyperparameters" in found.text
    rows = re.search(r"<tbody>(.*?)</tbody>", found.source.split('id="tuning"')[1])
    assert rows is not None
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows[1].split("<tr>")[1:]]
    assert cells[:3] == [
        ["1 (best)", "complete", "0.8000", "3", "1.5", "11", "hadamard,concat"],
        ["0", "complete", "0.9000", "3", "1.5", "5", "hadamard,concat"],
        ["2", "pruned", "1.5000", "1", "–", "7", "hadamard,concat"],
    ]
    assert cells[3][:3] == ["3", cells[3][1], "–"] and "&lt;img" in cells[3][1]
    assert "<img" not in found.source
    assert "Best validation mean squared error by trial: from 0.9 to 0.8;" in found.source
    assert "This page's model has other settings than the best trial: enc_dim" in found.text
    without = page(content(), "today").decode()
    assert 'id="tuning"' not in without and "#tuning" not in without


def test_a_long_study_leaves_the_page_small(rng: np.random.Generator) -> None:
    values = rng.uniform(0.5, 1, 20_000).tolist()
    text = page(content(tuned=study(values)), "today").decode()
    assert len(text) < 400_000
    assert f"The best {MOST_ROWS} of 20,000 trials are shown." in text
    assert text.split('id="tuning"')[1].split("</tbody>")[0].count("<tr>") == MOST_ROWS + 1
    # the numbers below the chart do not run into each other
    axis = re.findall(r'<text x="([\d.]+)" y="234" class="x">([\d,]+)', text)
    ends = [(float(x), 4 * len(told)) for x, told in axis[-20:]]
    assert all(x + half < y - other for (x, half), (y, other) in zip(ends, ends[1:]) if y > x)
