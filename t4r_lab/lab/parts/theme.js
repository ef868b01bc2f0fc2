// Tells Python the theme's colors, now and whenever the theme changes; keeps the notebook's shortcuts out of the Lab, and
// gives sliders their names, which ipywidgets leaves out.
const NAMES = { text: "--jp-ui-font-color1", quiet: "--jp-ui-font-color2", grid: "--jp-border-color2", font: "--jp-ui-font-family" };

function render({ model, el }) {
  el.style.display = "none";

  function tell() {
    const style = getComputedStyle(document.body);
    const found = Object.fromEntries(Object.entries(NAMES).map(([key, name]) => [key, style.getPropertyValue(name).trim()]));
    if (!found.text) return; // not JupyterLab: what Python assumes may stand
    const colors = { ...found, dark: document.body.dataset.jpThemeLight === "false" ? "yes" : "" };
    if (JSON.stringify(colors) === JSON.stringify(model.get("colors"))) return;
    model.set("colors", colors);
    model.save_changes();
  }

  // A letter typed into a drop-down picks a choice; to the notebook, m makes the cell text and d d deletes it.
  // JupyterLab asks the focused element itself whether it takes shortcuts.
  function shield({ target }) {
    if (target.closest(".t4r-lab") && target.matches("select, input, [role=slider]")) target.setAttribute("data-lm-suppress-shortcuts", "true");
  }
  document.addEventListener("focusin", shield);

  // A slider is called by the label beside it, for screen readers and voice control.
  let naming = false;
  function name() {
    naming = false;
    for (const handle of document.querySelectorAll(".t4r-lab .noUi-handle:not([aria-label])")) {
      const label = handle.closest(".widget-inline-hbox")?.querySelector(".widget-label")?.textContent;
      if (label) handle.setAttribute("aria-label", label);
    }
  }
  const additions = new MutationObserver(() => { if (!naming) { naming = true; requestAnimationFrame(name); } });
  additions.observe(document.body, { childList: true, subtree: true });
  name();

  // The style sheet of a theme arrives before the attributes say its name.
  const observer = new MutationObserver(tell);
  observer.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "data-jp-theme-name"] });
  tell();
  return () => {
    document.removeEventListener("focusin", shield);
    additions.disconnect();
    observer.disconnect();
  };
}

export default { render };
