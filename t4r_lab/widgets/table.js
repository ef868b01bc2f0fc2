// A table whose headings sort. Every text from data goes in as text, never as HTML.
function render({ model, el }) {
  el.classList.add("t4r-table");
  const table = document.createElement("table");
  const head = table.createTHead().insertRow();
  const body = table.createTBody();
  const caption = table.createCaption();
  el.append(table);

  function heading(column) {
    const cell = document.createElement("th");
    const button = document.createElement("button");
    const active = model.get("sort_by") === column.key;
    const down = model.get("descending");
    cell.scope = "col";
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
    head.replaceChildren(...model.get("columns").map(heading));
    if (focused) [...head.querySelectorAll("button")].find((b) => b.dataset.key === focused)?.focus();
  }

  function rows() {
    const columns = model.get("columns");
    body.replaceChildren(...model.get("rows").map((cells) => {
      const row = document.createElement("tr");
      cells.forEach((cell, i) => {
        const made = document.createElement(i === 0 ? "th" : "td");
        if (i === 0) made.scope = "row";
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
      return row;
    }));
  }

  const captions = () => { caption.textContent = model.get("caption"); };
  const whole = () => { headings(); rows(); };
  model.on("change:columns change:sort_by change:descending", headings);
  model.on("change:rows", rows);
  model.on("change:caption", captions);
  captions();
  whole();
  return () => { model.off("change:columns change:sort_by change:descending", headings); model.off("change:rows", rows); model.off("change:caption", captions); };
}

export default { render };
