// The picture of the model: choose a block by click or keys, move it within its list, remove it, undo and redo.
const FAR = 5; // pixels that make a press a drag

function render({ model, el }) {
  el.classList.add("t4r-canvas");
  el.setAttribute("role", "toolbar");
  el.setAttribute("aria-label", "the model: arrow keys choose a block");

  const blocks = () => [...el.querySelectorAll("[data-key]")];
  const active = () => blocks().find((b) => b.dataset.key === model.get("chosen")) ?? blocks()[0];
  const ask = (what, block, to) => model.send({ what, key: block?.dataset.key ?? "", to: to?.dataset.key ?? "" });

  function draw() {
    const inside = el.contains(document.activeElement);
    el.innerHTML = model.get("svg"); // from the kernel, which escapes every text from data
    for (const block of blocks()) block.setAttribute("data-lm-suppress-shortcuts", "true"); // keys are not the notebook's
    mark();
    if (inside) active()?.focus({ preventScroll: true });
  }

  function mark() {
    const chosen = model.get("chosen");
    for (const block of blocks()) {
      block.classList.toggle("t4r-chosen-block", block.dataset.key === chosen);
      block.setAttribute("aria-pressed", String(block.dataset.key === chosen));
      block.setAttribute("tabindex", block === active() ? "0" : "-1");
    }
  }

  function choose(block, focus = true) {
    if (!block) return;
    model.set("chosen", block.dataset.key);
    model.save_changes();
    mark();
    if (focus) block.focus({ preventScroll: true });
    block.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  const middle = (block) => {
    const box = block.getBoundingClientRect();
    return [(box.left + box.right) / 2, (box.top + box.bottom) / 2];
  };

  // The nearest block in a direction; one straight ahead beats one aside.
  function neighbor(block, [dx, dy]) {
    const [x, y] = middle(block);
    let next = null, least = Infinity;
    for (const other of blocks()) {
      const [ox, oy] = middle(other);
      const ahead = (ox - x) * dx + (oy - y) * dy;
      const aside = Math.abs((ox - x) * dy) + Math.abs((oy - y) * dx);
      if (other !== block && ahead > 1 && ahead + 3 * aside < least) [next, least] = [other, ahead + 3 * aside];
    }
    return next;
  }

  const ARROWS = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };

  function siblings(block) {
    return block?.dataset.of ? blocks().filter((b) => b.dataset.of === block.dataset.of) : [];
  }

  function key(event) {
    const block = event.target.closest("[data-key]");
    if (!block) return;
    const command = event.ctrlKey || event.metaKey;
    const letter = event.key.toLowerCase();
    if (command && letter === "z") ask(event.shiftKey ? "redo" : "undo");
    else if (command && letter === "y") ask("redo");
    else if (command) return;
    else if (event.altKey && ARROWS[event.key]) {
      const list = siblings(block);
      const step = ARROWS[event.key].some((d) => d < 0) ? -1 : 1;
      const to = list[list.indexOf(block) + step];
      if (to) ask("move", block, to);
    } else if (ARROWS[event.key]) choose(neighbor(block, ARROWS[event.key]));
    else if (event.key === "Enter" || event.key === " ") choose(block);
    else if (event.key === "Home") choose(blocks()[0]);
    else if (event.key === "End") choose(blocks().at(-1));
    else if (event.key === "Delete" || event.key === "Backspace") ask("remove", block);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  let drag = null; // the block that is pressed, where, and whether it moves
  function press(event) {
    const block = event.target.closest("[data-key]");
    if (block && event.button === 0) drag = { block, x: event.clientX, y: event.clientY, moving: false, to: null };
  }

  function pull(event) {
    if (!drag) return;
    const dx = event.clientX - drag.x, dy = event.clientY - drag.y;
    if (!drag.moving && (Math.hypot(dx, dy) < FAR || siblings(drag.block).length < 2)) return;
    if (!drag.moving) {
      drag.moving = true;
      drag.block.parentNode.append(drag.block); // above the others
      el.setPointerCapture?.(event.pointerId);
    }
    const scale = drag.block.ownerSVGElement.getScreenCTM().a;
    drag.block.setAttribute("transform", `translate(${dx / scale} ${dy / scale})`);
    drag.block.classList.add("t4r-dragged");
    drag.to = null;
    for (const other of siblings(drag.block)) {
      const box = other.getBoundingClientRect();
      const over = other !== drag.block && event.clientX > box.left && event.clientX < box.right && event.clientY > box.top && event.clientY < box.bottom;
      other.classList.toggle("t4r-target", over);
      if (over) drag.to = other;
    }
  }

  function release() {
    if (!drag) return;
    const { block, moving, to } = drag;
    drag = null;
    if (moving) {
      if (to) ask("move", block, to);
      draw();
    } else choose(block);
  }

  const abandon = () => { if (drag?.moving) draw(); drag = null; };
  el.addEventListener("keydown", key);
  el.addEventListener("pointerdown", press);
  el.addEventListener("pointermove", pull);
  el.addEventListener("pointerup", release);
  el.addEventListener("pointercancel", abandon);
  model.on("change:svg", draw);
  model.on("change:chosen", mark);
  draw();
  return () => {
    model.off("change:svg", draw);
    model.off("change:chosen", mark);
  };
}

export default { render };
