// Text to copy: a scrolling block that takes the keyboard, and one button.
function render({ model, el }) {
  el.classList.add("t4r-copy");
  const bar = document.createElement("div");
  const label = document.createElement("span");
  const button = document.createElement("button");
  const block = document.createElement("pre");
  bar.className = "t4r-copy-bar";
  button.type = "button";
  block.tabIndex = 0;
  button.setAttribute("aria-live", "polite");
  bar.append(label, button);
  el.append(bar, block);

  function update() {
    label.textContent = model.get("label");
    block.setAttribute("aria-label", model.get("label"));
    block.textContent = model.get("text");
    button.textContent = "Copy";
  }

  async function copy() {
    try {
      await navigator.clipboard.writeText(model.get("text"));
    } catch {
      // Plain http and old browsers have no clipboard: select the text and ask the document.
      const range = document.createRange();
      range.selectNodeContents(block);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      if (!document.execCommand("copy")) { button.textContent = "Selected: press Ctrl+C"; return; }
      getSelection().removeAllRanges();
    }
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  }

  button.addEventListener("click", copy);
  model.on("change", update);
  update();
  return () => model.off("change", update);
}

export default { render };
