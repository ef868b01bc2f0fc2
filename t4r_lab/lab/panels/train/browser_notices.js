// The browser shows notifications only where a click has asked for them; the choice is kept by the browser.
const KEPT = "t4r-lab-notices";
const WORDS = {
  unsupported: "This browser can't notify",
  denied: "Notifications are blocked in the browser's settings",
  off: "Notify me in the browser",
  on: "The browser notifies",
};

function render({ model, el }) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "jupyter-widgets jupyter-button widget-button";
  button.title = "a notification when a job finishes, fails, gives a warning or makes no gain, also while you look elsewhere";
  el.append(button);
  const shown = new Set(model.get("notices").map(([key]) => key));

  function state() {
    if (!("Notification" in window)) return "unsupported";
    if (Notification.permission === "denied") return "denied";
    return Notification.permission === "granted" && localStorage.getItem(KEPT) === "on" ? "on" : "off";
  }

  function update() {
    const now = state();
    button.textContent = WORDS[now];
    button.disabled = now === "unsupported" || now === "denied";
    button.setAttribute("aria-pressed", String(now === "on"));
  }

  async function toggle() {
    const wanted = state() !== "on";
    if (wanted && Notification.permission !== "granted") await Notification.requestPermission();
    localStorage.setItem(KEPT, wanted ? "on" : "off");
    update();
  }

  function notify() {
    for (const [key, words] of model.get("notices")) {
      if (shown.has(key)) continue;
      shown.add(key);
      // the tag makes several views of one Lab show it once
      if (state() === "on") new Notification("T4R Lab", { body: words, tag: key });
    }
  }

  button.addEventListener("click", toggle);
  model.on("change:notices", notify);
  update();
  return () => model.off("change:notices", notify);
}

export default { render };
