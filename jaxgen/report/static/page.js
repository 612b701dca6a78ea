"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const models = data.models;
  const colour = (model) => `var(--m${models.indexOf(model) % 8})`;
  const scales = {
    color: { type: "ordinal", domain: models, range: models.map(colour) },
    symbol: { domain: models, range: models.map((_, i) => shape(i)) },
  };
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const dash = (model) => (models.indexOf(model) < 8 ? null : "5 3");

  function shape(i) {
    return ["circle", "square", "triangle", "diamond", "star", "wye", "cross"][i % 7];
  }

  function markSvg(i) {
    const kind = { circle: "Circle", square: "Square", triangle: "Triangle", diamond: "Diamond",
      star: "Star", wye: "Wye", cross: "Cross" }[shape(i)];
    const svg = d3.create("svg:svg").attr("viewBox", "-6 -6 12 12").attr("aria-hidden", "true");
    svg.append("path").attr("d", d3.symbol(d3[`symbol${kind}`], 64)());
    return svg.node();
  }

  function element(name, attributes = {}, ...children) {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children);
    return node;
  }

  function format(value) {
    if (value === null || value === undefined) return "unknown";
    if (Number.isInteger(value)) return value.toLocaleString("en");
    return Math.abs(value) >= 1e-3 && Math.abs(value) < 1e6
      ? String(Number(value.toPrecision(4))) : value.toExponential(3);
  }

  const between = (low, high) =>
    low === null || high === null ? "" : ` (95 %: ${format(low)} to ${format(high)})`;

  // ---- marks, theme, tooltips

  for (const mark of all(".mark")) mark.replaceChildren(markSvg(Number(mark.dataset.mark)));

  document.querySelector("[data-theme-toggle]").addEventListener("click", () => {
    const root = document.documentElement;
    const dark = root.dataset.theme
      ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });

  const tip = document.getElementById("tip");
  document.body.append(tip);

  let anchor = null;

  function showTip(button) {
    anchor = button;
    const facts = document.getElementById(button.dataset.tip);
    tip.replaceChildren(facts.firstElementChild.cloneNode(true));
    tip.hidden = false;
    placeTip();
  }

  function placeTip() {
    if (!anchor) return;
    const box = anchor.getBoundingClientRect();
    const size = tip.getBoundingClientRect();
    const left = Math.min(Math.max(8, box.left), innerWidth - size.width - 8);
    const below = box.bottom + 8 + size.height < innerHeight;
    const top = below ? box.bottom + 6 : Math.max(8, box.top - size.height - 6);
    tip.style.left = `${left}px`;
    tip.style.top = `${top}px`;
  }

  const hideTip = () => { anchor = null; tip.hidden = true; };
  for (const button of all("[data-tip]")) {
    button.addEventListener("pointerenter", () => showTip(button));
    button.addEventListener("focus", () => showTip(button));
    button.addEventListener("click", () => showTip(button));
    button.addEventListener("pointerleave", hideTip);
    button.addEventListener("blur", hideTip);
  }
  addEventListener("keydown", (event) => { if (event.key === "Escape") hideTip(); });
  addEventListener("scroll", placeTip, { passive: true, capture: true });

  // ---- sorting

  function turn(header) {
    const before = header.getAttribute("aria-sort");
    const after = before === "ascending" ? "descending" : before === "descending" ? null : "ascending";
    const table = header.closest("table");
    for (const other of all("[aria-sort]", table)) other.removeAttribute("aria-sort");
    for (const row of all("tr.sorted", table)) row.classList.remove("sorted");
    if (after) header.setAttribute("aria-sort", after);
    return after;
  }

  // columns by the places in one row: the ranked first, the others behind them in page order
  function sortColumns(header) {
    const table = header.closest("table");
    const row = header.closest("tr");
    const state = turn(header);
    const place = (model) => {
      const cell = all("td", row).find((c) => c.dataset.model === model);
      return cell?.dataset.place === undefined ? null : Number(cell.dataset.place);
    };
    const sign = state === "descending" ? -1 : 1;
    const ranked = models.filter((m) => place(m) !== null);
    if (state) ranked.sort((a, b) => sign * (place(a) - place(b)));
    const order = state
      ? [...ranked, ...models.filter((m) => place(m) === null)] : models;
    for (const line of all("tr", table)) {
      const cells = all("[data-model]", line).filter((c) => c.parentElement === line);
      line.append(...order.flatMap((m) => cells.filter((c) => c.dataset.model === m)));
    }
    row.classList.toggle("sorted", Boolean(state));
  }

  const original = new Map();
  function sortRows(header, key) {
    const table = header.closest("table");
    const state = turn(header);
    for (const body of all("tbody", table)) {
      if (!original.has(body)) original.set(body, [...body.rows]);
      const rows = [...original.get(body)];
      const fixed = rows.filter((r) => r.classList.contains("group"));
      const free = rows.filter((r) => !r.classList.contains("group"));
      const sign = state === "descending" ? -1 : 1;
      if (state) free.sort((a, b) => sign * key(a).localeCompare(key(b), "en", { numeric: true }));
      body.append(...fixed, ...free);
    }
  }

  for (const button of all("[data-sort-columns]"))
    button.addEventListener("click", () => sortColumns(button.closest("th")));
  for (const button of all("[data-sort-rows]"))
    button.addEventListener("click", () =>
      sortRows(button.closest("th"), (row) => row.cells[0].dataset.name));
  for (const button of all("[data-sort-by]"))
    button.addEventListener("click", () =>
      sortRows(button.closest("th"), (row) => row.cells[Number(button.dataset.sortBy)].textContent));

  // ---- the same seed in every sheet

  const sheets = all(".sheet");
  let current = 0;

  function select(index, visible) {
    current = index;
    for (const sheet of sheets) {
      const { rows, columns, count, width, height, seed } = sheet.dataset;
      const [w, h] = [Number(width), Number(height)];
      const image = sheet.querySelector("img");
      const ring = sheet.querySelector(".ring");
      const figure = sheet.closest("figure");
      const loupe = figure.querySelector(".loupe");
      const there = index < Number(count);
      ring.hidden = !visible || !there;
      loupe.hidden = !there;
      if (!there) continue;
      const [row, column] = [Math.floor(index / columns), index % columns];
      const scale = image.clientWidth / (columns * (w + 1) - 1);
      Object.assign(ring.style, { left: `${column * (w + 1) * scale}px`,
        top: `${row * (h + 1) * scale}px`, width: `${w * scale}px`, height: `${h * scale}px` });
      const zoom = (innerWidth < 640 ? 64 : 96) / Math.max(w, h);
      Object.assign(loupe.style, { width: `${w * zoom}px`, height: `${h * zoom}px`,
        backgroundImage: `url(${image.src})`,
        backgroundSize: `${(columns * (w + 1) - 1) * zoom}px ${(rows * (h + 1) - 1) * zoom}px`,
        backgroundPosition: `${-column * (w + 1) * zoom}px ${-row * (h + 1) * zoom}px` });
      figure.querySelector("[data-which]").textContent = `seed ${seed}, image ${index}`;
    }
    if (visible) document.querySelector("[data-status]").textContent = `image ${index} of every model`;
  }

  for (const sheet of sheets) {
    const columns = Number(sheet.dataset.columns);
    const count = Number(sheet.dataset.count);
    sheet.addEventListener("pointermove", (event) => {
      const box = sheet.getBoundingClientRect();
      const column = Math.floor((event.clientX - box.left) / box.width * columns);
      const row = Math.floor((event.clientY - box.top) / box.height * Number(sheet.dataset.rows));
      const index = row * columns + column;
      if (column >= 0 && column < columns && index >= 0 && index < count) select(index, true);
    });
    sheet.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
      if (step === undefined) return;
      event.preventDefault();
      select(Math.min(count - 1, Math.max(0, current + step)), true);
    });
  }
  if (sheets.length) select(0, false);

  // ---- charts

  function legend(names, ...extra) {
    const items = names.map((name) => {
      const i = models.indexOf(name);
      const mark = element("span", { class: `mark m${i % 8}`, "aria-hidden": "true" }, markSvg(i));
      return element("span", { class: "model" }, mark, name);
    });
    return element("div", { class: "legend" }, ...items, ...extra);
  }

  // an axis of one value alone would have ticks a hair apart
  function extent(points, ...keys) {
    const [low, high] = d3.extent(points.flatMap((p) => keys.map((k) => p[k])).filter((v) => v !== null));
    return low === high ? { domain: [low - 0.1, high + 0.1] } : {};
  }

  const used = (points) => models.filter((m) => points.some((p) => p.model === m));
  const wishes = { lower: ", lower is better", higher: ", higher is better", none: "" };
  const axis = (a) => `${a.title}${a.unit ? `, ${a.unit}` : ""}${wishes[a.better]}`;

  // points whose text would not lie on that of an earlier one, on a plot of so many pixels
  function apart(points, width, height) {
    const span = (key) => { const [low, high] = d3.extent(points, (p) => p[key]); return high - low || 1; };
    const [x, y] = [span("x") / width, span("y") / height];
    const kept = [];
    for (const p of points)
      if (kept.every((k) => Math.abs(k.x - p.x) / x > 30 || Math.abs(k.y - p.y) / y > 14)) kept.push(p);
    return kept;
  }

  function plane(width) {
    const chart = data.planes[chosen("plane")];
    const points = chart.points.map((p) => ({ ...p, title:
      `${p.model}\n${p.settings}${p.seed === null ? "" : `, seed ${p.seed}`}\n` +
      `${chart.y.title.toLowerCase()} ${format(p.y)}${between(p.y_low, p.y_high)}\n` +
      `${chart.x.title.toLowerCase()} ${format(p.x)}${between(p.x_low, p.x_high)}` }));
    const curve = points.filter((p) => p.knob !== null);
    const height = Math.min(440, Math.max(300, width * 0.72));
    const named = apart(points, width - 90, height - 100).filter((p) => p.knob !== null);
    const plot = Plot.plot({
      width, height, grid: true, ...scales,
      marginLeft: 48, marginTop: 28, marginBottom: 42,
      x: { label: `${axis(chart.x)} →`, nice: true, ...extent(points, "x", "x_low", "x_high") },
      y: { label: `↑ ${axis(chart.y)}`, nice: true, ...extent(points, "y", "y_low", "y_high") },
      marks: [
        Plot.ruleX(points.filter((p) => p.y_low !== null && p.y_high !== null),
          { x: "x", y1: "y_low", y2: "y_high", stroke: "model", strokeOpacity: 0.45 }),
        Plot.ruleY(points.filter((p) => p.x_low !== null && p.x_high !== null),
          { y: "y", x1: "x_low", x2: "x_high", stroke: "model", strokeOpacity: 0.45 }),
        Plot.line(curve, { x: "x", y: "y", z: "model", stroke: "model", strokeWidth: 2 }),
        Plot.dot(points, { x: "x", y: "y", fill: "model", symbol: "model", r: 5,
          stroke: "var(--raised)" }),
        Plot.text(named, { x: "x", y: "y", text: (p) => format(p.knob),
          dx: 9, dy: -7, textAnchor: "start", fill: "var(--soft)", fontSize: 10 }),
        Plot.tip(points, Plot.pointer({ x: "x", y: "y", title: "title" })),
      ],
    });
    return [legend(used(points)), label(plot, `${chart.label}: one curve per model`)];
  }

  function knob(width) {
    const chart = data.knobs[chosen("knob")];
    const points = chart.points.map((p) => ({ ...p, title:
      `${p.model}\n${p.settings}${p.seed === null ? "" : `, seed ${p.seed}`}\n` +
      `${chart.y.title.toLowerCase()} ${format(p.y)}${between(p.low, p.high)}` }));
    const banded = points.filter((p) => p.low !== null && p.high !== null);
    const plot = Plot.plot({
      width, height: Math.min(440, Math.max(300, width * 0.72)), grid: true, ...scales,
      marginLeft: 48, marginTop: 28, marginBottom: 42,
      x: { label: "knob of the sampler: temperature or truncation →", nice: true },
      y: { label: `↑ ${axis(chart.y)}`, nice: true, ...extent(points, "y", "low", "high") },
      marks: [
        Plot.areaY(banded, { x: "knob", y1: "low", y2: "high", z: "model", fill: "model",
          fillOpacity: 0.16 }),
        Plot.line(points, { x: "knob", y: "y", z: "model", stroke: "model", strokeWidth: 2 }),
        Plot.dot(points, { x: "knob", y: "y", fill: "model", symbol: "model", r: 5,
          stroke: "var(--raised)" }),
        Plot.tip(points, Plot.pointer({ x: "knob", y: "y", title: "title" })),
      ],
    });
    return [legend(used(points)), label(plot, `${chart.label} over the knob of each model`)];
  }

  function histogram(width, i) {
    const chart = data.histograms[i];
    const bins = chart.series.flatMap((s) => s.share.map((share, b) => ({ model: s.model,
      split: s.split, share, x1: chart.edges[b], x2: chart.edges[b + 1] })));
    for (const bin of bins) bin.middle = (bin.x1 + bin.x2) / 2;
    const shares = d3.rollup(bins, (v) => v[0].share, (b) => b.model, (b) => b.x1, (b) => b.split);
    const percent = (v) => (v === undefined ? "not measured" : `${(100 * v).toFixed(2)} %`);
    const tips = bins.map((b) => {
      const here = shares.get(b.model).get(b.x1);
      return { ...b, share: Math.max(...here.values()), title:
        `${b.model}\n${format(b.x1)} to ${format(b.x2)}\n` +
        `train ${percent(here.get("train"))}\ntest ${percent(here.get("test"))}` };
    });
    const names = used(chart.series);
    const plot = Plot.plot({
      width, height: 50 + 120 * names.length, ...scales, marginLeft: 48, marginBottom: 42,
      x: { label: `${chart.label}${chart.unit ? `, ${chart.unit}` : ""} →` },
      y: { label: "share of examples", ticks: 3, tickFormat: "%", grid: true, labelAnchor: "center" },
      fy: { axis: null, domain: names, padding: 0.18 },
      marks: [
        Plot.ruleY([0], { stroke: "var(--line)" }),
        Plot.rectY(bins.filter((b) => b.split === "test"), { fy: "model", x1: "x1", x2: "x2",
          y: "share", fill: "model", fillOpacity: 0.42, inset: 0 }),
        Plot.lineY(bins.filter((b) => b.split === "train"), { fy: "model", x: "middle", y: "share",
          z: "model", stroke: "model", strokeWidth: 1.6, curve: "step" }),
        Plot.ruleX(chart.series, { fy: "model", x: "mean", stroke: "model",
          strokeDasharray: "3 3", strokeOpacity: 0.8 }),
        Plot.text(names, { fy: (d) => d, text: (d) => d, frameAnchor: "top-right", dx: -4, dy: 2,
          fill: "currentColor", stroke: "var(--raised)", strokeWidth: 4 }),
        Plot.tip(tips, Plot.pointerX({ fy: "model", x: "middle", y: "share", title: "title" })),
      ],
    });
    const keys = [["line fill", "test"], ["line", "train"]].map(([kind, text]) =>
      element("span", {}, element("span", { class: kind }), text));
    return [legend(names, ...keys), label(plot, `${chart.label} of train and test examples`)];
  }

  function points(width, i) {
    const chart = data.points[i];
    const of = (kind) => chart[kind].map(([x, y]) => ({ x, y, title:
      `${kind === "real" ? `real, ${chart.split}` : chart.model}\n${format(x)}, ${format(y)}` }));
    const [real, made] = [of("real"), of("generated")];
    const style = { x: "x", y: "y", r: 1.7, clip: true };
    const plot = Plot.plot({
      width: Math.min(width, 460), aspectRatio: 1, marginLeft: 34, marginBottom: 26, marginTop: 8,
      x: { domain: chart.x, label: null, ticks: 5 }, y: { domain: chart.y, label: null, ticks: 5 },
      marks: [
        Plot.frame({ stroke: "var(--line)" }),
        Plot.dot(real, { ...style, fill: "var(--soft)", fillOpacity: 0.45 }),
        Plot.dot(made, { ...style, fill: colour(chart.model), fillOpacity: 0.75 }),
        Plot.tip([...real, ...made], Plot.pointer({ x: "x", y: "y", title: "title" })),
      ],
    });
    const grey = element("span", {}, element("span", { class: "spot" }), `real, ${chart.split}`);
    return [legend([chart.model], grey), label(plot, `Points of ${chart.model} over real ones`)];
  }

  function training(width) {
    const chart = data.training[chosen("training")];
    const points = chart.series.flatMap((s) => s.steps.map((step, i) => ({ model: s.model, step,
      value: s.values[i], title: `${s.model}\nstep ${step.toLocaleString("en")}\n${format(s.values[i])}` })));
    const wish = document.querySelector('[data-choice="log"]').checked;
    const log = wish && points.every((p) => p.value > 0);
    const plot = Plot.plot({
      width, height: Math.min(400, Math.max(280, width * 0.45)), grid: true, ...scales,
      marginLeft: 56, marginTop: 28, marginBottom: 42,
      x: { label: "train step →", nice: true, tickFormat: "~s" },
      y: { label: `↑ ${chart.label}${wish && !log ? " (not all positive: linear)" : ""}`, nice: true,
        type: log ? "log" : "linear", ...(log ? { tickFormat: "~g" } : {}) },
      marks: [
        ...used(points).map((model) => Plot.line(points.filter((p) => p.model === model),
          { x: "step", y: "value", stroke: "model", strokeWidth: 1.8, strokeDasharray: dash(model) })),
        points.length < 60 ? Plot.dot(points, { x: "step", y: "value", fill: "model", symbol: "model", r: 3.5 }) : null,
        Plot.tip(points, Plot.pointer({ x: "step", y: "value", title: "title" })),
      ],
    });
    const thinned = Math.max(...chart.series.map((s) => s.thinned));
    const note = thinned > 1 ? [element("span", {}, `every ${thinned}th point`)] : [];
    return [legend(used(points), ...note), label(plot, `${chart.label} over train steps`)];
  }

  function label(plot, text) {
    const svg = plot.matches("svg") ? plot : plot.querySelector("svg");
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", `${text}. Its numbers can be saved below the chart.`);
    return plot;
  }

  const chosen = (key) => Number(document.querySelector(`[data-choice="${key}"]`).value);
  const painters = { plane, knob, histogram, points, training };

  function draw(node) {
    const width = node.clientWidth - 2 * parseFloat(getComputedStyle(node).paddingLeft);
    if (width < 50) return;
    const [kind, i] = node.dataset.chart.split("-");
    node.replaceChildren(...painters[kind](width, Number(i)));
  }

  const widths = new Map();
  const watcher = new ResizeObserver((changes) => {
    for (const { target } of changes) {
      if (widths.get(target) === target.clientWidth) continue;
      widths.set(target, target.clientWidth);
      draw(target);
    }
    if (sheets.length) select(current, !sheets[0].querySelector(".ring").hidden);
  });
  for (const node of all("[data-chart]")) watcher.observe(node);
  for (const control of all("[data-choice]"))
    control.addEventListener("change", () =>
      draw(control.closest("figure").querySelector("[data-chart]")));

  // ---- saving

  const tables = {
    measurements: () => data.measurements,
    planes: () => flat(data.planes, (c) => c.points.map((p) => ({ chart: c.label, x_name: c.x.name,
      y_name: c.y.name, ...p }))),
    knobs: () => flat(data.knobs, (c) => c.points.map((p) => ({ chart: c.label, name: c.y.name, ...p }))),
    histograms: () => flat(data.histograms, (c) => c.series.flatMap((s) => s.share.map((share, b) => ({
      chart: c.label, unit: c.unit, model: s.model, split: s.split, low: c.edges[b],
      high: c.edges[b + 1], share })))),
    paired: () => flat(data.paired, (c) => c.pairs.map((p) => ({ chart: c.label, unit: c.unit, ...p }))),
    points: () => flat(data.points, (c) => ["real", "generated"].flatMap((kind) =>
      c[kind].map(([x, y]) => ({ model: c.model, kind, x, y })))),
    training: () => flat(data.training, (c) => c.series.flatMap((s) => s.steps.map((step, i) => ({
      curve: c.label, model: s.model, step, value: s.values[i] })))),
  };

  function flat(charts, rowsOf) {
    const rows = charts.flatMap(rowsOf);
    const columns = rows.length ? Object.keys(rows[0]) : [];
    return { columns, rows: rows.map((row) => columns.map((c) => row[c] ?? null)) };
  }

  function csv({ columns, rows }) {
    const field = (v) => {
      const text = v === null ? "" : String(v);
      return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
    };
    return [columns, ...rows].map((row) => row.map(field).join(",")).join("\r\n") + "\r\n";
  }

  function save(key, kind) {
    const table = tables[key]();
    const objects = () => table.rows.map((row) =>
      Object.fromEntries(table.columns.map((c, i) => [c, row[i]])));
    const text = kind === "csv" ? csv(table) : JSON.stringify(objects(), null, 1);
    const type = kind === "csv" ? "text/csv" : "application/json";
    const url = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
    const link = element("a", { href: url, download: `jaxgen-${key}.${kind}` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  }

  for (const button of all("[data-save]"))
    button.addEventListener("click", () => save(button.dataset.save, button.dataset.kind));
})();
