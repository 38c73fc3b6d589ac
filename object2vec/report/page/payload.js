// SPDX-License-Identifier: Apache-2.0
// What the page holds of a side: names, places on maps, neighbours, columns; unpacked when it is asked for.

const TYPES = { u1: Uint8Array, u2: Uint16Array, u4: Uint32Array, f4: Float32Array };
const COLOURS = 8; // of groups; the rest share one

async function unpacked(element) {
  const text = atob(element.textContent.trim());
  const packed = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) packed[at] = text.charCodeAt(at);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

// A header in JSON, its length before it, and then arrays, which the header lists.
async function openedSide(element) {
  const buffer = await unpacked(element);
  const length = new DataView(buffer).getUint32(0, true);
  const side = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  let at = 4 + length;
  const arrays = {};
  for (const { name, type, count } of side.arrays) {
    const kind = TYPES[type];
    const bytes = count * kind.BYTES_PER_ELEMENT;
    arrays[name] = new kind(buffer.slice(at, at + bytes));
    at += bytes;
  }
  side.count = side.names.length;
  side.found = side.names.map((name) => name.toLowerCase());
  side.neighbours = arrays.neighbours;
  side.cosines = arrays.cosines;
  side.maps.forEach((map, place) => {
    map.places = arrays[`map${place}`];
    map.objects = arrays[`objects${place}`] || null;
  });
  side.columns.forEach((column, place) => prepareColumn(column, arrays[`column${place}`]));
  return side;
}

// Gives a column `group(object)`, a number of a colour or -1, `text(object)` and its `groups`.
function prepareColumn(column, values) {
  if (column.kind === "number") {
    column.text = (object) => (Number.isNaN(values[object]) ? "" : shownNumber(values[object]));
    column.group = (object) => {
      if (Number.isNaN(values[object])) return -1;
      let group = 0;
      while (group < column.edges.length && values[object] >= column.edges[group]) group++;
      return group;
    };
    column.groups = column.ranges.map((label, group) => ({ label, tone: `n${group}` }));
    column.has = (object, group) => column.group(object) === group;
  } else {
    column.text = (object) => column.cells[values[object]].map((tag) => column.labels[tag]).join(", ");
    // of several groups the first that has a colour of its own
    const groupOf = column.cells.map((tags) => (tags.length ? (tags.find((tag) => tag < COLOURS) ?? tags[0]) : -1));
    column.group = (object) => groupOf[values[object]];
    column.groups = column.labels.map((label, group) => ({ label, tone: `b${Math.min(group, COLOURS)}` }));
    column.has = (object, group) => column.cells[values[object]].includes(group);
  }
}

function shownNumber(value) {
  const rounded = Number(value.toPrecision(6));
  return Number.isInteger(rounded) && Math.abs(rounded) < 1e5 ? String(rounded) : rounded.toLocaleString("en");
}
