// SPDX-License-Identifier: Apache-2.0
// What stands around the map: what it shows, search, the legend, the chosen object, the table.

const MOST_FOUND = 50;
const ROWS = 50;
const MOST_IN_LEGEND = 24;

const $ = (id) => document.getElementById(id);

function made(name, properties = {}, ...children) {
  const { attributes = {}, ...others } = properties;
  const element = Object.assign(document.createElement(name), others);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

// The colours of the style, by their names there, as the browser resolves them for light and dark.
function colourReader() {
  const probe = made("span", { hidden: true });
  document.body.append(probe);
  let known = {};
  const read = (name) => {
    if (!known[name]) {
      const variable = { b8: "rest", b9: "single" }[name] || name.replace(/^b(?=\d)/, "c").replace(/^n(?=\d)/, "g");
      probe.style.color = `var(--${variable})`;
      known[name] = getComputedStyle(probe).color;
    }
    return known[name];
  };
  return { read, forget: () => (known = {}) };
}

class Explorer {
  constructor(payloads) {
    this.payloads = payloads;
    this.opened = new Map();
    this.colours = colourReader();
    this.found = null; // objects that the search found, or null
    this.group = -1; // of the colour that is seen alone
    this.chosen = -1;
    this.page = 0;
  }

  async start() {
    const root = $("maps");
    for (const element of root.querySelectorAll(".tools, .stage, .legend, .listing")) element.hidden = false;
    this.scatter = new Scatter($("plane"), this.colours.read, {
      over: (object, x, y) => this.over(object, x, y),
      choose: (object) => this.choose(object),
      moved: () => ($("tip").hidden = true),
    });
    this.payloads.forEach((element, place) => $("side").append(made("option", { value: place, textContent: element.dataset.title })));
    $("side").parentElement.hidden = this.payloads.length < 2;
    $("side").addEventListener("change", () => this.showSide(Number($("side").value)));
    $("projection").addEventListener("change", () => this.showMap());
    $("colour").addEventListener("change", () => this.showColours());
    $("zoom-in").addEventListener("click", () => this.scatter.zoom(1.6));
    $("zoom-out").addEventListener("click", () => this.scatter.zoom(1 / 1.6));
    $("zoom-all").addEventListener("click", () => this.scatter.fit());
    $("before").addEventListener("click", () => this.list(this.page - 1));
    $("after").addEventListener("click", () => this.list(this.page + 1));
    $("listing").addEventListener("toggle", () => this.list(this.page));
    this.listenToSearch();
    await this.showSide(0);
    root.dataset.ready = Math.round(performance.now());
  }

  repaint() {
    this.colours.forget();
    this.scatter.paintNow();
  }

  async showSide(place) {
    if (!this.opened.has(place)) this.opened.set(place, await openedSide(this.payloads[place]));
    this.side = this.opened.get(place);
    this.chosen = -1;
    $("query").value = "";
    const options = (select, titles) => {
      select.replaceChildren(...titles.map((title, value) => made("option", { value, textContent: title })));
      select.parentElement.hidden = titles.length < 2;
    };
    options($("projection"), this.side.maps.map((map) => map.title));
    options($("colour"), [...this.side.columns.map((column) => column.name), "none"]);
    this.find("");
    this.showMap();
    this.choose(-1);
  }

  showMap() {
    const map = this.side.maps[Number($("projection").value)];
    this.scatter.show(map, this.side.names);
    $("map-note").textContent = [map.note, this.side.note].filter(Boolean).join(" ");
    this.showColours();
    if (this.chosen >= 0) this.scatter.choose(this.chosen, this.near(this.chosen).map(([other]) => other));
  }

  showColours() {
    this.column = this.side.columns[Number($("colour").value)] || null;
    this.group = -1;
    const groups = this.column ? this.column.groups : [];
    const tones = groups.length ? [...groups.map((group) => group.tone), "b8"] : ["b9"];
    this.scatter.paint((object) => {
      if (!this.column) return 0;
      const group = this.column.group(object);
      return group < 0 ? tones.length - 1 : group;
    }, tones);
    this.showLegend(groups);
    this.mark();
    this.list(0);
  }

  showLegend(groups) {
    const counts = groups.map(() => 0);
    let without = 0;
    for (let object = 0; this.column && object < this.side.count; object++) {
      const group = this.column.group(object);
      if (group < 0) without++;
      else if (this.column.kind === "number") counts[group]++;
      else for (let tag = 0; tag < groups.length; tag++) counts[tag] += this.column.has(object, tag);
    }
    const buttons = groups.slice(0, MOST_IN_LEGEND).map((group, place) => {
      const button = made(
        "button",
        { type: "button", attributes: { "aria-pressed": "false" } },
        made("i", { className: group.tone, attributes: { "aria-hidden": "true" } }),
        group.label,
        made("small", { textContent: counts[place].toLocaleString("en") }),
      );
      button.addEventListener("click", () => this.alone(place));
      return made("li", {}, button);
    });
    const further = (label, count) => {
      const dot = made("i", { className: "b8", attributes: { "aria-hidden": "true" } });
      const number = made("small", { textContent: count.toLocaleString("en") });
      buttons.push(made("li", {}, made("span", { className: "step" }, dot, label, number)));
    };
    if (groups.length > MOST_IN_LEGEND) further("other groups", groups.length - MOST_IN_LEGEND);
    if (this.column && without) further("no value", without);
    $("legend").replaceChildren(...buttons);
    $("legend").hidden = !buttons.length;
  }

  alone(group) {
    this.group = this.group === group ? -1 : group;
    $("legend").querySelectorAll("button").forEach((button, place) => button.setAttribute("aria-pressed", String(place === this.group)));
    this.mark();
  }

  // What is drawn in colour: what the search found and the legend chose.
  mark() {
    const found = this.found && new Set(this.found);
    const [column, group] = [this.column, this.group];
    this.scatter.marked =
      found || group >= 0 ? (object) => (!found || found.has(object)) && (group < 0 || column.has(object, group)) : null;
    this.scatter.draw();
  }

  over(object, x, y) {
    const tip = $("tip");
    tip.hidden = object < 0;
    if (object < 0) return;
    tip.replaceChildren(this.side.names[object]);
    const text = this.column && this.column.text(object);
    if (text) tip.append(made("small", { textContent: `${this.column.name}: ${text}` }));
    const frame = tip.parentElement;
    tip.style.left = `${Math.max(4, Math.min(x + 14, frame.clientWidth - tip.offsetWidth - 4))}px`;
    tip.style.top = `${y + 18 + tip.offsetHeight > frame.clientHeight ? y - tip.offsetHeight - 10 : y + 18}px`;
  }

  near(object) {
    const each = this.side.each;
    return Array.from({ length: each }, (_, rank) => [
      this.side.neighbours[object * each + rank],
      this.side.cosines[object * each + rank] / 127 - 1,
    ]);
  }

  choose(object) {
    this.chosen = object;
    const near = object < 0 ? [] : this.near(object);
    this.scatter.choose(object, near.map(([other]) => other));
    const panel = $("chosen");
    if (object < 0) {
      panel.replaceChildren(made("p", { textContent: "Choose a point, or search for a name, to see its nearest neighbours." }));
      return;
    }
    const facts = made("dl");
    for (const column of this.side.columns) {
      const text = column.text(object);
      if (text) facts.append(made("dt", { textContent: column.name }), made("dd", { textContent: text }));
    }
    const items = near.map(([other, cosine]) => {
      const button = made(
        "button",
        { type: "button" },
        made("span", { className: "name", textContent: this.side.names[other] }),
        made("span", { className: "cosine", textContent: cosine.toFixed(2).replace("-", "−") }),
        made("meter", { min: 0, max: 1, value: Math.max(0, cosine), attributes: { "aria-hidden": "true" } }),
      );
      button.addEventListener("click", () => this.choose(other));
      return made("li", {}, button);
    });
    panel.replaceChildren(made("h3", { textContent: this.side.names[object] }), facts);
    if (this.scatter.place(object) < 0) panel.append(made("p", { textContent: "Not among the points of this projection." }));
    if (items.length) panel.append(made("h4", { textContent: "Nearest by cosine" }), made("ol", {}, ...items));
    panel.scrollTop = 0;
  }

  find(query) {
    const asked = query.trim().toLowerCase();
    this.found = null;
    if (asked) {
      this.found = [];
      this.side.found.forEach((name, object) => name.includes(asked) && this.found.push(object));
      // names that begin so come first, and shorter ones before longer ones
      const rank = (object) => (this.side.found[object].startsWith(asked) ? 0 : 1e6) + this.side.found[object].length;
      this.found.sort((a, b) => rank(a) - rank(b));
    }
    const count = this.found ? this.found.length : 0;
    $("hits").textContent = this.found ? `${count.toLocaleString("en")} found` : "";
    const list = $("found");
    list.replaceChildren(
      ...(this.found || []).slice(0, MOST_FOUND).map((object, place) => {
        const item = made("li", {
          id: `found-${place}`,
          textContent: this.side.names[object],
          attributes: { role: "option", "aria-selected": "false" },
        });
        item.addEventListener("pointerdown", (event) => {
          event.preventDefault();
          this.take(place);
        });
        return item;
      }),
    );
    this.offer(count > 0);
    this.mark();
    this.list(0);
  }

  offer(shown) {
    $("found").hidden = !shown;
    $("query").setAttribute("aria-expanded", String(shown));
    this.active = -1;
    $("query").removeAttribute("aria-activedescendant");
  }

  take(place) {
    const object = this.found[place];
    $("query").value = this.side.names[object];
    this.find("");
    this.choose(object);
  }

  listenToSearch() {
    const query = $("query");
    query.addEventListener("input", () => this.find(query.value));
    query.addEventListener("blur", () => this.offer(false));
    query.addEventListener("keydown", (event) => {
      const items = [...$("found").children];
      if (event.key === "Escape") {
        query.value = "";
        this.find("");
      } else if (event.key === "Enter" && items.length) {
        event.preventDefault();
        this.take(Math.max(this.active, 0));
      } else if ((event.key === "ArrowDown" || event.key === "ArrowUp") && items.length) {
        event.preventDefault();
        const step = event.key === "ArrowDown" ? 1 : -1;
        const next = (Math.max(this.active, step > 0 ? -1 : 0) + step + items.length) % items.length;
        this.offer(true);
        this.active = next;
        items.forEach((item, place) => item.setAttribute("aria-selected", String(place === next)));
        items[next].scrollIntoView({ block: "nearest" });
        query.setAttribute("aria-activedescendant", items[next].id);
      }
    });
  }

  // The map for those who cannot see it: all objects, or those found, page by page.
  list(page) {
    if (!$("listing").open) return;
    const objects = this.found || null;
    const count = objects ? objects.length : this.side.count;
    const pages = Math.max(1, Math.ceil(count / ROWS));
    this.page = Math.min(Math.max(page, 0), pages - 1);
    const rows = [];
    for (let at = this.page * ROWS; at < Math.min(count, (this.page + 1) * ROWS); at++) {
      const object = objects ? objects[at] : at;
      const button = made("button", { type: "button", textContent: this.side.names[object] });
      button.addEventListener("click", () => {
        this.choose(object);
        $("plane").closest(".stage").scrollIntoView({ block: "nearest" });
      });
      const near = this.near(object).slice(0, 3).map(([other, cosine]) => `${this.side.names[other]} (${cosine.toFixed(2)})`);
      const row = made("tr", {}, made("th", { scope: "row" }, button));
      if (this.column) row.append(made("td", { textContent: this.column.text(object) }));
      row.append(made("td", { textContent: near.join(" · ") }));
      rows.push(row);
    }
    $("listing-value").hidden = !this.column;
    $("listing-value").textContent = this.column ? this.column.name : "";
    $("rows").replaceChildren(...rows);
    $("page").textContent = `Page ${this.page + 1} of ${pages.toLocaleString("en")}`;
    $("before").disabled = this.page === 0;
    $("after").disabled = this.page === pages - 1;
  }
}
