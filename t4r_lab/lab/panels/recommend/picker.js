// A combobox (ARIA 1.2) whose picks become chips. Titles and ids go in as text, never as HTML.
const SOON = 120; // ms without a key before the kernel is asked
let pickers = 0;

function made(name, attributes = {}, text = "") {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text) node.textContent = text;
  return node;
}

function named(item) {
  const id = item.id === item.title ? [] : [made("span", { class: "t4r-under" }, item.id)];
  return [made("span", {}, item.title), ...id];
}

function render({ model, el }) {
  const name = `t4r-picker-${pickers++}`;
  let active = -1;
  let timer = 0;
  el.classList.add("t4r-picker");
  const chips = made("ol", { class: "t4r-chips", "aria-label": "session, oldest event first" });
  const field = made("div", { class: "t4r-search" });
  const label = made("label", { for: `${name}-input` }, "add an item");
  const input = made("input", {
    id: `${name}-input`, type: "text", role: "combobox", autocomplete: "off", spellcheck: "false", placeholder: "title or id",
    "aria-expanded": "false", "aria-controls": `${name}-list`, "aria-autocomplete": "list", "aria-describedby": `${name}-help`,
  });
  const list = made("ul", { id: `${name}-list`, role: "listbox", class: "t4r-matches", "aria-label": "items found", hidden: "" });
  const help = made("span", { id: `${name}-help`, class: "t4r-help", "aria-live": "polite" });
  field.append(label, input, help, list);
  el.append(chips, field);

  const send = (values) => { model.set(values); model.save_changes(); };
  const session = () => model.get("chips");

  function add(item) {
    input.value = "";
    close();
    clearTimeout(timer);
    send({ chips: [...session(), item], query: "", matches: [] });
    input.focus();
  }

  function remove(at) {
    send({ chips: session().filter((_, i) => i !== at) });
    const buttons = chips.querySelectorAll("button");
    (buttons[Math.min(at, buttons.length - 1)] ?? input).focus();
  }

  function drawChips() {
    chips.replaceChildren(...session().map((item, at) => {
      const chip = made("li", { class: "t4r-session-item" });
      const button = made("button", { type: "button", "aria-label": `remove ${item.title}`, title: "remove" }, "×");
      button.addEventListener("click", () => remove(at));
      chip.append(...named(item), button);
      return chip;
    }));
    chips.hidden = session().length === 0;
  }

  function close() {
    active = -1;
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  }

  function activate(at) {
    const options = [...list.children];
    active = options.length ? (at + options.length) % options.length : -1;
    options.forEach((option, i) => option.setAttribute("aria-selected", String(i === active)));
    if (active >= 0) {
      input.setAttribute("aria-activedescendant", options[active].id);
      options[active].scrollIntoView({ block: "nearest" });
    }
  }

  function drawMatches() {
    const found = model.get("matches");
    list.replaceChildren(...found.map((item, at) => {
      const option = made("li", { role: "option", id: `${name}-${at}`, "aria-selected": "false" });
      option.append(...named(item));
      option.addEventListener("mousedown", (event) => { event.preventDefault(); add(item); });
      return option;
    }));
    help.textContent = model.get("note") || "Enter adds the first match; Backspace in the empty field takes the last item away";
    const open = found.length > 0 && document.activeElement === input;
    if (!open) return close();
    list.hidden = false;
    input.setAttribute("aria-expanded", "true");
    activate(0);
  }

  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => send({ query: input.value }), SOON);
  });
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    const found = model.get("matches");
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      if (list.hidden) drawMatches(); else activate(active + (event.key === "ArrowDown" ? 1 : -1));
    } else if (event.key === "Enter" && !list.hidden && model.get("query") === input.value && found[active]) {
      add(found[active]);
    } else if (event.key === "Escape") {
      close();
    } else if (event.key === "Backspace" && input.value === "" && session().length) {
      send({ chips: session().slice(0, -1) });
      return;
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  });

  const changes = [["change:chips", drawChips], ["change:matches change:note", drawMatches]];
  for (const [names, update] of changes) { model.on(names, update); update(); }
  return () => { for (const [names, update] of changes) model.off(names, update); };
}

export default { render };
