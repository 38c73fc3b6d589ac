# SPDX-License-Identifier: Apache-2.0
"""Debian's Chromium without a window, as tests of reports drive it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

SECONDS = 60  # to be patient with a machine that does much else


@contextmanager
def chromium() -> Iterator[Any]:
    """A selenium driver of Chromium; skips where there is none, and fails so under CI."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        reason = "there is no chromium with its driver: apt install chromium chromium-driver"
        if os.environ.get("CI", "").lower() in ("", "0", "false"):
            pytest.skip(reason)
        pytest.fail(f"{reason}, and under CI no test is skipped for lack of it.", pytrace=False)
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = program
    # root has no sandbox, containers have little shared memory
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    found = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        yield found
    finally:
        found.quit()


class Report:
    """A report in the browser.

    Parameters
    ----------
    driver : selenium.webdriver.Chrome
        Of `chromium`.
    path : Path
        The page.
    width, height : int
        Of the window, in pixels.
    scheme : str
        ``light`` or ``dark``: what the person prefers.
    """

    def __init__(
        self, driver: Any, path: Path, width: int = 1200, height: int = 900, scheme: str = "light"
    ) -> None:
        self.driver = driver
        driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
        )
        preferred = {"prefers-color-scheme": scheme, "prefers-reduced-motion": "reduce"}
        features = [{"name": name, "value": value} for name, value in preferred.items()]
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        driver.get_log("browser")
        driver.get(path.as_uri())
        self.until("document.getElementById('maps')?.dataset.ready")

    def run(self, script: str, *arguments: Any) -> Any:
        """What a script gives."""
        return self.driver.execute_script(script, *arguments)

    def until(self, expression: str) -> Any:
        """Wait until an expression is true, and give it."""
        from selenium.webdriver.support.ui import WebDriverWait

        waiting = WebDriverWait(self.driver, SECONDS, poll_frequency=0.05)
        return waiting.until(lambda driver: driver.execute_script(f"return {expression}"))

    def element(self, identity: str) -> Any:
        """The element of an id."""
        return self.driver.find_element("id", identity)

    def text(self, identity: str) -> str:
        """What an element holds, as a person reads it."""
        return str(self.element(identity).text)

    def errors(self) -> list[str]:
        """What the console has told since the page was opened."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def point_at(self, x: float, y: float, click: bool = False) -> None:
        """Move the pointer to a place on the map, in pixels from its left upper corner."""
        from selenium.webdriver.common.action_chains import ActionChains

        canvas = self.element("plane")
        self.run("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", canvas)
        size = canvas.size
        offsets = round(x - size["width"] / 2), round(y - size["height"] / 2)
        actions = ActionChains(self.driver, duration=50)
        actions.move_to_element_with_offset(canvas, *offsets)
        (actions.click() if click else actions).perform()

    def corner(self) -> tuple[float, float]:
        """Where the map shows, at first, the object that lies farthest to the right and to the top.

        Both axes of the map are as long as each other, and its frame is wider than high.
        """
        size = self.element("plane").size
        return size["width"] / 2 + (size["height"] - 2 * 28) / 2, 28
