// A text field with its terms as chips. Every text goes in as text, never as HTML.
let bars = 0;
const PAUSE = 150; // ms of rest in typing before the rows are filtered

function render({ model, el }) {
  const id = `t4r-filter-${bars++}`;
  el.classList.add("t4r-filter");
  const line = document.createElement("div");
  const label = document.createElement("label");
  const input = document.createElement("input");
  const list = document.createElement("datalist");
  const chips = document.createElement("ul");
  const note = document.createElement("div");
  line.className = "t4r-filter-line";
  label.htmlFor = input.id = id;
  list.id = `${id}-list`;
  input.setAttribute("list", list.id);
  input.type = "search";
  input.autocomplete = "off";
  input.spellcheck = false;
  note.id = `${id}-note`;
  note.setAttribute("role", "status");
  input.setAttribute("aria-describedby", note.id);
  chips.className = "t4r-chips t4r-terms";
  chips.setAttribute("aria-label", "filters");
  const beneath = document.createElement("div");
  beneath.className = "t4r-filter-beneath"; // as tall while empty, so that nothing moves
  beneath.append(chips, note);
  line.append(label, input, list);
  el.append(line, beneath);

  let timer;
  function send() {
    clearTimeout(timer);
    if (model.get("text") === input.value) return;
    model.set("text", input.value);
    model.save_changes();
  }
  const keep = (terms) => { model.set("terms", terms); model.save_changes(); };
  input.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(send, PAUSE); });
  input.addEventListener("keydown", (event) => {
    event.stopPropagation(); // the notebook has shortcuts of single letters
    if (event.key === "Enter") { send(); model.send("enter"); }
    if (event.key === "Backspace" && !input.value && model.get("terms").length) keep(model.get("terms").slice(0, -1));
  });

  function chip(term, at) {
    const item = document.createElement("li");
    const text = document.createElement("span");
    const away = document.createElement("button");
    item.className = "t4r-term";
    text.textContent = term;
    away.type = "button";
    away.textContent = "×";
    away.setAttribute("aria-label", `take away the filter ${term}`);
    away.addEventListener("click", () => { keep(model.get("terms").filter((_, i) => i !== at)); input.focus(); });
    item.append(text, away);
    return item;
  }
  const fixed = () => {
    label.textContent = model.get("label");
    input.placeholder = model.get("placeholder");
    input.title = model.get("help");
  };
  const texts = () => { if (document.activeElement !== input || model.get("text") === "") input.value = model.get("text"); };
  const terms = () => {
    const all = model.get("terms");
    chips.hidden = !all.length;
    chips.replaceChildren(...all.map(chip));
  };
  const notes = () => {
    note.textContent = model.get("note");
    note.className = `t4r-help ${model.get("refused") ? "t4r-error" : ""}`;
    input.setAttribute("aria-invalid", String(model.get("refused")));
  };
  const suggest = () => list.replaceChildren(...model.get("suggestions").map((word) => {
    const option = document.createElement("option");
    option.value = word;
    return option;
  }));
  const changes = [
    ["change:label change:placeholder change:help", fixed],
    ["change:text", texts],
    ["change:terms", terms],
    ["change:note change:refused", notes],
    ["change:suggestions", suggest],
  ];
  for (const [names, update] of changes) { model.on(names, update); update(); }
  return () => { clearTimeout(timer); for (const [names, update] of changes) model.off(names, update); };
}

export default { render };
