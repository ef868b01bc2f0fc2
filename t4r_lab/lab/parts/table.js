// A table to sort and choose from. Every text from data goes in as text, never as HTML.
let tables = 0; // radio buttons of one table share a name of their own

function render({ model, el }) {
  el.classList.add("t4r-table");
  const table = document.createElement("table");
  const head = table.createTHead().insertRow();
  const body = table.createTBody();
  const caption = table.createCaption();
  const group = `t4r-table-${tables++}`;
  el.append(table);

  function heading(column) {
    const cell = document.createElement("th");
    const button = document.createElement("button");
    const active = model.get("sort_by") === column.key;
    const down = model.get("descending");
    cell.scope = "col";
    cell.dataset.column = column.key;
    cell.className = column.number ? "t4r-number" : "";
    cell.setAttribute("aria-sort", active ? (down ? "descending" : "ascending") : "none");
    button.type = "button";
    button.dataset.key = column.key;
    button.title = column.help || `sort by ${column.label}`;
    button.textContent = column.label + (active ? (down ? " ↓" : " ↑") : "");
    button.addEventListener("click", () => {
      const again = model.get("sort_by") === column.key;
      model.set({ sort_by: column.key, descending: again ? !model.get("descending") : Boolean(column.number) });
      model.save_changes();
    });
    cell.append(button);
    return cell;
  }

  function headings() {
    const focused = document.activeElement?.dataset?.key; // a rebuilt heading keeps the keyboard's place
    const choice = document.createElement("th");
    choice.scope = "col";
    choice.setAttribute("aria-label", "choose");
    head.replaceChildren(...(model.get("choose") ? [choice] : []), ...model.get("columns").map(heading));
    if (focused) [...head.querySelectorAll("button")].find((b) => b.dataset.key === focused)?.focus();
  }

  function choice(key, label) {
    const cell = document.createElement("td");
    const input = document.createElement("input");
    const many = model.get("choose") === "many";
    cell.className = "t4r-choice";
    input.type = many ? "checkbox" : "radio";
    input.name = many ? "" : group;
    input.dataset.row = key;
    input.setAttribute("aria-label", label);
    input.addEventListener("change", () => {
      const others = many ? model.get("selected").filter((k) => k !== key) : [];
      model.set("selected", input.checked ? [...others, key] : others);
      model.save_changes();
    });
    cell.append(input);
    return cell;
  }

  function groupHeading(group, width) {
    const row = document.createElement("tr");
    const cell = document.createElement("th");
    const under = document.createElement("span");
    row.className = "t4r-group";
    cell.scope = "rowgroup";
    cell.colSpan = width;
    cell.textContent = group.text;
    under.className = "t4r-quiet";
    under.textContent = group.under;
    cell.append(" ", under);
    row.append(cell);
    return row;
  }

  function rows() {
    const columns = model.get("columns");
    const keys = model.get("row_keys");
    const focused = document.activeElement?.dataset?.row;
    const groups = new Map(model.get("groups").map((group) => [group.at, group]));
    const width = columns.length + (model.get("choose") ? 1 : 0);
    body.replaceChildren(...model.get("rows").flatMap((cells, at) => {
      const row = document.createElement("tr");
      if (model.get("choose")) row.append(choice(keys[at], `choose ${cells[0].text} ${cells[0].under ?? ""}`.trim()));
      cells.forEach((cell, i) => {
        const made = document.createElement(i === 0 ? "th" : "td");
        if (i === 0) made.scope = "row";
        made.dataset.column = columns[i]?.key ?? "";
        made.className = [columns[i]?.number ? "t4r-number" : "", cell.strong ? "t4r-strong" : "", cell.quiet ? "t4r-quiet" : ""].join(" ").trim();
        made.textContent = cell.text;
        if (cell.under) {
          const under = document.createElement("div");
          under.className = "t4r-under";
          under.textContent = cell.under;
          made.append(under);
        }
        row.append(made);
      });
      return groups.has(at) ? [groupHeading(groups.get(at), width), row] : [row];
    }));
    chosen();
    if (focused !== undefined && body.contains(document.activeElement) === false) inputs().find((i) => i.dataset.row === focused)?.focus();
  }

  const inputs = () => [...body.querySelectorAll("input")];
  function chosen() {
    const selected = new Set(model.get("selected"));
    for (const input of inputs()) {
      input.checked = selected.has(input.dataset.row);
      input.closest("tr").classList.toggle("t4r-chosen", input.checked);
    }
  }

  const captions = () => { caption.textContent = model.get("caption"); };
  const widths = () => el.classList.toggle("t4r-arranged", model.get("wide"));
  const changes = [
    ["change:wide", widths],
    ["change:columns change:sort_by change:descending change:choose", headings],
    ["change:rows change:groups change:choose", rows],
    ["change:selected", chosen],
    ["change:caption", captions],
  ];
  for (const [names, update] of changes) { model.on(names, update); update(); }
  return () => { for (const [names, update] of changes) model.off(names, update); };
}

export default { render };
