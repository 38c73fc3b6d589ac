# SPDX-License-Identifier: Apache-2.0
"""The section of a report on what the model is worth, and where it errs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Optional

from object2vec.evaluation.results import Confusion, Evaluation, Histogram, Measure
from object2vec.report.charts import Bar, bars, number, spreads
from object2vec.report.content import Content, Judged
from object2vec.report.markup import Markup, element, joined, table
from object2vec.report.section_parts import (
    SPLITS,
    TOLD,
    arrow,
    baseline_name,
    decimals,
    figure,
    kept_baseline,
    metrics_of,
    section,
    words,
)

_SHADES = (0.02, 0.15, 0.4, 0.7)  # shares of a row from which on a cell is darker


def quality(content: Content) -> Optional[Markup]:
    """What the model is worth beside its baselines, and where it errs."""
    parts = [part for judged in content.judged for part in _judged(content, judged)]
    if not parts:
        parts = _of_training(content)
    if not parts:
        return None
    about = "The model beside what needs no model: a model is worth what it is better by."
    return section("quality", "Quality", about, *parts)


def _judged(content: Content, judged: Judged) -> list[Markup]:
    evaluation = judged.evaluation
    unit = {"ranking": "queries"}.get(evaluation.task, "pairs")
    caption = f"{judged.title}: {number(evaluation.count)} {unit}"
    columns: dict[str, Mapping[str, Measure]] = {"model": evaluation.measures}
    columns.update(
        (baseline_name(content, name), own) for name, own in evaluation.baselines.items()
    )
    rows = []
    for name in evaluation.measures:
        better = arrow(name)
        cells = [
            _measure(own.get(name), is_model=at == 0) for at, own in enumerate(columns.values())
        ]
        rows.append([words(name) + better, *cells])
    head = ["Measure", *columns]
    parts = [table(head, rows, caption, numbers=range(1, len(head)))]
    notes = ["↓ lower is better, ↑ higher is better."]
    if any(measure.low is not None for measure in evaluation.measures.values()):
        share = evaluation.settings.get("confidence")
        told = f"{share:.0%} " if isinstance(share, float) else ""
        notes.append(f"Below a value: its {told}interval by bootstrap.")
    parts.append(element("p", " ".join([*notes, *evaluation.notes]), class_="note"))
    charts = []
    if evaluation.residuals is not None:
        charts.append(_residuals(evaluation.residuals))
    if judged.spreads:
        charts.append(_spreads(judged))
    if evaluation.reliability is not None:
        charts.append(_reliability(evaluation))
    if charts:
        parts.append(element("div", *charts, class_="charts apart"))
    if evaluation.confusion is not None:
        parts.append(_confusion(evaluation.confusion))
    return parts


def _measure(measure: Optional[Measure], is_model: bool) -> Markup:
    if measure is None:
        return element("span", "–", aria_label="not defined")
    shown = element("span", decimals(measure.value), class_="model" if is_model else None)
    if measure.low is None or measure.high is None:
        return shown
    between = f"{decimals(measure.low)} – {decimals(measure.high)}"
    return joined([shown, element("small", between, class_="between")])


def _residuals(histogram: Histogram) -> Markup:
    edges = histogram.edges
    drawn = [
        Bar(f"{number(low)} to {number(high)}", number(round(low, 2)), count)
        for low, high, count in zip(edges, edges[1:], histogram.counts)
    ]
    chart = bars(
        drawn, x_title="predicted minus true", unit="pairs",
        label=f"Histogram of predicted minus true numbers, from {number(edges[0])} to "
        f"{number(edges[-1])}.",
    )  # fmt: skip
    return figure("Residuals", "How far predictions lie from the truth, and to which side", chart)


def _spreads(judged: Judged) -> Markup:
    told = "; ".join(f"{number(s.at)}: {number(s.middle)}" for s in judged.spreads)
    chart = spreads(
        judged.spreads, x_title="true", y_title="predicted",
        label=f"Median prediction by true number: {told}.",
    )  # fmt: skip
    note = "Median prediction of each true number, and where 80 % of them lie; dashed: exact"
    return figure("Predicted beside true", note, chart)


def _reliability(evaluation: Evaluation) -> Markup:
    found = [own for own in evaluation.reliability or () if own.confidence is not None]
    rows = [
        [f"{own.low:.0%} – {own.high:.0%}", number(own.count), f"{own.confidence:.1%}",
         "–" if own.accuracy is None else f"{own.accuracy:.1%}"]
        for own in found
    ]  # fmt: skip
    shown = table(
        ["Said", "Pairs", "Mean", "Right"], rows, "How sure, and how often right",
        numbers=(1, 2, 3), hidden=True, class_="compact",
    )  # fmt: skip
    note = "What the model says of its own predictions, and how many of these are right"
    return figure("Calibration", note, shown)


def _confusion(confusion: Confusion) -> Markup:
    rows = []
    for name, counts in zip(confusion.classes, confusion.counts):
        total = sum(counts) or 1
        cells = [element("th", name, scope="row")]
        for count in counts:
            shade = sum(count / total >= limit for limit in _SHADES)
            told = f"{count / total:.0%} of {name}"
            cells.append(element("td", number(count), class_=f"s{shade}", title=told))
        rows.append(element("tr", *cells))
    head = element(
        "tr",
        element("th", "true \\ predicted", scope="col"),
        *(element("th", name, scope="col") for name in confusion.classes),
    )
    shown = element(
        "table",
        element("caption", "Confusion of classes", class_="unseen"),
        element("thead", head), element("tbody", *rows), class_="confusion",
    )  # fmt: skip
    note = "Rows are true classes, columns predicted ones; the darker, the more of the row"
    scrolling = element("div", shown, class_="scrolling")
    return element("div", figure("Confusion", note, scrolling), class_="apart")


def _of_training(content: Content) -> list[Markup]:
    """What the training reported of the kept epoch, beside what follows from the labels alone."""
    best = content.best
    splits = [split for split in SPLITS if metrics_of(best, split)]
    if not splits:
        return []
    names = list(dict.fromkeys(name for split in splits for name in metrics_of(best, split)))
    baselines = kept_baseline(content, splits[-1])
    head = ["Measure", *(f"model, {TOLD[split]}" for split in splits)]
    if baselines:
        head.append(f"without a model, {TOLD[splits[-1]]}")
    rows = []
    for name in names:
        better = arrow(name)
        values = [metrics_of(best, split).get(name) for split in splits]
        cells = [
            _measure(None if value is None else Measure(value), is_model=split == splits[-1])
            for split, value in zip(splits, values)
        ]
        if baselines:
            known = baselines.get(name)
            cells.append(_measure(None if known is None else Measure(known), is_model=False))
        rows.append([words(name) + better, *cells])
    notes = ["↓ lower is better, ↑ higher is better."]
    if baselines:
        is_number = content.hyperparameters.is_regression
        notes.append(
            f"Without a model: always the {'mean label' if is_number else 'shares of the classes'}."
        )
    notes.append("Residuals, confusion and further baselines need data: give them by --data.")
    return [
        table(head, rows, f"The {content.kept} epoch, {best['epoch'] if best else ''}",
              numbers=range(1, len(head))),
        element("p", " ".join(notes), class_="note"),
    ]  # fmt: skip
