// Making elements, and words for figures. Texts become text nodes, whatever is in them.

/// Elements that listen.
const listening = new WeakSet();

const SVG = "http://www.w3.org/2000/svg";

/// An element with attributes (`on…` are listeners, `null` and `false` are left out) and children.
export function h(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/// The same of a drawing.
export function s(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) {
      element.addEventListener(key.slice(2), value);
      listening.add(element);
    } else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const byId = (id) => document.getElementById(id);

/// Makes an element say these, with as few changes as can be: what is focused, selected or open stays, and what says the same is
/// not laid out again.
export function show(element, ...children) {
  const made = children.flat(3).filter((child) => child !== null && child !== undefined && child !== false);
  let old = element.firstChild;
  for (const one of made) {
    const node = one instanceof Node ? one : document.createTextNode(one);
    if (old === null) {
      element.append(node);
    } else {
      const next = old.nextSibling;
      become(old, node);
      old = next;
    }
  }
  while (old !== null) {
    const next = old.nextSibling;
    old.remove();
    old = next;
  }
}

/// Makes a node of the page say what a new one does; where that can't be, the new one takes its place.
function become(old, made) {
  if (old === made) return;
  // What listens has its own things in mind, and is exchanged as a whole.
  const other = old.nodeType !== made.nodeType || old.nodeName !== made.nodeName || listening.has(old) || listening.has(made);
  if (other) {
    if (!old.isEqualNode(made)) old.replaceWith(made);
  } else if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== made.data) old.data = made.data;
  } else {
    for (const { name } of [...old.attributes]) if (!made.hasAttribute(name)) old.removeAttribute(name);
    for (const { name, value } of made.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    show(old, ...made.childNodes);
  }
}

/// Puts these elements into another one, in this order; those that are there already stay as they are.
export function arrange(element, nodes) {
  let at = element.firstChild;
  for (const node of nodes) {
    if (at !== null && at !== node && at.nextSibling === node) {
      at.remove();
      at = node;
    }
    if (at === node) at = at.nextSibling;
    else element.insertBefore(node, at);
  }
  while (at !== null) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

/// Elements by a key, made once and kept for as long as they are asked for.
export function keeper() {
  let kept = new Map();
  return (items, keyOf, make) => {
    const before = kept;
    kept = new Map();
    return items.map((item) => {
      const key = keyOf(item);
      const element = before.get(key) ?? make(item);
      kept.set(key, element);
      return element;
    });
  };
}

const NONE = "–";

/// By digits: to make one takes longer than to use it a hundred times.
const formats = [0, 1, 2, 3, 4].map((maximumFractionDigits) => new Intl.NumberFormat("en", { maximumFractionDigits }));

export const number = (value, digits = 0) => (value === null || value === undefined ? NONE : formats[digits].format(value));

export const percent = (part, digits = 0) =>
  part === null || part === undefined ? NONE : `${number(part * 100, digits)} %`;

export function ms(value) {
  if (value === null || value === undefined) return NONE;
  if (value < 10) return `${number(value, 1)} ms`;
  if (value < 1000) return `${number(value)} ms`;
  return time(value);
}

/// A time in milliseconds, as people say it.
export function time(value) {
  if (value === null || value === undefined) return NONE;
  const seconds = value / 1000;
  if (seconds < 10) return `${number(seconds, 1)} s`;
  if (seconds < 120) return `${number(seconds)} s`;
  if (seconds < 7200) return `${number(seconds / 60)} min`;
  return `${number(seconds / 3600)} h`;
}

export const seconds = (value) => (value === null || value === undefined ? NONE : time(value * 1000));

export function bytes(value) {
  if (value === null || value === undefined) return NONE;
  const units = ["B", "KB", "MB", "GB", "TB"];
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${number(value, value < 10 && unit > 0 ? 1 : 0)} ${units[unit]}`;
}

/// A bar for a part, with its figure as text beside it.
export function bar(part, label, text = percent(part)) {
  if (part === null || part === undefined) return h("span", { class: "dim" }, NONE);
  const level = part >= 0.9 ? "high" : part >= 0.7 ? "middle" : "low";
  return h(
    "span",
    { class: "bar" },
    h("meter", { class: level, min: 0, max: 1, value: Math.min(part, 1), "aria-label": label }),
    h("span", {}, text),
  );
}

export const nodeLink = (name) => h("a", { href: `#node/${encodeURIComponent(name)}` }, name);
