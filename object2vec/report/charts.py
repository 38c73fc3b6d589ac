# SPDX-License-Identifier: Apache-2.0
"""Charts as SVG: lines of a training, bars of a histogram; drawn once, coloured by the style."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

from object2vec.report.markup import Markup, element, joined

# The style makes letters larger where the chart is shown smaller, so there is room beside the axes.
WIDTH, HEIGHT = 480, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 14, 18, 44
_TICKS = 5


@dataclass(frozen=True)
class Line:
    """A line of a chart.

    Parameters
    ----------
    name : str
        Of what; the style knows ``train`` and ``validation``.
    points : sequence of (float, float)
        By their x.
    """

    name: str
    points: Sequence[tuple[float, float]]


def number(value: float) -> str:
    """A number as people read it: four significant digits, thousands separated, a true minus.

    Examples
    --------
    >>> number(0.827171), number(81615), number(0.0000123), number(-2.5)
    ('0.8272', '81,615', '1.23e-05', '−2.5')
    """
    if not math.isfinite(value):
        return {math.inf: "∞", -math.inf: "−∞"}.get(value, "–")
    if value == int(value) and abs(value) < 1e15:
        text = f"{int(value):,}"
    elif abs(value) >= 1000:
        text = f"{value:,.0f}" if abs(value) < 1e15 else f"{value:.4g}"
    else:
        text = f"{value:.4g}"
    return text.replace("-", "−", 1) if text.startswith("-") else text


def ticks(low: float, high: float, count: int = _TICKS) -> list[float]:
    """Round numbers from about `low` to about `high` that span both, about `count` of them.

    Examples
    --------
    >>> ticks(0.12, 0.98)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    if not high > low:
        high = low + (abs(low) or 1.0)
    rough = (high - low) / count
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(s * magnitude for s in (1, 2, 2.5, 5, 10) if s * magnitude >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(step * place, 12) for place in range(first, last + 1)]


def lines(
    drawn: Sequence[Line], *, best: Optional[float], x_title: str, best_title: str, label: str
) -> Markup:
    """Lines over whole numbers, such as losses over epochs.

    Parameters
    ----------
    drawn : sequence of Line
        At least one point in all.
    best : float, optional
        Where a vertical line marks the best x.
    x_title, best_title : str
        What x is; what stands beside the vertical line.
    label : str
        For those who cannot see the chart.
    """
    values = [y for line in drawn for _, y in line.points]
    ends = [x for line in drawn for x, _ in line.points]
    plane = _Plane((min(ends), max(ends)), ticks(min(values), max(values)))
    parts = [plane.grid()]
    whole = sorted({int(x) for x in ends})
    step = max(1, -(-len(whole) // 10))
    labels = [(plane.x(x), number(x)) for x in whole[::step]]
    parts.append(plane.below(_apart(labels), x_title))
    if best is not None:
        x = plane.x(best)
        parts.append(element("line", x1=x, x2=x, y1=_TOP - 6, y2=plane.floor, class_="best"))
        beside = {"class_": "best end"} if x > WIDTH / 2 else {"class_": "best"}
        parts.append(
            element("text", best_title, x=x + (-6 if x > WIDTH / 2 else 6), y=_TOP + 2, **beside)
        )
    for line in drawn:
        places = [(plane.x(x), plane.y(y)) for x, y in line.points]
        drawn_points = " ".join(f"{x},{y}" for x, y in places)
        parts.append(element("polyline", points=drawn_points, class_=f"line {line.name}"))
        for (x, y), (at, value) in zip(places, line.points):
            title = element("title", f"{line.name}, {x_title} {number(at)}: {number(value)}")
            is_best = at == best
            parts.append(
                element(
                    "circle", title, cx=x, cy=y, r=5 if is_best else 3,
                    class_=f"point {line.name}",
                )
            )  # fmt: skip
    return _picture(parts, label)


@dataclass(frozen=True)
class Bar:
    """A bar of a histogram: what it is of, as told and as written below it, and its height."""

    told: str
    below: str
    height: float


def bars(drawn: Sequence[Bar], *, x_title: str, unit: str, label: str) -> Markup:
    """A histogram.

    Parameters
    ----------
    drawn : sequence of Bar
        At least one; of many only some are written below.
    x_title, unit : str
        What the bars are of, and what their heights count: both for people.
    label : str
        For those who cannot see the chart.
    """
    plane = _Plane((0, len(drawn)), ticks(0, max(bar.height for bar in drawn)))
    width = (WIDTH - _LEFT - _RIGHT) / len(drawn)
    gap = min(2.0, width * 0.15)
    parts, labels = [plane.grid()], []
    for place, bar in enumerate(drawn):
        top = plane.y(bar.height)
        title = element("title", f"{bar.told}: {number(bar.height)} {unit}")
        parts.append(
            element(
                "rect", title, x=round(plane.x(place) + gap / 2, 1), y=top,
                width=round(width - gap, 1), height=round(plane.floor - top, 1), class_="bar",
            )
        )  # fmt: skip
        if bar.below:
            labels.append((plane.x(place + 0.5), bar.below))
    parts.append(plane.below(_apart(labels), x_title))
    return _picture(parts, label)


@dataclass(frozen=True)
class Spread:
    """What lies at an x: the middle value, and from where to where most of them are."""

    at: float
    low: float
    middle: float
    high: float
    count: int


def spreads(drawn: Sequence[Spread], *, x_title: str, y_title: str, label: str) -> Markup:
    """Predicted beside true numbers: for each true one the range of most predictions.

    Parameters
    ----------
    drawn : sequence of Spread
        By their x.
    x_title, y_title : str
        What is known, and what was predicted.
    label : str
        For those who cannot see the chart.
    """
    xs = [spread.at for spread in drawn]
    low, high = min(xs), max(xs)
    room = (high - low) / max(2 * len(drawn), 2) or 0.5
    y_ticks = ticks(min([low, *(s.low for s in drawn)]), max([high, *(s.high for s in drawn)]))
    plane = _Plane((low - room, high + room), y_ticks)
    parts = [
        plane.grid(),
        element(
            "line", x1=plane.x(low), y1=plane.y(low), x2=plane.x(high), y2=plane.y(high),
            class_="ideal",
        ),
    ]  # fmt: skip
    for spread in drawn:
        x = plane.x(spread.at)
        title = element(
            "title",
            f"{x_title} {number(spread.at)}: {number(spread.count)} pairs, {y_title} "
            f"{number(spread.middle)} in the middle, most from {number(spread.low)} to "
            f"{number(spread.high)}",
        )
        parts.append(
            element(
                "g", title,
                element("line", x1=x, x2=x, y1=plane.y(spread.low), y2=plane.y(spread.high),
                        class_="range"),
                element("circle", cx=x, cy=plane.y(spread.middle), r=5, class_="middle"),
            )
        )  # fmt: skip
    parts.append(plane.below([(plane.x(x), number(x)) for x in xs], x_title))
    return _picture(parts, label)


class _Plane:
    """The place of the data in the picture, and the axes around it."""

    def __init__(self, xs: tuple[float, float], y_ticks: Sequence[float]) -> None:
        self._x0, self._x1 = xs
        self._y_ticks = y_ticks
        self.floor = HEIGHT - _BOTTOM

    def x(self, value: float) -> float:
        span = (self._x1 - self._x0) or 1.0
        return round(_LEFT + (value - self._x0) / span * (WIDTH - _LEFT - _RIGHT), 1)

    def y(self, value: float) -> float:
        low, high = self._y_ticks[0], self._y_ticks[-1]
        return round(self.floor - (value - low) / (high - low) * (self.floor - _TOP), 1)

    def grid(self) -> Markup:
        """Horizontal lines with their numbers."""
        parts = []
        for tick in self._y_ticks:
            y = self.y(tick)
            parts.append(element("line", x1=_LEFT, x2=WIDTH - _RIGHT, y1=y, y2=y, class_="grid"))
            parts.append(element("text", number(tick), x=_LEFT - 8, y=y + 4, class_="y"))
        return joined(parts)

    def below(self, labels: Sequence[tuple[float, str]], title: str) -> Markup:
        """The x axis: its numbers and its title."""
        parts = [element("text", text, x=x, y=self.floor + 18, class_="x") for x, text in labels]
        middle = (_LEFT + WIDTH - _RIGHT) / 2
        return joined([*parts, element("text", title, x=middle, y=HEIGHT - 5, class_="x title")])


def _apart(labels: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
    """Those texts below an axis, from the left on, that do not run into the one before."""
    found, free_from = [], 0.0
    for middle, text in labels:
        half = 6 + 4.6 * len(text)
        if middle - half >= free_from:
            found.append((middle, text))
            free_from = middle + half
    return found


def _picture(parts: Sequence[Markup], label: str) -> Markup:
    return element(
        "svg", *parts, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=label, class_="chart"
    )
