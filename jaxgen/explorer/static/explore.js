// The page of `jaxgen explore`: a state, its picture, and what can be done with both.

const VERSION = 1;
const MOST_AT_ONCE = 2; // requests: the server draws one while the next is on its way
const MOST_EARLIER = 24;
const POLL = 400; // milliseconds
const LANE = [...crypto.getRandomValues(new Uint8Array(16))].map((b) => (b % 36).toString(36)).join("");
const SETS = [
  ["all", "Given"],
  ["seed", "Samples"],
  ["move.", "Attributes"],
  ["level.", "Levels of latents"],
  ["codes", "Latents"],
];

const $ = (id) => document.getElementById(id);
const make = (name, properties = {}, ...children) => {
  const found = Object.assign(document.createElement(name), properties);
  found.append(...children);
  return found;
};

let about = null;
let state = { seed: 0, upload: null, values: {} };
let shown = { number: -1, state: null, pictures: [], bitmaps: [] };
let wanted = null;
let flying = 0;
let asked = 0;
const sources = []; // before the one that is shown
const ends = { first: null, second: null };

// -- the server

async function call(path, body, type = "application/json") {
  const options = body === undefined ? {} : { method: "POST", body, headers: { "Content-Type": type } };
  const answer = await fetch(path, options);
  if (answer.ok) return answer;
  let text = `${answer.status} ${answer.statusText}`;
  try { text = (await answer.json()).error ?? text; } catch { /* no JSON: the status says enough */ }
  throw Object.assign(new Error(text), { status: answer.status });
}
const post = (path, value) => call(path, JSON.stringify(value));

function say(text, problem = false) {
  $("status").textContent = text;
  $("status").classList.toggle("problem", problem);
}

async function attempt(action) {
  try { await action(); } catch (error) {
    say(error instanceof TypeError ? "The server does not answer: is jaxgen explore still running?" : error.message, true);
  }
}

// -- the state, and links to it

const control = (name) => about.controls.find((c) => c.name === name);
const usual = (c) => (c.optional ? null : c.value);
const clone = (value) => JSON.parse(JSON.stringify(value));

function written(of) {
  const words = new URLSearchParams({ v: VERSION, seed: of.seed });
  if (of.upload) words.set("upload", of.upload);
  for (const c of about.controls) {
    const value = of.values[c.name];
    if (value !== usual(c)) words.set(`c.${c.name}`, value);
  }
  return `#${words}`;
}

function read(words) {
  const found = { seed: 0, upload: null, values: {} };
  for (const c of about.controls) found.values[c.name] = usual(c);
  if (!words.has("v")) return found;
  if (words.get("v") !== String(VERSION)) {
    say("The link is of another version of this page: it begins anew.", true);
    return found;
  }
  const seed = Number(words.get("seed"));
  if (Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32) found.seed = seed;
  if (/^[0-9a-f]{64}$/.test(words.get("upload") ?? "")) found.upload = words.get("upload");
  const left = [];
  for (const [key, text] of words) {
    if (!key.startsWith("c.")) continue;
    const c = control(key.slice(2));
    const value = Number(text);
    if (c && text !== "" && value >= c.least && value <= c.most) found.values[c.name] = value;
    else left.push(key.slice(2));
  }
  if (left.length) say(`Of the link these runs do not have: ${left.join(", ")}.`, true);
  return found;
}

// -- drawing: the newest alone

function draw(final) {
  wanted = { state: clone(state), final, start: performance.now() };
  pump();
}

function pump() {
  if (!wanted || flying >= MOST_AT_ONCE) return;
  const { state: of, final, start } = wanted;
  wanted = null;
  flying += 1;
  const number = asked++;
  attempt(async () => {
    try {
      const answer = await (await post("/api/draw", { lane: LANE, number, final, state: of })).json();
      if (answer.superseded || number < shown.number) return; // a newer one is shown, or comes
      const bitmaps = await Promise.all(answer.pictures.map(bitmap));
      if (number < shown.number) return;
      paint(number, of, final, answer, bitmaps);
      requestAnimationFrame(() => {
        const took = performance.now() - start;
        performance.measure("painted", { start, duration: took });
        $("latency").textContent = `${took.toFixed(0)} ms`;
      });
    } finally {
      flying -= 1;
      pump();
    }
  });
}

async function bitmap(picture) {
  return picture.data ? createImageBitmap(new Blob([bytes(picture.data)], { type: picture.type })) : null;
}
const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

function paint(number, of, final, answer, bitmaps) {
  shown = { number, state: of, pictures: answer.pictures, bitmaps, final };
  answer.pictures.forEach((picture, k) => {
    const canvas = $(`picture-${k}`);
    if (bitmaps[k]) put(canvas, bitmaps[k]);
    canvas.setAttribute("aria-label", `Picture of ${about.runs[k].name}, ${source(of)}`);
    if (final || picture.problem) $(`facts-${k}`).replaceChildren(...facts(picture));
  });
  document.body.dataset.painted = `${number} ${final}`;
  if (!final) return;
  history.replaceState(null, "", written(of));
  if (answer.pictures.some((p) => p.search)) return search(of);
  $("typed").hidden = true;
  if (bitmaps.some(Boolean)) remember(of, bitmaps);
  if ($("status").classList.contains("problem") === false) say("");
}

function put(canvas, image) {
  canvas.width = image.width;
  canvas.height = image.height;
  canvas.getContext("2d").drawImage(image, 0, 0);
}

const source = (of) => (of.upload ? "your picture" : `seed ${of.seed}`);

function facts(picture) {
  const out = [];
  if (picture.problem) out.push(make("li", { className: "problem", textContent: picture.problem }));
  if (picture.search) out.push(make("li", { textContent: "Its codes have to be searched for." }));
  if (picture.error) {
    const { mean, most } = picture.error;
    const off = `Off your picture by ${mean.toFixed(2)} of 255 on average, ${most.toFixed(0)} at most`;
    out.push(make("li", { textContent: most === 0 ? "Equal to your picture" : off }));
  }
  if (picture.likelihood) {
    const { exact, kind, nats, bits_per_dim: bits, measure } = picture.likelihood;
    const name = exact ? "Log-likelihood" : `Log-likelihood, bound (${kind})`;
    const per = measure === "mass" ? ` · ${bits.toFixed(3)} bits/dim` : "";
    out.push(make("li", { textContent: `${name}: ${nats.toFixed(1)} nats${per}` }));
  }
  return out;
}

// -- earlier pictures

function remember(of, bitmaps) {
  const key = written(of);
  if ($("strip").firstElementChild?.dataset.key === key) return;
  const canvas = make("canvas");
  put(canvas, bitmaps.find(Boolean));
  canvas.setAttribute("aria-hidden", "true");
  const changed = about.controls.filter((c) => of.values[c.name] !== usual(c));
  const said = [source(of), ...changed.map((c) => `${c.label} ${of.values[c.name]}`)].join(", ");
  const button = make("button", { type: "button", title: said, onclick: () => go(clone(of)) }, canvas);
  button.setAttribute("aria-label", `Back to ${said}`);
  const item = make("li", {}, button);
  item.dataset.key = key;
  $("strip").prepend(item);
  while ($("strip").children.length > MOST_EARLIER) $("strip").lastElementChild.remove();
}

function go(to) {
  state = to;
  refresh();
  draw(true);
}

// -- controls

function build() {
  const left = new Set(about.controls);
  for (const [of, name] of SETS) {
    const here = [...left].filter((c) => (of.endsWith(".") ? c.name.startsWith(of) : c.of === of));
    if (!here.length) continue;
    here.forEach((c) => left.delete(c));
    $("sets").append(make("fieldset", {}, make("legend", { textContent: name }), ...here.map(row)));
  }
}

function row(c) {
  const id = `control-${c.name}`;
  const label = make("label", { htmlFor: id, textContent: c.label });
  const out = make("output", { id: `${id}-out` });
  out.setAttribute("for", id);
  const head = make("div", { className: "head" }, label, out);
  const input = c.choices.length
    ? make("select", { id }, ...c.choices.map(([value, text]) => make("option", { value, textContent: text })))
    : make("input", { id, type: "range", min: c.least, max: c.most, step: c.step });
  const set = (final) => () => {
    state.values[c.name] = Number(input.value);
    refresh();
    draw(final);
  };
  if (!c.choices.length) input.addEventListener("input", set(false));
  input.addEventListener("change", set(true));
  const parts = [head, input];
  if (c.optional) {
    const on = make("input", { id: `${id}-on`, type: "checkbox" });
    on.addEventListener("change", () => {
      state.values[c.name] = on.checked ? c.value : null;
      refresh();
      draw(true);
    });
    head.append(make("label", { htmlFor: on.id, textContent: "on" }), on);
  }
  const having = about.runs.filter((r) => r.controls.includes(c.name));
  if (having.length < about.runs.length) {
    parts.push(make("div", { className: "only", textContent: `of ${having.map((r) => r.name).join(", ")} alone` }));
  }
  return make("div", { className: "control", id: `${id}-row` }, ...parts);
}

function refresh() {
  $("seed").value = state.seed;
  $("back").disabled = !sources.length;
  $("leave").hidden = !state.upload;
  for (const c of about.controls) {
    const input = $(`control-${c.name}`);
    const value = state.values[c.name];
    const idle = c.of === "seed" && state.upload !== null;
    if (c.optional) $(`control-${c.name}-on`).checked = value !== null;
    input.value = value ?? c.value;
    input.disabled = idle || value === null;
    if (c.optional) $(`control-${c.name}-on`).disabled = idle;
    $(`control-${c.name}-row`).classList.toggle("off", input.disabled);
    const digits = c.step < 0.1 ? 2 : c.step < 1 ? 1 : 0;
    $(`control-${c.name}-out`).textContent = c.choices.length || value === null ? "" : value.toFixed(digits);
  }
}

function turn(seed, upload) {
  sources.push({ seed: state.seed, upload: state.upload });
  Object.assign(state, { seed, upload });
  say("");
  refresh();
  draw(true);
}

// -- a picture of one's own

async function upload(file) {
  if (file.size > about.most_upload) {
    throw new Error(`${file.name} has ${(file.size / 2 ** 20).toFixed(1)} MiB, at most ${about.most_upload / 2 ** 20} can be taken.`);
  }
  say(`Reading ${file.name}`);
  const query = $("fit").value ? `?fit=${$("fit").value}` : "";
  const answer = await call(`/api/upload${query}`, file, "application/octet-stream");
  turn(state.seed, (await answer.json()).upload);
}

async function search(of) {
  const { job } = await (await post("/api/search", { state: of })).json();
  $("searching").hidden = false;
  try {
    for (;;) {
      const { over, done, total } = await (await call(`/api/jobs/${job}`)).json();
      Object.assign($("progress"), { value: done, max: Math.max(1, total) });
      if (over) break;
      await new Promise((then) => setTimeout(then, POLL));
    }
  } finally {
    $("searching").hidden = true;
  }
  if (state.upload === of.upload) draw(true);
}

// -- what is taken away

function save(content, name) {
  const address = URL.createObjectURL(content);
  make("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    say(`${what} copied.`);
  } catch { // not allowed, or no safe context: it can be selected by hand
    $("typed").textContent = text;
    $("typed").hidden = false;
    say(`${what}: your browser does not let this page copy; it is below the picture.`);
  }
}

const extension = (picture) => (picture.type === "image/png" ? "png" : "jpg");

function wire() {
  $("save").onclick = () => shown.pictures.forEach((p, k) => {
    if (p.data) save(new Blob([bytes(p.data)], { type: p.type }), `${about.runs[k].name}-${shown.state.upload ? "upload" : `seed${shown.state.seed}`}.${extension(p)}`);
  });
  $("link").onclick = () => copy(location.origin + location.pathname + written(state), "Link");
  $("command").onclick = () => {
    const lines = shown.pictures.map((p) => p.command ?? `# ${p.problem ?? p.why ?? "nothing is drawn yet"}`);
    $("typed").textContent = lines.join("\n");
    $("typed").hidden = false;
    return copy(lines.join("\n"), "Command");
  };
  $("seed").addEventListener("change", () => {
    const seed = Number($("seed").value);
    if (Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32) turn(seed, null);
    else { say("A seed is a whole number from 0 to 4294967295.", true); refresh(); }
  });
  $("new").onclick = () => turn(crypto.getRandomValues(new Uint32Array(1))[0] % 1000000, null);
  $("back").onclick = () => { Object.assign(state, sources.pop()); say(""); refresh(); draw(true); };
  $("leave").onclick = () => turn(state.seed, null);
  $("reset").onclick = () => { for (const c of about.controls) state.values[c.name] = usual(c); say(""); refresh(); draw(true); };
  $("file").addEventListener("change", () => $("file").files[0] && attempt(() => upload($("file").files[0])));
  $("fit").addEventListener("change", () => $("file").files[0] && state.upload && attempt(() => upload($("file").files[0])));
  for (const [kind, over] of [["dragover", true], ["dragleave", false], ["drop", false]]) {
    $("stage").addEventListener(kind, (event) => {
      event.preventDefault();
      $("pictures").classList.toggle("drop", over);
      const file = kind === "drop" && event.dataTransfer.files[0];
      if (file) attempt(() => upload(file));
    });
  }
  for (const end of ["first", "second"]) {
    $(`set-${end}`).onclick = () => {
      if (!shown.state || !shown.bitmaps.some(Boolean)) return;
      ends[end] = clone(shown.state);
      put($(end), shown.bitmaps.find(Boolean));
      $(end).setAttribute("aria-label", `${end === "first" ? "First" : "Second"} picture: ${source(shown.state)}`);
      $("morph").disabled = !(ends.first && ends.second);
    };
  }
  $("morph").onclick = () => attempt(async () => {
    $("morph").disabled = true;
    say("Drawing the film");
    try {
      const format = $("format").value;
      const answer = await post("/api/morph", { run: Number($("morph-run").value), ...ends, format });
      if ($("moving").src) URL.revokeObjectURL($("moving").src);
      const address = URL.createObjectURL(await answer.blob());
      $("moving").src = address;
      Object.assign($("download"), { href: address, download: `morph.${format}` });
      $("film").hidden = false;
      say("");
    } finally { $("morph").disabled = false; }
  });
}

function describe() {
  document.title = `${about.runs.map((r) => r.name).join(" and ")}: jaxgen explore`;
  const names = about.runs.flatMap((r, k) => [
    ...(k ? [make("span", { className: "versus", textContent: " vs " })] : []),
    r.name, make("small", { textContent: `${r.data}, step ${r.step}` }),
  ]);
  $("title").replaceChildren(...names);
  about.runs.forEach((r, k) => {
    const canvas = make("canvas", { id: `picture-${k}`, width: r.width, height: r.height });
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `Picture of ${r.name}`);
    const facts = make("ul", { id: `facts-${k}`, className: "facts" });
    $("pictures").append(make("figure", {}, canvas, make("figcaption", {}, make("b", { textContent: r.name }), facts)));
    $("morph-run").append(make("option", { value: k, textContent: r.name, disabled: !r.morph }));
  });
  const able = about.runs.filter((r) => r.upload);
  $("uploading").hidden = !able.length;
  const why = about.runs.flatMap((r) => [...(r.why ? [`${r.name}: ${r.why}`] : []), ...r.notes]);
  $("cannot").replaceChildren(...why.map((text) => make("li", { textContent: text })));
  $("cannot").hidden = !why.length;
  $("of-run").hidden = about.runs.length < 2;
  $("morphing").hidden = !about.runs.some((r) => r.morph);
  const morphs = about.runs.findIndex((r) => r.morph);
  if (morphs >= 0) $("morph-run").value = morphs;
}

// -- the beginning

async function open() {
  try {
    about = await (await call("/api/about")).json();
  } catch (error) {
    if (error.status !== 403) throw error;
    $("locked").hidden = false;
    $("token").focus();
    return;
  }
  $("locked").hidden = true;
  describe();
  build();
  wire();
  const words = new URLSearchParams(location.hash.slice(1));
  state = read(words);
  $("main").hidden = false;
  refresh();
  draw(true);
  addEventListener("hashchange", () => go(read(new URLSearchParams(location.hash.slice(1)))));
}

async function unlock(token) {
  await post("/api/session", { token });
  await open();
}

$("theme").onclick = () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
};
$("locked").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(() => unlock($("token").value.trim()));
});

const words = new URLSearchParams(location.hash.slice(1));
const token = words.get("token");
if (token) { // out of the address, and of what is copied from it, before anything else
  words.delete("token");
  history.replaceState(null, "", words.size ? `#${words}` : location.pathname);
}
attempt(() => (token ? unlock(token) : open()));
