// Charts over time, by uPlot.

import { byId, h, number } from "./dom.js";
import { live } from "./live.js";

const HEIGHT = 170;
/// Colours by number, for light and dark: told apart without red and green.
const COLOURS = ["--line-1", "--line-2", "--line-3"];

const styleOf = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const clock = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });
/// A time of the day on 24 hours, as elsewhere on the page; `every`: seconds from one to the next.
const atClock = (seconds, every = 1) => clock.format(seconds * 1000).slice(0, every >= 60 ? 5 : 8);

/// A chart at the end of an element; what it answers with takes the columns, the first of which are seconds.
export function chart(place, { title, unit, series, digits = 1 }) {
  const figure = h("figure", { class: "chart" }, h("figcaption", {}, title), h("div", { class: "plot" }));
  place.append(figure);
  const caption = figure.querySelector("figcaption");
  let plot = null;
  let scheme = null;
  const suffix = unit ? ` ${unit}` : "";
  const build = (data, width) => {
    const axis = { stroke: styleOf("--dim"), grid: { stroke: styleOf("--rule"), width: 1 }, ticks: { stroke: styleOf("--rule") }, font: "12px system-ui" };
    const lines = series.map((name, index) => ({
      label: name,
      stroke: styleOf(COLOURS[index]),
      width: 2,
      dash: index === 1 ? [6, 3] : index === 2 ? [2, 3] : undefined,
      value: (_, value) => (value === null || value === undefined ? "–" : `${number(value, digits)}${suffix}`),
      points: { show: false },
    }));
    const options = {
      width,
      height: HEIGHT,
      scales: { x: { time: true }, y: { range: (_, low, high) => [0, Math.max(high ?? 0, unit === "%" ? 100 : 1)] } },
      axes: [{ ...axis, space: 70, values: (_, times, axisIndex, space, every) => times.map((at) => atClock(at, every)) }, { ...axis, size: 58, values: (_, values) => values.map((value) => `${number(value, 2)}${unit === "%" ? " %" : ""}`) }],
      series: [{ value: (_, at) => (at === null || at === undefined ? "–" : atClock(at)) }, ...lines],
      legend: { live: true },
      cursor: { y: false },
    };
    figure.querySelector(".plot").replaceChildren();
    return new globalThis.uPlot(options, data, figure.querySelector(".plot"));
  };
  return (columns) => {
    const width = Math.max(200, figure.clientWidth - 24);
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    if (!plot || scheme !== dark) {
      plot?.destroy();
      plot = build(columns, width);
      scheme = dark;
    } else {
      if (plot.width !== width) plot.setSize({ width, height: HEIGHT });
      plot.setData(columns);
    }
    const last = series.map((name, index) => `${name} ${number(columns[index + 1].at(-1), digits)}${suffix}`);
    const text = columns[0].length > 0 ? `${title}: ${last.join(", ")}` : title;
    if (caption.textContent !== text) caption.textContent = text;
  };
}

const CHARTS = [
  { title: "Uploads with a result", unit: "/s", series: ["per second"], columns: ["throughput"], digits: 2 },
  { title: "Success", unit: "%", series: ["of what could be"], columns: ["success"], factor: 100 },
  { title: "Latency", unit: "s", series: ["median", "95th", "99th"], columns: ["p50_s", "p95_s", "p99_s"], digits: 2 },
  { title: "CPU, all nodes", unit: "%", series: ["mean"], columns: ["cpu"], factor: 100 },
  { title: "Jobs, all nodes", unit: "", series: ["waiting", "running"], columns: ["queued", "running"] },
  { title: "Done by peers", unit: "/min", series: ["same region", "other region"], columns: ["offloads_same_per_min", "offloads_cross_per_min"] },
  { title: "Done for peers", unit: "/min", series: ["same region", "other region"], columns: ["responses_same_per_min", "responses_cross_per_min"] },
];

let made = null;

export function* showCharts() {
  if (!live.series || !globalThis.uPlot) return;
  const place = byId("charts-body");
  if (!made) {
    place.classList.add("charts");
    made = CHARTS.map((one) => chart(place, one));
    yield;
  }
  const { columns, points } = live.series;
  const column = (name, factor = 1) => {
    const index = columns.indexOf(name);
    return points.map((point) => (point[index] === null ? null : point[index] * factor));
  };
  const at = column("at_s");
  for (const [index, one] of CHARTS.entries()) {
    made[index]([at, ...one.columns.map((name) => column(name, one.factor))]);
    yield;
  }
}
