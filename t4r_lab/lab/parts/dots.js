// Plots whose dots choose a trial: the nearest one to where the pointer is. The table beneath is the keyboard's way.
const NEAR = 14; // pixels from a dot that still mean it

function render({ model, el }) {
  el.classList.add("t4r-dots");

  function draw() {
    el.innerHTML = model.get("html"); // from the kernel, which escapes every text from data
    mark();
  }

  function mark() {
    const chosen = model.get("chosen");
    for (const dot of el.querySelectorAll("[data-trial]")) dot.classList.toggle("t4r-picked", dot.dataset.trial === chosen);
  }

  function nearest(event) {
    let found = null, least = NEAR;
    for (const dot of event.target.closest("svg")?.querySelectorAll("[data-trial]") ?? []) {
      const box = dot.getBoundingClientRect();
      const away = Math.hypot(event.clientX - (box.left + box.right) / 2, event.clientY - (box.top + box.bottom) / 2);
      if (away < least) [found, least] = [dot, away];
    }
    return found;
  }

  function click(event) {
    const dot = nearest(event);
    if (!dot) return;
    model.set("chosen", dot.dataset.trial);
    model.save_changes();
  }

  function move(event) {
    el.style.cursor = nearest(event) ? "pointer" : "";
  }

  el.addEventListener("click", click);
  el.addEventListener("mousemove", move);
  model.on("change:html", draw);
  model.on("change:chosen", mark);
  draw();
  return () => {
    el.removeEventListener("click", click);
    el.removeEventListener("mousemove", move);
    model.off("change:html", draw);
    model.off("change:chosen", mark);
  };
}

export default { render };
