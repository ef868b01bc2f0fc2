// Brings an element of the Lab into view and gives it the focus, once it is there.
const PATIENCE = 15_000; // milliseconds

function render({ model, el }) {
  el.style.display = "none";

  function show() {
    const target = model.get("target");
    if (!target) return;
    const end = performance.now() + PATIENCE;
    (function again() {
      const element = document.querySelector(`.t4r-lab .${CSS.escape(target)}`);
      if (target !== model.get("target") || performance.now() > end) return; // another one, or it never came
      if (!element || element.offsetParent === null) { requestAnimationFrame(again); return; }
      element.setAttribute("tabindex", "-1");
      element.focus({ preventScroll: true });
      element.scrollIntoView({ block: "nearest" });
    })();
  }

  model.on("change:target", show);
  return () => model.off("change:target", show);
}

export default { render };
