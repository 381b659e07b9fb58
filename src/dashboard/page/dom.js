// Making elements, and words for figures. Texts become text nodes, whatever is in them.

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
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const byId = (id) => document.getElementById(id);

/// Puts these in the place of all that is in an element, unless it says the same already: what is focused or selected stays.
export function show(element, ...children) {
  const made = document.createElement("div");
  made.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  const same = made.childNodes.length === element.childNodes.length &&
    [...made.childNodes].every((node, index) => node.isEqualNode(element.childNodes[index]));
  if (!same) element.replaceChildren(...made.childNodes);
}

const NONE = "–";

export const number = (value, digits = 0) =>
  value === null || value === undefined ? NONE : value.toLocaleString("en", { maximumFractionDigits: digits });

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
