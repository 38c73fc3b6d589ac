// SPDX-License-Identifier: Apache-2.0
// Light and dark, paper, and the start of the map.

const root = document.documentElement;
const prefersDark = matchMedia("(prefers-color-scheme: dark)");
let explorer = null;

function isDark() {
  return root.dataset.theme ? root.dataset.theme === "dark" : prefersDark.matches;
}

function themeChanged() {
  $("theme").textContent = isDark() ? "Light" : "Dark";
  $("theme").setAttribute("aria-label", isDark() ? "Change to light colours" : "Change to dark colours");
  if (explorer) explorer.repaint();
}

$("theme").hidden = false;
$("theme").addEventListener("click", () => {
  root.dataset.theme = isDark() ? "light" : "dark";
  themeChanged();
});
prefersDark.addEventListener("change", themeChanged);

// Paper is white, and details are read there or nowhere.
let before = null;
addEventListener("beforeprint", () => {
  const closed = [...document.querySelectorAll("details:not(.listing):not([open])")];
  before = { theme: root.dataset.theme, closed };
  closed.forEach((details) => (details.open = true));
  root.dataset.theme = "light";
  themeChanged();
});
addEventListener("afterprint", () => {
  if (!before) return;
  before.closed.forEach((details) => (details.open = false));
  if (before.theme) root.dataset.theme = before.theme;
  else delete root.dataset.theme;
  before = null;
  themeChanged();
});

themeChanged();
const payloads = [...document.querySelectorAll("script[data-side]")];
if (payloads.length) {
  if (typeof DecompressionStream === "undefined") {
    $("map-note").textContent = "This browser is too old for the map: it needs one of 2023 or newer.";
    $("map-help").hidden = true;
  } else {
    const started = new Explorer(payloads);
    started.start().then(() => (explorer = started));
  }
}
