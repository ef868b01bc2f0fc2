// One SVG per widget. Its nodes are made once; new points extend the path that is there. Only a change of
// scale or width recomputes a path, and even then the node stays.
const SVG = "http://www.w3.org/2000/svg";
const PAD = { left: 46, right: 12, top: 26, bottom: 24 };
const DASHES = ["6 4", "2 3", "10 4 2 4", "1 4"];
const HEIGHT = 168;
const nothing = () => ({ last: undefined, averages: [], total: 0, mass: 0, values: "", line: "" }); // of a curve is drawn

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
  const paths = new Map(); // name → what `curve` has drawn of it
  const marks = new Map(); // name → {line, text}
  let width = 0, scale = null, key = "", hover = null, weight = 0;

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

  // The values as they are, and over them their average: an exponential moving one, each divided by the weight it has
  // so far (`smoothed` in curves.py says the same in words). Without smoothing the two lie on each other.
  function curve(name, points, whole) {
    if (!paths.has(name)) paths.set(name, { ...nodes(paths.size ? `t4r-further t4r-further-${(paths.size - 1) % 5}` : ""), ...nothing() });
    const drawing = paths.get(name);
    const thinned = points[drawing.averages.length - 1]?.[0] !== drawing.last;
    if (whole || thinned) Object.assign(drawing, nothing());
    for (const [epoch, value] of points.slice(drawing.averages.length)) {
      const to = `${drawing.line ? "L" : "M"}${x(epoch).toFixed(1)} `;
      drawing.total = weight * drawing.total + value;
      drawing.mass = weight * drawing.mass + 1;
      drawing.averages.push(drawing.total / drawing.mass);
      drawing.values += to + y(value).toFixed(1);
      drawing.line += to + y(drawing.averages.at(-1)).toFixed(1);
    }
    drawing.last = points.at(-1)[0];
    drawing.raw.setAttribute("d", weight ? drawing.values : "");
    drawing.path.setAttribute("d", drawing.line);
    const [right, down] = [x(drawing.last), y(drawing.averages.at(-1))];
    drawing.point.setAttribute("cx", right);
    drawing.point.setAttribute("cy", down);
    const late = right > width / 2;
    drawing.label.setAttribute("x", right + (late ? 0 : 7));
    drawing.label.setAttribute("y", down + (late ? -7 : 4));
    drawing.label.setAttribute("text-anchor", late ? "end" : "start");
    drawing.label.textContent = Object.keys(model.get("series")).length > 1 ? name : "";
  }

  const nodes = (kind) => ({
    raw: node("path", { class: `t4r-raw ${kind}` }, svg),
    path: node("path", { class: `t4r-curve ${kind}` }, svg),
    point: node("circle", { class: `t4r-point ${kind}`, r: 3 }, svg),
    label: node("text", { class: "t4r-label" }, svg),
  });

  function readout() {
    const named = Object.entries(model.get("series")).filter(([name]) => paths.has(name));
    const nearest = (points) => points.reduce((best, p, i) => (Math.abs(p[0] - hover) < Math.abs(points[best][0] - hover) ? i : best), 0);
    const shown = named.map(([name, points]) => {
      const at = hover === null ? points.length - 1 : nearest(points);
      const [epoch, value] = points[at];
      const average = weight ? ` smoothed ${figure(paths.get(name).averages[at] ?? value)}` : "";
      return { epoch, text: `${named.length > 1 && hover !== null ? `${name} ` : ""}${figure(value)}${average}` };
    });
    const where = hover !== null && shown.length ? `epoch ${+shown[0].epoch.toFixed(2)}  ` : "";
    now.textContent = where + shown.map((s) => s.text).join("  ");
    title.textContent = shown.length > 1 && hover !== null ? "" : model.get("title"); // makes room for them all
    now.setAttribute("x", width - PAD.right);
    cursor.setAttribute("visibility", hover !== null && shown.length ? "visible" : "hidden");
    if (hover !== null && shown.length) for (const k of ["x1", "x2"]) cursor.setAttribute(k, x(shown[0].epoch));
  }

  function update() {
    svg.setAttribute("aria-label", model.get("alternative"));
    wait.setAttribute("x", width / 2);
    if (!width) return;
    scale = axes();
    weight = model.get("smoothing");
    if (scale) {
      const fresh = JSON.stringify([scale.low, scale.high, scale.end, width, weight]);
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
