# SPDX-License-Identifier: Apache-2.0
"""Reports in a real browser: what is seen, pointed at, searched, clicked, typed and printed."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import Report, chromium
from report_contents import HOSTILE, content, map_side

from object2vec.report.page import page

pytestmark = [pytest.mark.own_way, pytest.mark.slow]

COUNTS = (1682, 50_000)
RENDERED = "document.documentElement.scrollWidth <= window.innerWidth"


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Reports by how many objects they map."""
    folder, rng = tmp_path_factory.mktemp("pages"), np.random.default_rng(1)
    found = {}
    for count in COUNTS:
        side = map_side(rng, count, exact=count < 10_000)
        found[count] = folder / f"{count}.html"
        found[count].write_bytes(page(content(side), "today"))
    return found


@pytest.fixture(params=COUNTS)
def report(request: pytest.FixtureRequest, driver: Any, pages: dict[int, Path]) -> Report:
    return Report(driver, pages[request.param])


def test_a_point_is_named_under_the_pointer_and_chosen_by_a_click(report: Report) -> None:
    corner = report.corner()
    report.point_at(*corner)
    assert report.text("tip").startswith("Film number 1 (1951)")
    assert "kind: kind 1" in report.text("tip")
    report.point_at(*corner, click=True)
    assert report.run("return document.querySelector('#chosen h3').textContent") == (
        "Film number 1 (1951)"
    )
    near = report.run(
        "return [...document.querySelectorAll('#chosen .name')].map(e => e.innerText)"
    )
    assert len(near) == 10 and "Film number 1 (1951)" not in near
    # one of them is chosen next
    report.driver.find_element("css selector", "#chosen li button").click()
    assert report.run("return document.querySelector('#chosen h3').textContent") == near[0]
    report.point_at(corner[0], corner[1] - 20)
    assert not report.element("tip").is_displayed()
    assert report.errors() == []


def test_a_name_is_found_by_a_part_of_it(report: Report) -> None:
    from selenium.webdriver.common.keys import Keys

    query = report.element("query")
    query.send_keys("NUMBER 1681 (")
    assert report.text("hits") == "1 found"
    options = report.driver.find_elements("css selector", "#found [role=option]")
    assert [option.text for option in options] == ["Film number 1681 (1951)"]
    query.send_keys(Keys.ARROW_DOWN)
    assert query.get_attribute("aria-activedescendant") == options[0].get_attribute("id")
    query.send_keys(Keys.ENTER)
    assert not report.element("found").is_displayed()
    assert report.text("chosen").startswith("Film number 1681 (1951)")
    query.send_keys(Keys.ESCAPE + "no such film")
    assert report.text("hits") == "0 found"
    assert report.errors() == []


def test_it_is_soon_to_be_used(report: Report, request: pytest.FixtureRequest) -> None:
    """Far below this on a quiet machine: see docs/report.md."""
    assert int(report.until("document.getElementById('maps').dataset.ready")) < 20_000
    assert report.run(f"return {RENDERED}")


@pytest.fixture
def small(driver: Any, pages: dict[int, Path]) -> Report:
    return Report(driver, pages[COUNTS[0]])


def drawn(report: Report) -> bytes:
    """What the map shows, once what was asked for is drawn."""
    report.driver.execute_async_script("requestAnimationFrame(() => setTimeout(arguments[0]))")
    return bytes(report.element("plane").screenshot_as_png)


def test_the_map_is_driven_by_the_keyboard(small: Report) -> None:
    from selenium.webdriver.common.keys import Keys

    canvas = small.element("plane")
    small.run("arguments[0].focus()", canvas)
    seen = [drawn(small)]
    for key in ("+", "+", Keys.ARROW_LEFT, Keys.ARROW_UP, "-", "0"):
        canvas.send_keys(key)
        seen.append(drawn(small))
    # at the end the whole map is shown again, with the cross of the keyboard in its middle
    assert len(set(seen)) >= len(seen) - 1
    canvas.send_keys(Keys.ENTER)
    assert small.text("chosen").startswith("Film number ")
    canvas.send_keys(Keys.ESCAPE)
    assert small.text("chosen").startswith("Choose a point")
    assert small.errors() == []


def test_the_wheel_zooms_once_the_map_was_clicked_into(small: Report) -> None:
    from selenium.webdriver.common.action_chains import ActionChains, ScrollOrigin

    canvas = small.element("plane")
    small.run("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", canvas)
    before = drawn(small)
    origin = ScrollOrigin.from_element(canvas)
    ActionChains(small.driver).scroll_from_origin(origin, 0, -60).perform()
    assert drawn(small) == before, "the page is moved, not the map"
    small.point_at(5, 5, click=True)
    before = drawn(small)
    ActionChains(small.driver).scroll_from_origin(origin, 0, -60).perform()
    assert drawn(small) != before


def test_it_is_dragged(small: Report) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    x, y = small.corner()
    small.point_at(x, y)
    assert small.element("tip").is_displayed()
    actions = ActionChains(small.driver, duration=50)
    actions.click_and_hold().move_by_offset(-100, 60).release().perform()
    small.point_at(x, y)
    assert not small.element("tip").is_displayed()
    small.point_at(x - 100, y + 60)
    assert small.text("tip").startswith("Film number 1 ")
    assert small.text("chosen").startswith("Choose a point"), "a drag is no click"


def test_colours_and_projections_are_chosen(small: Report) -> None:
    from selenium.webdriver.support.ui import Select

    titles = "return [...document.querySelectorAll('#legend button')].map(e => e.innerText)"
    first = drawn(small)
    assert len(small.run(titles)) == 12
    colour = Select(small.element("colour"))
    assert [option.text for option in colour.options] == ["kind", "tags", "size", "none"]
    colour.select_by_visible_text("tags")
    kinds = small.run(titles)
    assert [text.split()[0] for text in kinds] == ["blue", "green", "red"]
    assert "no value" in small.text("legend")
    second = drawn(small)
    button = small.driver.find_elements("css selector", "#legend button")[2]
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    alone = drawn(small)
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    colour.select_by_visible_text("size")
    assert len(small.run(titles)) == 5
    Select(small.element("projection")).select_by_visible_text("Another")
    assert small.text("map-note").startswith("A second map.")
    assert len({first, second, alone, drawn(small)}) == 4
    assert small.errors() == []


def test_the_objects_stand_in_a_table_as_well(small: Report) -> None:
    small.driver.find_element("css selector", "#listing summary").click()
    small.until("document.querySelectorAll('#rows tr').length === 50")
    assert small.text("page") == "Page 1 of 34"
    small.element("after").click()
    first = small.driver.find_element("css selector", "#rows th button")
    assert first.text == "Film number 50 (2000)"
    small.run("arguments[0].scrollIntoView({block: 'center'})", first)
    first.click()
    assert small.run("return document.querySelector('.stage').getBoundingClientRect().top") < 740
    assert small.text("chosen").startswith("Film number 50 (2000)")
    small.element("query").send_keys("number 168")
    small.until("document.querySelectorAll('#rows tr').length === 3")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_scheme_is_the_persons_and_can_be_changed(
    driver: Any, pages: dict[int, Path], scheme: str
) -> None:
    report = Report(driver, pages[COUNTS[0]], scheme=scheme)
    background = "return getComputedStyle(document.body).backgroundColor"
    canvas = drawn(report)
    dark, light = "rgb(20, 23, 26)", "rgb(255, 255, 255)"
    assert report.run(background) == {"light": light, "dark": dark}[scheme]
    report.element("theme").click()
    assert report.run(background) == {"light": dark, "dark": light}[scheme]
    assert drawn(report) != canvas, "the map has other colours, too"
    assert report.errors() == []


@pytest.mark.parametrize("width", [360, 768, 1600])
def test_nothing_is_wider_than_the_window(driver: Any, pages: dict[int, Path], width: int) -> None:
    report = Report(driver, pages[COUNTS[0]], width=width, height=740)
    assert report.run(f"return {RENDERED}")
    report.element("query").send_keys("number 7")
    assert report.run(f"return {RENDERED}")


def test_a_hostile_name_is_a_name(driver: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    side = map_side(rng, 30, [HOSTILE, *(f"name {place}" for place in range(29))])
    path = tmp_path / "hostile.html"
    path.write_bytes(page(content(side, title=HOSTILE, unmapped=[HOSTILE]), HOSTILE))
    report = Report(driver, path)
    shown = HOSTILE.replace("\u202e", "\\u202e")
    report.element("query").send_keys("</script>")
    report.driver.find_element("css selector", "#found li").click()
    assert report.run("return document.querySelector('#chosen h3').textContent") == shown
    assert report.run("return document.querySelector('h1').textContent") == shown
    report.driver.find_element("css selector", "#listing summary").click()
    report.until("document.querySelectorAll('#rows tr').length === 30")
    assert report.run("return document.images.length") == 0
    assert report.run("return window.hostile") is None
    assert report.errors() == []


def test_the_policy_lets_no_other_script_run(small: Report) -> None:
    small.run(
        """const script = document.createElement("script");
        script.textContent = "window.intruder = 1";
        document.body.append(script);"""
    )
    assert small.run("return window.intruder") is None
    answer = small.driver.execute_async_script(
        """const done = arguments[0];
        fetch("https://example.com/").then(() => done("sent"), (error) => done(String(error)));"""
    )
    assert "Failed to fetch" in answer
    assert all("Content Security Policy" in message for message in small.errors())


def test_it_reads_as_a_document(small: Report) -> None:
    """Headings in their order, names for all that can be used, an order of the focus."""
    levels = small.run("return [...document.querySelectorAll('h1,h2,h3')].map(e => e.tagName)")
    assert levels[0] == "H1" and levels.count("H1") == 1
    nameless = small.run(
        """return [...document.querySelectorAll("button, select, input, canvas, summary, svg")]
        .filter((e) => !(e.textContent.trim() || e.getAttribute("aria-label") || e.labels?.length
            || e.closest("svg[aria-label]") || e.closest("[hidden]")))
        .map((e) => e.outerHTML)"""
    )
    assert nameless == []
    twice = small.run(
        """const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
        return ids.filter((id, place) => ids.indexOf(id) !== place)"""
    )
    assert twice == []
    lost = small.run(
        """const named = ["aria-controls", "aria-describedby", "aria-labelledby", "for"];
        return named.flatMap((name) => [...document.querySelectorAll(`[${name}]`)]
            .flatMap((e) => e.getAttribute(name).split(" ")))
        .filter((id) => !document.getElementById(id))"""
    )
    assert lost == []


def test_it_is_printed_light_and_whole(driver: Any, pages: dict[int, Path]) -> None:
    report = Report(driver, pages[COUNTS[0]], scheme="dark")
    report.run(
        """window.addEventListener("beforeprint", () => setTimeout(() => {
            window.seen = [...document.querySelectorAll("details")].map((e) => e.open);
        }))"""
    )
    report.run("window.dispatchEvent(new Event('beforeprint'))")
    closed = "return [...document.querySelectorAll('details:not(.listing)')].filter(e => !e.open)"
    assert report.run(f"{closed}.length") == 0
    background = "return getComputedStyle(document.body).backgroundColor"
    assert report.run(background) == "rgb(255, 255, 255)"
    report.run("window.dispatchEvent(new Event('afterprint'))")
    assert report.run(f"{closed}.length") > 0
    assert report.run(background) == "rgb(20, 23, 26)"
    printed = base64.b64decode(driver.execute_cdp_cmd("Page.printToPDF", {})["data"])
    assert printed.startswith(b"%PDF") and report.errors() == []
