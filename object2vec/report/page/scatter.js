// SPDX-License-Identifier: Apache-2.0
// The map: points on a canvas that can be moved, zoomed and asked what is under the pointer.

const CELLS = 128; // of the grid in which points are looked up, each way
const WHOLE = 65535; // what places are counted in
const REACH = 14; // pixels around the pointer
const MOST_LABELS = 40;

class Scatter {
  constructor(canvas, colours, told) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.colours = colours;
    this.told = told; // over(object, x, y), choose(object), moved()
    this.count = 0;
    this.marked = null; // a function of objects, or null: those found, or of a chosen colour
    this.chosen = -1;
    this.near = [];
    this.pointers = new Map();
    this.asked = false;
    new ResizeObserver(() => this.resize()).observe(canvas);
    this.listen();
  }

  show(map, names) {
    this.names = names;
    this.objects = map.objects;
    this.count = map.places.length / 2;
    this.x = new Float32Array(this.count);
    this.y = new Float32Array(this.count);
    for (let at = 0; at < this.count; at++) {
      this.x[at] = map.places[2 * at] / WHOLE;
      this.y[at] = 1 - map.places[2 * at + 1] / WHOLE;
    }
    this.placeOf = null;
    if (map.objects) {
      this.placeOf = new Map();
      map.objects.forEach((object, at) => this.placeOf.set(object, at));
    }
    this.index();
    this.fit();
  }

  object(at) {
    return this.objects ? this.objects[at] : at;
  }

  place(object) {
    if (!this.placeOf) return object;
    return this.placeOf.has(object) ? this.placeOf.get(object) : -1;
  }

  paint(toneOf, tones) {
    this.tones = tones;
    this.tone = new Uint8Array(this.count);
    for (let at = 0; at < this.count; at++) this.tone[at] = toneOf(this.object(at));
    this.draw();
  }

  index() {
    const cellOf = (at) => this.cell(this.x[at]) + CELLS * this.cell(this.y[at]);
    this.starts = new Uint32Array(CELLS * CELLS + 1);
    for (let at = 0; at < this.count; at++) this.starts[cellOf(at) + 1]++;
    for (let cell = 0; cell < CELLS * CELLS; cell++) this.starts[cell + 1] += this.starts[cell];
    const next = this.starts.slice();
    this.held = new Uint32Array(this.count);
    for (let at = 0; at < this.count; at++) this.held[next[cellOf(at)]++] = at;
  }

  cell(value) {
    return Math.min(CELLS - 1, Math.max(0, Math.floor(value * CELLS)));
  }

  resize() {
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [this.canvas.clientWidth, this.canvas.clientHeight];
    if (!width || !height) return;
    const unfit = !this.width || this.isWhole;
    [this.width, this.height] = [width, height];
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    if (unfit) this.fit();
    this.paintNow();
  }

  fit() {
    if (!this.count || !this.width) return;
    let [left, right, top, bottom] = [1, 0, 1, 0];
    for (let at = 0; at < this.count; at++) {
      left = Math.min(left, this.x[at]);
      right = Math.max(right, this.x[at]);
      top = Math.min(top, this.y[at]);
      bottom = Math.max(bottom, this.y[at]);
    }
    const margin = 28;
    const across = (this.width - 2 * margin) / Math.max(right - left, 1e-6);
    const down = (this.height - 2 * margin) / Math.max(bottom - top, 1e-6);
    this.scale = this.whole = Math.min(across, down, 1e6);
    this.left = (left + right) / 2;
    this.top = (top + bottom) / 2;
    this.isWhole = true;
    this.draw();
  }

  screen(at) {
    return [
      (this.x[at] - this.left) * this.scale + this.width / 2,
      (this.y[at] - this.top) * this.scale + this.height / 2,
    ];
  }

  zoom(factor, x = this.width / 2, y = this.height / 2) {
    const scale = Math.min(Math.max(this.scale * factor, this.whole / 2), this.whole * 2000);
    const kept = 1 / this.scale - 1 / scale;
    this.left += (x - this.width / 2) * kept;
    this.top += (y - this.height / 2) * kept;
    this.scale = scale;
    this.changed();
  }

  move(x, y) {
    this.left -= x / this.scale;
    this.top -= y / this.scale;
    this.changed();
  }

  changed() {
    this.isWhole = false;
    this.told.moved();
    this.draw();
  }

  choose(object, near) {
    this.chosen = object < 0 ? -1 : this.place(object);
    this.near = near.map((other) => this.place(other)).filter((at) => at >= 0);
    if (this.chosen >= 0) {
      const [x, y] = this.screen(this.chosen);
      if (x < 20 || y < 20 || x > this.width - 20 || y > this.height - 20) {
        this.left = this.x[this.chosen];
        this.top = this.y[this.chosen];
        this.isWhole = false;
      }
    }
    this.draw();
  }

  nearest(x, y, reach = REACH) {
    if (!this.count) return -1;
    const [u, v] = [(x - this.width / 2) / this.scale + this.left, (y - this.height / 2) / this.scale + this.top];
    const around = reach / this.scale;
    let best = -1;
    let least = around * around;
    for (let row = this.cell(v - around); row <= this.cell(v + around); row++) {
      for (let column = this.cell(u - around); column <= this.cell(u + around); column++) {
        const cell = column + CELLS * row;
        for (let held = this.starts[cell]; held < this.starts[cell + 1]; held++) {
          const at = this.held[held];
          if (this.marked && !this.marked(this.object(at))) continue;
          const far = (this.x[at] - u) ** 2 + (this.y[at] - v) ** 2;
          if (far <= least) [best, least] = [at, far];
        }
      }
    }
    return best;
  }

  draw() {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => this.paintNow());
  }

  paintNow() {
    this.asked = false;
    if (!this.width || !this.count || !this.tones) return;
    const context = this.context;
    const ratio = this.canvas.width / this.width;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, this.width, this.height);
    const zoomed = Math.max(1, this.scale / this.whole);
    const small = this.count > 10000 ? 1.4 : this.count > 3000 ? 2.2 : this.count > 500 ? 3.1 : 4.2;
    const room = Math.min(1, Math.sqrt(Math.min(this.width, this.height) / 520));
    const radius = Math.min(small * room * zoomed ** 0.4, 7);
    const shown = this.paintPoints(radius);
    this.paintChosen(radius);
    if (document.activeElement === this.canvas && this.byKeyboard) this.paintCross();
    this.paintLabels(shown, radius);
  }

  paintPoints(radius) {
    const context = this.context;
    const groups = this.tones.map(() => []);
    const faded = [];
    const shown = [];
    for (let at = 0; at < this.count; at++) {
      const [x, y] = this.screen(at);
      if (x < -8 || y < -8 || x > this.width + 8 || y > this.height + 8) continue;
      if (this.marked && !this.marked(this.object(at))) faded.push(x, y);
      else {
        groups[this.tone[at]].push(x, y);
        shown.push(at);
      }
    }
    const layer = (points, tone, alpha) => {
      context.globalAlpha = alpha;
      context.fillStyle = this.colours(tone);
      if (radius < 2) for (let p = 0; p < points.length; p += 2) context.fillRect(points[p] - radius, points[p + 1] - radius, 2 * radius, 2 * radius);
      else {
        context.beginPath();
        for (let p = 0; p < points.length; p += 2) {
          context.moveTo(points[p] + radius, points[p + 1]);
          context.arc(points[p], points[p + 1], radius, 0, 2 * Math.PI);
        }
        context.fill();
      }
    };
    layer(faded, "b8", 0.18);
    // the rest of many colours lies below
    const order = groups.map((_, group) => group).sort((a, b) => (this.tones[b] === "b8") - (this.tones[a] === "b8"));
    for (const group of order) layer(groups[group], this.tones[group], this.chosen >= 0 ? 0.4 : this.count > 10000 ? 0.6 : 0.78);
    context.globalAlpha = 1;
    return shown;
  }

  paintChosen(radius) {
    const context = this.context;
    const ring = (at, size, width) => {
      const [x, y] = this.screen(at);
      context.beginPath();
      context.arc(x, y, size, 0, 2 * Math.PI);
      context.fillStyle = this.colours(this.tones[this.tone[at]]);
      context.fill();
      context.lineWidth = width;
      context.strokeStyle = this.colours("ink");
      context.stroke();
    };
    for (const at of this.near) ring(at, Math.max(radius, 3.5), 1.4);
    if (this.chosen >= 0) ring(this.chosen, Math.max(radius + 2, 6), 2.5);
  }

  paintCross() {
    const context = this.context;
    const [x, y] = [this.width / 2, this.height / 2];
    context.strokeStyle = this.colours("ink");
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(x - 9, y);
    context.lineTo(x + 9, y);
    context.moveTo(x, y - 9);
    context.lineTo(x, y + 9);
    context.stroke();
  }

  paintLabels(shown, radius) {
    const first = [...(this.chosen >= 0 ? [this.chosen] : []), ...this.near];
    const others = shown.length <= 120 ? shown.filter((at) => !first.includes(at)) : [];
    const context = this.context;
    context.font = `12px ${getComputedStyle(this.canvas).fontFamily}`;
    context.textBaseline = "middle";
    context.lineJoin = "round";
    const taken = [];
    for (const at of [...first, ...others].slice(0, MOST_LABELS)) {
      const [x, y] = this.screen(at);
      if (x < 0 || y < 0 || x > this.width || y > this.height) continue;
      const name = this.names[this.object(at)];
      const text = name.length > 34 ? `${name.slice(0, 32)}…` : name;
      const width = context.measureText(text).width;
      const gap = Math.max(radius, 4) + 5;
      const fits = x + gap + width <= this.width || x - gap - width < 0;
      const start = fits ? Math.min(x + gap, Math.max(this.width - width - 2, 2)) : x - gap - width;
      const box = [start - 2, y - 9, start + width + 2, y + 9];
      if (taken.some((other) => box[0] < other[2] && box[2] > other[0] && box[1] < other[3] && box[3] > other[1])) continue;
      taken.push(box);
      context.lineWidth = 4;
      context.strokeStyle = this.colours("paper");
      context.strokeText(text, start, y);
      context.fillStyle = this.colours(at === this.chosen || !first.includes(at) ? "ink" : "soft");
      context.fillText(text, start, y);
    }
  }

  listen() {
    const canvas = this.canvas;
    const at = (event) => {
      const box = canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      this.byKeyboard = false;
      canvas.focus({ preventScroll: true });
      canvas.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, at(event));
      this.travelled = this.pointers.size > 1 ? Infinity : 0;
    });
    canvas.addEventListener("pointermove", (event) => {
      const now = at(event);
      const before = this.pointers.get(event.pointerId);
      if (!before) {
        const point = event.pointerType === "touch" ? -1 : this.nearest(...now);
        canvas.classList.toggle("over", point >= 0);
        this.told.over(point < 0 ? -1 : this.object(point), ...now);
        return;
      }
      if (this.pointers.size > 1) this.pinch(event.pointerId, before, now);
      this.pointers.set(event.pointerId, now);
      this.travelled += Math.hypot(now[0] - before[0], now[1] - before[1]);
      if (this.travelled > 4) {
        canvas.classList.add("moving");
        this.move((now[0] - before[0]) / this.pointers.size, (now[1] - before[1]) / this.pointers.size);
      }
    });
    const ends = (event) => {
      if (!this.pointers.delete(event.pointerId)) return;
      canvas.classList.remove("moving");
      if (event.type !== "pointerup" || this.travelled > 4 || this.pointers.size) return;
      const point = this.nearest(...at(event), event.pointerType === "touch" ? 2 * REACH : REACH);
      this.told.choose(point < 0 ? -1 : this.object(point));
    };
    canvas.addEventListener("pointerup", ends);
    canvas.addEventListener("pointercancel", ends);
    canvas.addEventListener("pointerleave", () => this.told.over(-1, 0, 0));
    canvas.addEventListener(
      "wheel",
      (event) => {
        // as long as nobody has clicked into the map, the wheel moves the page
        if (document.activeElement !== canvas && !event.ctrlKey) return;
        event.preventDefault();
        const lines = event.deltaMode === 1 ? 20 : 1;
        this.zoom(Math.exp(-event.deltaY * lines * (event.ctrlKey ? 0.01 : 0.0018)), ...at(event));
      },
      { passive: false },
    );
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("blur", () => this.draw());
    canvas.addEventListener("focus", () => {
      this.byKeyboard = canvas.matches(":focus-visible");
      this.draw();
    });
  }

  pinch(id, before, now) {
    const other = [...this.pointers].find(([key]) => key !== id)[1];
    const far = (point) => Math.max(Math.hypot(point[0] - other[0], point[1] - other[1]), 1);
    this.zoom(far(now) / far(before), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = 60;
    const keys = {
      ArrowLeft: () => this.move(step, 0),
      ArrowRight: () => this.move(-step, 0),
      ArrowUp: () => this.move(0, step),
      ArrowDown: () => this.move(0, -step),
      "+": () => this.zoom(1.4),
      "=": () => this.zoom(1.4),
      "-": () => this.zoom(1 / 1.4),
      0: () => this.fit(),
      Escape: () => (this.chosen >= 0 ? this.told.choose(-1) : this.canvas.blur()),
      Enter: () => {
        const point = this.nearest(this.width / 2, this.height / 2, Math.max(this.width, this.height));
        if (point >= 0) this.told.choose(this.object(point));
      },
    };
    if (!(event.key in keys)) return;
    event.preventDefault();
    this.byKeyboard = true;
    keys[event.key]();
  }
}
