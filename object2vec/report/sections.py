# SPDX-License-Identifier: Apache-2.0
"""The sections of a report as HTML: training, quality, data, settings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Optional

from object2vec.evaluation.results import (
    Confusion,
    Evaluation,
    Histogram,
    Measure,
    is_smaller_better,
)
from object2vec.hyperparameters.table import BY_NAME
from object2vec.report.charts import Bar, Line, bars, lines, number, spreads
from object2vec.report.content import Content, Judged
from object2vec.report.markup import Markup, broken, element, escape, joined, table

_SPLITS = ("train", "validation")
_TOLD = {"train": "training", "validation": "validation"}
_SHADES = (0.02, 0.15, 0.4, 0.7)  # shares of a row from which on a cell is darker


def section(key: str, title: str, about: str, *content: Markup) -> Markup:
    """A section with its heading."""
    head = element("h2", title, id=f"{key}-title")
    described = element("p", about, class_="about") if about else Markup("")
    return element("section", head, described, *content, id=key, aria_labelledby=f"{key}-title")


def figure(title: str, note: str, *content: Markup) -> Markup:
    """A chart with its heading."""
    told = element("p", note) if note else Markup("")
    return element("figure", element("figcaption", element("h3", title), told), *content)


def words(metric: str) -> str:
    """A metric's name for people: ``mean squared error``."""
    return {"auc": "AUC", "mrr": "MRR"}.get(metric, metric.replace("_", " "))


def opened(content: Content) -> str:
    """What the model does, in a sentence."""
    settings = content.hyperparameters
    in0, in1 = content.called("in0"), content.called("in1")
    label = content.inputs.label.name if content.inputs is not None else ""
    if settings.is_contrastive:
        return f"Learns which {in1} belongs to which {in0}: their embeddings are near each other."
    if settings.is_regression:
        return f"Predicts a number{f', {label},' if label else ''} for pairs of {in0} and {in1}."
    if settings.output_layer == "softmax":
        kinds = f"{settings.num_classes} classes"
        of_label = f" of {label}" if label else ""
        return f"Predicts one of {kinds}{of_label} for pairs of {in0} and {in1}."
    return f"Predicts the labels of pairs of {in0} and {in1}."


def figures(content: Content) -> Markup:
    """The key figures at the head of the page."""
    shown: list[tuple[str, str, str]] = []
    headline = _headline(content)
    if headline is not None:
        shown.append(headline)
    if content.best is not None:
        epochs = len(content.history)
        beside = f"of {epochs} trained, counting from 0"
        shown.append(("Best epoch", number(content.best["epoch"]), beside))
    data = content.data
    if "train" in data:
        kept = data.get("validation", {}).get("pairs")
        beside = f"and {number(kept)} for validation" if kept else "for training"
        shown.append(("Pairs", number(data["train"]["pairs"]), beside))
    for side in content.sides:
        shown.append((side.title, number(len(side.names)), f"{side.side} on the map"))
    settings = content.hyperparameters
    networks = " and ".join(dict.fromkeys(encoder.network for encoder in settings.encoders))
    shown.append(("Embedding", number(settings.enc_dim), f"numbers, by {networks}"))
    return element(
        "dl",
        *(
            element(
                "div", element("dt", title), element("dd", value, class_="value"),
                element("dd", beside, class_="beside"),
            )
            for title, value, beside in shown
        ),
        class_="figures",
    )  # fmt: skip


def _headline(content: Content) -> Optional[tuple[str, str, str]]:
    if content.judged:
        judged = content.judged[0]
        name, measure = next(iter(judged.evaluation.measures.items()))
        others = _best_baseline(judged.evaluation, name)
        beside = f"on {judged.title}" + (f"; {others[0]} {number(others[1])}" if others else "")
        return words(name).capitalize(), number(measure.value), beside
    split = next((s for s in reversed(_SPLITS) if _metrics(content.best, s)), None)
    if split is None:
        return None
    name, value = next(iter(_metrics(content.best, split).items()))
    known = _kept_baseline(content, split).get(name)
    beside = f"{_TOLD[split]}" + (f"; without a model {number(known)}" if known is not None else "")
    return words(name).capitalize(), number(value), beside


def _best_baseline(evaluation: Evaluation, name: str) -> Optional[tuple[str, float]]:
    found = [(title, own[name].value) for title, own in evaluation.baselines.items() if name in own]
    found = [(title, value) for title, value in found if math.isfinite(value)]
    if not found:
        return None
    choose = min if is_smaller_better(name) else max
    return choose(found, key=lambda one: one[1])


def _metrics(epoch: Optional[Mapping[str, Any]], split: str) -> dict[str, float]:
    """The metrics of a split in an epoch, by name."""
    found = {} if epoch is None else epoch
    start = f"{split}_"
    return {
        key[len(start) :]: value
        for key, value in found.items()
        if key.startswith(start) and isinstance(value, (int, float))
    }


def training(content: Content) -> Optional[Markup]:
    """Curves of all metrics over the epochs; None where the model keeps no history."""
    history = content.history
    names = list(dict.fromkeys(n for epoch in history for s in _SPLITS for n in _metrics(epoch, s)))
    drawn = [(name, found) for name in names if (found := _curves(history, name))]
    if not drawn:
        return None
    best = content.metrics.get("best_epoch")
    charts = []
    for name, curves in drawn:
        # of a perplexity all is said by the cross-entropy
        if name == "perplexity" and "cross_entropy" in names:
            continue
        better = {True: "lower is better", False: "higher is better"}.get(is_smaller_better(name))
        told = ", ".join(f"{line.name} ends at {number(line.points[-1][1])}" for line in curves)
        chart = lines(
            curves,
            best=best if content.best is not None else None,
            x_title="epoch",
            best_title=f"best: {best}",
            label=f"{words(name)} by epoch: {told}; the numbers stand in a table below.",
        )
        key = joined(element("li", _TOLD[line.name], class_=line.name) for line in curves)
        charts.append(
            figure(words(name).capitalize(), better or "", element("ul", key, class_="key"), chart)
        )
    about = "Of each epoch, what the model was worth; the model of the best epoch was kept."
    if not content.complete:
        about = "The training was stopped before its first epoch ended."
    return section(
        "training", "Training", about,
        element("div", *charts, class_="charts"), _epochs(history, names, best),
    )  # fmt: skip


def _curves(history: Sequence[Mapping[str, Any]], name: str) -> list[Line]:
    found = []
    for split in _SPLITS:
        points = [
            (epoch["epoch"], value)
            for epoch in history
            if isinstance(epoch.get("epoch"), int)
            and (value := _metrics(epoch, split).get(name)) is not None
            and math.isfinite(value)
        ]
        if points:
            found.append(Line(split, points))
    return found


def _epochs(history: Sequence[Mapping[str, Any]], names: Sequence[str], best: Any) -> Markup:
    columns = [(s, n) for n in names for s in _SPLITS if any(n in _metrics(e, s) for e in history)]
    head = ["Epoch", *(f"{words(name)}, {_TOLD[split]}" for split, name in columns)]
    rows = []
    for epoch in history:
        values = [_metrics(epoch, split).get(name) for split, name in columns]
        cells = [number(value) if value is not None else "–" for value in values]
        is_best = " (best)" if epoch.get("epoch") == best else ""
        rows.append([f"{epoch.get('epoch', '–')}{is_best}", *cells])
    shown = table(head, rows, "Metrics by epoch", numbers=range(1, len(head)), hidden=True)
    return element("details", element("summary", "The numbers as a table"), shown)


def quality(content: Content) -> Optional[Markup]:
    """What the model is worth beside its baselines, and where it errs."""
    parts = [part for judged in content.judged for part in _judged(judged)]
    if not parts:
        parts = _of_training(content)
    if not parts:
        return None
    about = "The model beside what needs no model: a model is worth what it is better by."
    return section("quality", "Quality", about, *parts)


def _judged(judged: Judged) -> list[Markup]:
    evaluation = judged.evaluation
    unit = {"ranking": "queries"}.get(evaluation.task, "pairs")
    caption = f"{judged.title}: {number(evaluation.count)} {unit}"
    columns: dict[str, Mapping[str, Measure]] = {"model": evaluation.measures}
    columns.update(evaluation.baselines)
    rows = []
    for name in evaluation.measures:
        better = {True: " ↓", False: " ↑"}.get(is_smaller_better(name), "")  # type: ignore[arg-type]
        cells = [_measure(own.get(name), is_model=at == 0) for at, own in enumerate(columns.values())]
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
    shown = element("span", number(measure.value), class_="model" if is_model else None)
    if measure.low is None or measure.high is None:
        return shown
    between = f"{number(measure.low)} – {number(measure.high)}"
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
        element("caption", "Confusion: rows are true classes, columns predicted ones"),
        element("thead", head), element("tbody", *rows), class_="confusion",
    )  # fmt: skip
    note = element("p", "The darker a cell, the larger its share of the row.", class_="note")
    return joined([element("div", shown, class_="scrolling apart"), note])


def _of_training(content: Content) -> list[Markup]:
    """What the training reported of its best epoch, beside what follows from the labels alone."""
    best = content.best
    splits = [split for split in _SPLITS if _metrics(best, split)]
    if not splits:
        return []
    names = list(dict.fromkeys(name for split in splits for name in _metrics(best, split)))
    baselines = _kept_baseline(content, splits[-1])
    head = ["Measure", *(f"model, {_TOLD[split]}" for split in splits)]
    if baselines:
        head.append(f"without a model, {_TOLD[splits[-1]]}")
    rows = []
    for name in names:
        better = {True: " ↓", False: " ↑"}.get(is_smaller_better(name), "")  # type: ignore[arg-type]
        values = [_metrics(best, split).get(name) for split in splits]
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
        table(head, rows, f"The best epoch, {best['epoch'] if best else ''}",
              numbers=range(1, len(head))),
        element("p", " ".join(notes), class_="note"),
    ]  # fmt: skip


def _kept_baseline(content: Content, split: str) -> dict[str, float]:
    """What always predicting the same is worth, as far as the kept labels tell."""
    labels = content.data.get(split, {}).get("labels", {})
    if content.data.get(split, {}).get("weighted"):
        return {}
    if content.hyperparameters.is_regression and "deviation" in labels:
        return {"mean_squared_error": labels["deviation"] ** 2}
    counts = labels.get("counts")
    if content.hyperparameters.output_layer != "softmax" or not counts or not sum(counts):
        return {}
    shares = [count / sum(counts) for count in counts if count]
    entropy = -sum(share * math.log(share) for share in shares)
    return {
        "cross_entropy": entropy,
        "perplexity": math.exp(entropy),
        "accuracy": max(shares),
    }


def data(content: Content) -> Optional[Markup]:
    """What the pairs are like."""
    found = content.data
    if not found:
        return None
    rows = [["Pairs", *(number(own["pairs"]) for own in found.values())]]
    for side in ("in0", "in1"):
        for fact, title in (("tokens", "tokens"), ("distinct", "distinct tokens")):
            counts = (number(own[side][fact]) for own in found.values())
            rows.append([f"{content.called(side)}: {title}", *counts])
    head = ["", *(_TOLD.get(name, name) for name in found)]
    charts = []
    # the training pairs, or those that were given in their place
    name, own = next(iter(found.items()))
    told = _TOLD.get(name, name)
    labels = own["labels"]
    if labels:
        charts.append(_labels(content, labels, told))
    for side in ("in0", "in1"):
        title = content.called(side)
        lengths = own[side]["lengths"]
        if len(lengths) > 1:
            note = f"Tokens of an object of {title}, {told}"
            charts.append(_bars(f"Lengths: {title}", note, lengths, "tokens", "lists"))
        frequencies = own[side]["frequencies"]
        if len(frequencies) > 1:
            note = f"How often a token of {title} occurs, {told}"
            charts.append(_bars(f"Frequencies: {title}", note, frequencies, "times", "tokens"))
    return section(
        "data", "Data", "The pairs as the model sees them: lists of tokens with their labels.",
        table(head, rows, "Pairs and tokens", numbers=range(1, len(head)), hidden=True),
        element("div", *charts, class_="charts apart") if charts else Markup(""),
    )  # fmt: skip


def _bars(title: str, note: str, found: Sequence[Any], x_title: str, unit: str) -> Markup:
    drawn = [Bar(_span(low, high, f" {x_title}"), number(low), count) for low, high, count in found]
    low, high = number(found[0][0]), number(found[-1][1])
    label = f"Histogram from {low} to {high} {x_title}; {note}."
    return figure(title, note, bars(drawn, x_title=x_title, unit=unit, label=label))


def _labels(content: Content, labels: Mapping[str, Any], told: str) -> Markup:
    if "counts" in labels:
        names = content.inputs.label.classes if content.inputs is not None else ()
        drawn = []
        for place, count in enumerate(labels["counts"]):
            name = names[place] if place < len(names) else str(place)
            drawn.append(Bar(f"class {name}", name if len(name) <= 14 else f"{name[:13]}…", count))
        note = f"How many pairs have each class, {told}"
        label = ", ".join(f"{bar.told}: {number(bar.height)}" for bar in drawn)
        return figure("Labels", note, bars(drawn, x_title="class", unit="pairs", label=label))
    drawn = [Bar(_span(low, high, ""), number(low), count) for low, high, count in labels["bars"]]
    note = f"Mean {number(labels['mean'])}, standard deviation {number(labels['deviation'])}, {told}"
    label = f"Histogram of labels from {drawn[0].told} to {drawn[-1].told}. {note}."
    return figure("Labels", note, bars(drawn, x_title="label", unit="pairs", label=label))


def _span(low: float, high: float, unit: str) -> str:
    return f"{number(low)}{unit}" if low == high else f"{number(low)} to {number(high)}{unit}"


def settings(content: Content) -> Markup:
    """Hyperparameters, first those that differ from their defaults, and versions."""
    values = content.hyperparameters.to_dict()
    differing, alike = [], []
    for name, value in values.items():
        usual = _default(name, values)
        row = [element("code", broken(name)), _setting(value), "–" if usual is None else _setting(usual)]
        (alike if usual == value or _follows(name, values) else differing).append(row)
    parts = [
        table(["Hyperparameter", "Value", "Default"], differing,
              "Hyperparameters that differ from their defaults"),
        element(
            "details", element("summary", "The other hyperparameters"),
            table(["Hyperparameter", "Value", "Default"], alike, "Other hyperparameters",
                  hidden=True),
        ),
    ]  # fmt: skip
    if content.versions:
        rows = list(content.versions.items())
        shown = table(["Made with", "Version"], rows, "Versions", class_="compact")
        parts.append(element("div", shown, class_="apart"))
    about = "Sizes of vocabularies and lengths have no default: they follow from the data."
    return section("settings", "Settings", about, *parts)


def _default(name: str, values: Mapping[str, Any]) -> Any:
    entry = BY_NAME[name]
    if entry.default is None and name.startswith("enc1_"):
        return values.get(f"enc0_{name[5:]}")
    if entry.default == "enc0":
        return values.get(f"enc0_{name[5:]}")
    return list(entry.default) if isinstance(entry.default, tuple) else entry.default


def _follows(name: str, values: Mapping[str, Any]) -> bool:
    """Whether a value is none of its own: pooled_embedding has no layers, and enc_dim's width."""
    side, _, rest = name.partition("_")
    is_pooled = values.get(f"{side}_network") == "pooled_embedding"
    if side in ("enc0", "enc1") and rest == "layers":
        automatic = {"hcnn": 4, "bilstm": 1}.get(str(values.get(f"{side}_network")))
        return is_pooled or values[name] == automatic
    return side in ("enc0", "enc1") and is_pooled and rest == "token_embedding_dim"


def _setting(value: Any) -> Markup:
    if isinstance(value, list):
        return broken(", ".join(map(str, value)))
    if isinstance(value, bool):
        return escape(str(value).lower())
    if isinstance(value, (int, float)):
        return escape(number(value))
    return broken(str(value) or "none")
