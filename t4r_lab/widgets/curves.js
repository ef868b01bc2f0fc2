// One SVG per widget. Its nodes are made once; new points extend the path that is there. Only a change of
// scale or width recomputes a path, and even then the node stays.
const SVG = "http://www.w3.org/2000/svg";
const PAD = { left: 46, right: 12, top: 26, bottom: 24 };
const DASHES = ["6 4", "2 3", "10 4 2 4", "1 4"];
const HEIGHT = 168;

function node(name, attributes, parent) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  parent.appendChild(made);
  return made;
}

function figure(value) {
  if (value === 0) return "0";
  const size = Math.floor(Math.log10(Math.abs(value)));
  return size >= 3 ? Math.round(value).toLocaleString("en-US") : size >= -4 ? value.toFixed(Math.min(2 - size, 6)) : value.toExponential(2);
}

// Round steps: 1, 2 or 5 times a power of ten, about `wanted` of them.
function ticks(low, high, wanted) {
  const raw = (high - low) / wanted || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw * 0.999);
  const first = Math.floor(low / step + 1e-9);
  const last = Math.ceil(high / step - 1e-9);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return Array.from({ length: last - first + 1 }, (_, i) => ({ at: (first + i) * step, text: ((first + i) * step).toFixed(digits) }));
}

function render({ model, el }) {
  el.classList.add("t4r-curves");
  const svg = node("svg", { role: "img", height: HEIGHT }, el);
  const back = node("g", {}, svg);
  const title = node("text", { class: "t4r-title", x: 0, y: 12 }, svg);
  const now = node("text", { class: "t4r-now", y: 12, "text-anchor": "end" }, svg);
  const wait = node("text", { class: "t4r-wait", y: HEIGHT / 2, "text-anchor": "middle" }, svg);
  const cursor = node("line", { class: "t4r-cursor", y1: PAD.top, y2: HEIGHT - PAD.bottom, visibility: "hidden" }, svg);
  const paths = new Map(); // name → {path, point, drawn, d}
  const marks = new Map(); // name → {line, text}
  let width = 0, scale = null, key = "", hover = null;

  function axes() {
    const series = model.get("series"), lines = model.get("lines");
    const values = [...Object.values(series).flat().map((p) => p[1]), ...Object.values(lines)];
    wait.textContent = values.length ? "" : model.get("waiting");
    if (!values.length) return null;
    const low = model.get("from_zero") ? 0 : Math.min(...values);
    const highest = Math.max(...values);
    const high = model.get("from_zero") ? highest * 1.1 : highest; // room for the label of the uppermost line
    const steps = ticks(low, high > low ? high : low + Math.abs(low || 1) * 0.1, 3);
    return { steps, low: steps[0].at, high: steps.at(-1).at, end: Math.max(model.get("end"), 1e-9) };
  }

  const x = (epoch) => PAD.left + (epoch / scale.end) * (width - PAD.left - PAD.right);
  const y = (value) => HEIGHT - PAD.bottom - ((value - scale.low) / (scale.high - scale.low)) * (HEIGHT - PAD.top - PAD.bottom);

  function frame() {
    back.replaceChildren();
    for (const step of scale.steps) {
      node("line", { class: "t4r-grid", x1: PAD.left, x2: width - PAD.right, y1: y(step.at), y2: y(step.at) }, back);
      node("text", { x: PAD.left - 8, y: y(step.at) + 4, "text-anchor": "end" }, back).textContent = step.text;
    }
    for (const step of ticks(0, scale.end, Math.min(5, scale.end)).filter((s) => s.at <= scale.end + 1e-9)) {
      const last = step.at > scale.end * 0.97;
      const text = node("text", { x: x(step.at), y: HEIGHT - 6, "text-anchor": last ? "end" : "middle" }, back);
      text.textContent = step.at === 0 ? "epoch 0" : step.text;
      if (step.at === 0) text.setAttribute("text-anchor", "start");
    }
  }

  function references() {
    const lines = Object.entries(model.get("lines"));
    const named = lines.map(([name]) => name).sort(); // the same dashes for the same baseline in every card
    for (const [name, mark] of marks) if (!(name in model.get("lines"))) { mark.line.remove(); mark.text.remove(); marks.delete(name); }
    let above = Infinity;
    lines.sort((a, b) => b[1] - a[1]).forEach(([name, value]) => {
      if (!marks.has(name)) {
        marks.set(name, { line: node("line", { class: "t4r-line" }, svg), text: node("text", { class: "t4r-label", "text-anchor": "end" }, svg) });
      }
      const { line, text } = marks.get(name);
      const at = y(value);
      line.setAttribute("stroke-dasharray", DASHES[named.indexOf(name) % DASHES.length]);
      for (const [k, v] of Object.entries({ x1: PAD.left, x2: width - PAD.right, y1: at, y2: at })) line.setAttribute(k, v);
      // Labels sit on their lines and step down where two lines are close.
      let label = at - 4;
      if (label - above < 13 && label > above - 13) label = Math.min(above + 13, HEIGHT - PAD.bottom + 0);
      above = label;
      text.setAttribute("x", width - PAD.right);
      text.setAttribute("y", label);
      text.textContent = `${name} ${figure(value)}`;
    });
  }

  function curve(name, points, whole) {
    if (!paths.has(name)) paths.set(name, { path: node("path", { class: "t4r-curve" }, svg), point: node("circle", { class: "t4r-point", r: 3 }, svg), drawn: 0, d: "" });
    const drawing = paths.get(name);
    if (whole || drawing.drawn > points.length) { drawing.drawn = 0; drawing.d = ""; }
    for (const [epoch, value] of points.slice(drawing.drawn)) drawing.d += `${drawing.d ? "L" : "M"}${x(epoch).toFixed(1)} ${y(value).toFixed(1)}`;
    drawing.drawn = points.length;
    drawing.path.setAttribute("d", drawing.d);
    const [epoch, value] = points.at(-1);
    drawing.point.setAttribute("cx", x(epoch));
    drawing.point.setAttribute("cy", y(value));
  }

  function readout() {
    const named = Object.entries(model.get("series")).filter(([, points]) => points.length);
    const nearest = (points) => points.reduce((a, b) => (Math.abs(b[0] - hover) < Math.abs(a[0] - hover) ? b : a));
    const shown = named.map(([, points]) => (hover === null ? points.at(-1) : nearest(points)));
    now.textContent = shown.map((p) => `${hover === null ? "" : `epoch ${+p[0].toFixed(2)}  `}${figure(p[1])}`).join("  ");
    now.setAttribute("x", width - PAD.right);
    cursor.setAttribute("visibility", hover !== null && shown.length && scale ? "visible" : "hidden");
    if (hover !== null && shown.length && scale) for (const k of ["x1", "x2"]) cursor.setAttribute(k, x(shown[0][0]));
  }

  function update() {
    title.textContent = model.get("title");
    svg.setAttribute("aria-label", model.get("alternative"));
    wait.setAttribute("x", width / 2);
    if (!width) return;
    scale = axes();
    if (scale) {
      const fresh = JSON.stringify([scale.low, scale.high, scale.end, width]);
      const whole = fresh !== key;
      if (whole) { key = fresh; frame(); }
      references();
      for (const [name, points] of Object.entries(model.get("series"))) if (points.length) curve(name, points, whole);
    }
    readout();
  }

  svg.addEventListener("pointermove", (event) => {
    if (!scale) return;
    const at = event.clientX - svg.getBoundingClientRect().left;
    hover = Math.min(Math.max((at - PAD.left) / (width - PAD.left - PAD.right), 0), 1) * scale.end;
    readout();
  });
  svg.addEventListener("pointerleave", () => { hover = null; readout(); });
  const watcher = new ResizeObserver(() => { width = Math.round(el.clientWidth); update(); });
  watcher.observe(el);
  // One change on the Python side sends several traits: draw once for all of them.
  let planned = false;
  const plan = () => { if (!planned) { planned = true; requestAnimationFrame(() => { planned = false; update(); }); } };
  model.on("change", plan);
  return () => { watcher.disconnect(); model.off("change", plan); };
}

export default { render };
