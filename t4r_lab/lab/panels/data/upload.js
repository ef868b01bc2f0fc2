// A file of any size goes to the kernel in pieces, each after the last one was kept: a message of JupyterLab has a limit.
const PIECE = 4 * 1024 * 1024; // bytes

function render({ model, el }) {
  el.classList.add("t4r-upload");
  const input = document.createElement("input");
  const button = document.createElement("button");
  const words = document.createElement("span");
  input.type = "file";
  input.hidden = true;
  button.type = "button";
  button.className = "jupyter-widgets jupyter-button widget-button";
  words.setAttribute("role", "status");
  words.className = "t4r-help";
  el.append(input, button, words);
  let file = null;

  function update() {
    button.textContent = file ? "Cancel upload" : model.get("label");
    button.title = file ? `stop sending ${file.name}` : model.get("help");
  }

  function end(text) {
    file = null;
    input.value = "";
    words.textContent = text;
    update();
  }

  async function send(offset) {
    const sending = file;
    let piece;
    try {
      piece = await sending.slice(offset, offset + PIECE).arrayBuffer();
    } catch (error) {
      if (file !== sending) return;
      model.send({ kind: "cancel" });
      end(`the browser can't read the file (${error.message})`);
      return;
    }
    if (file !== sending) return; // canceled meanwhile
    words.textContent = `${sending.name}: ${Math.floor((100 * offset) / Math.max(sending.size, 1))} %`;
    model.send({ kind: "piece", name: sending.name, offset, size: sending.size }, undefined, [piece]);
  }

  button.addEventListener("click", () => {
    if (!file) { input.click(); return; }
    model.send({ kind: "cancel" });
    end("canceled");
  });
  input.addEventListener("change", () => {
    if (!input.files.length) return;
    file = input.files[0];
    update();
    send(0);
  });
  function answered(answer) {
    if (!file || answer.name !== file.name) return;
    if (answer.kind === "more") send(answer.offset);
    else end(answer.words);
  }
  model.on("msg:custom", answered);
  update();
  return () => model.off("msg:custom", answered);
}

export default { render };
