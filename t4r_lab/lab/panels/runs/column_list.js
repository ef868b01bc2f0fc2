// Chosen columns as chips in their order. Every text goes in as text, never as HTML.
let lists = 0;

function render({ model, el }) {
  el.classList.add("t4r-column-list");
  const id = `t4r-columns-${lists++}`;
  const chips = document.createElement("ol");
  const controls = document.createElement("div");
  chips.className = "t4r-chips t4r-terms";
  chips.setAttribute("aria-label", "columns in their order");
  controls.className = "t4r-column-controls";
  el.append(chips, controls);

  const labels = () => new Map(model.get("offered").map(({ key, label }) => [key, label]));
  const choose = (keys) => {
    model.set("chosen", keys);
    if (model.get("grouped") && !keys.includes(model.get("grouped"))) model.set("grouped", "");
    model.save_changes();
  };
  function move(key, by) {
    const keys = model.get("chosen").filter((k) => k !== key);
    const at = Math.min(Math.max(model.get("chosen").indexOf(key) + by, 1), keys.length); // the first stays first
    choose([...keys.slice(0, at), key, ...keys.slice(at)]);
  }
  const button = (text, words, act, off) => {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = text;
    made.disabled = Boolean(off);
    if (text.length === 1) made.setAttribute("aria-label", words); // a sign has no name
    made.title = words;
    made.addEventListener("click", act);
    return made;
  };

  function chip(key, at, keys) {
    const label = labels().get(key) ?? key;
    const item = document.createElement("li");
    const text = document.createElement("span");
    item.className = "t4r-term";
    item.dataset.column = key;
    text.textContent = label;
    item.append(text);
    if (at === 0) return item; // the name of the run
    item.draggable = true;
    item.addEventListener("dragstart", (event) => { event.dataTransfer.setData("text/plain", key); event.dataTransfer.effectAllowed = "move"; });
    item.addEventListener("dragover", (event) => event.preventDefault());
    item.addEventListener("drop", (event) => {
      event.preventDefault();
      event.stopPropagation();
      const moved = event.dataTransfer.getData("text/plain");
      if (keys.includes(moved)) move(moved, at - keys.indexOf(moved));
    });
    item.append(
      button("‹", `move ${label} to the left`, () => move(key, -1), at === 1),
      button("›", `move ${label} to the right`, () => move(key, 1), at === keys.length - 1),
      button("×", `take away the column ${label}`, () => choose(keys.filter((k) => k !== key))),
    );
    return item;
  }

  function select(words, name, options, value, act) {
    const pair = document.createElement("span");
    const label = document.createElement("label");
    const made = document.createElement("select");
    label.textContent = words;
    label.htmlFor = made.id = `${id}-${name}`;
    made.append(...options);
    made.value = value;
    made.addEventListener("change", () => act(made.value));
    pair.append(label, made);
    return pair;
  }
  const option = (value, text) => { const made = document.createElement("option"); made.value = value; made.textContent = text; return made; };
  function addable() {
    const chosen = new Set(model.get("chosen"));
    const groups = new Map();
    for (const { key, label, group } of model.get("offered")) {
      if (chosen.has(key)) continue;
      if (!groups.has(group)) { const made = document.createElement("optgroup"); made.label = group; groups.set(group, made); }
      groups.get(group).append(option(key, label));
    }
    return [option("", "choose …"), ...groups.values()];
  }

  function show() {
    const active = el.contains(document.activeElement) ? document.activeElement : null; // what is made again keeps the focus
    const focused = active?.getAttribute("aria-label");
    const within = active?.id;
    const keys = model.get("chosen");
    const first = model.get("first");
    const names = labels();
    chips.replaceChildren(...keys.map(chip));
    controls.replaceChildren(
      select("add a column", "add", addable(), "", (key) => key && choose([...keys, key])),
      select("group rows by", "group", [option("", "nothing"), ...keys.slice(1).map((k) => option(k, names.get(k) ?? k))],
        model.get("grouped"), (key) => { model.set("grouped", key); model.save_changes(); }),
      button("As at first", "show the columns that were shown at first", () => choose(first), keys.join("\n") === first.join("\n")),
    );
    controls.lastChild.className = "t4r-plain-button";
    if (within) document.getElementById(within)?.focus();
    else if (focused) [...el.querySelectorAll("button")].find((b) => b.getAttribute("aria-label") === focused && !b.disabled)?.focus();
  }
  const names = "change:offered change:first change:chosen change:grouped";
  model.on(names, show);
  show();
  return () => model.off(names, show);
}

export default { render };
