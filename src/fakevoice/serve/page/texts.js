// Texts in both languages, and the switch between them.
const LANGUAGES = ["en", "ko"];
const listeners = [];
let texts = {};

export function language() { return document.documentElement.lang; }

// The text of a key, with its {gaps} filled.
export function say(key, gaps = {}) {
  const text = texts[key]?.[language()] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => String(gaps[name] ?? whole));
}

export function has(key) { return key in texts; }

export function whenChanged(listener) { listeners.push(listener); }

function remembered() {
  try { return localStorage.getItem("fakevoice-language"); } catch { return null; }
}

function show(chosen) {
  document.documentElement.lang = document.documentElement.dataset.lang = chosen;
  document.title = say("title");
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = say(element.dataset.text);
  for (const element of document.querySelectorAll("[data-label]")) element.setAttribute("aria-label", say(element.dataset.label));
  for (const button of document.querySelectorAll("[data-to]")) {
    button.setAttribute("aria-pressed", String(button.dataset.to === chosen));
  }
  for (const listener of listeners) listener();
}

export async function start() {
  texts = await (await fetch("texts.json")).json();
  for (const button of document.querySelectorAll("[data-to]")) {
    button.addEventListener("click", () => {
      try { localStorage.setItem("fakevoice-language", button.dataset.to); } catch {}
      if (LANGUAGES.includes(location.hash.slice(1))) history.replaceState(null, "", "#" + button.dataset.to);
      show(button.dataset.to);
    });
  }
  show([location.hash.slice(1), remembered(), navigator.language.slice(0, 2), "en"].find((one) => LANGUAGES.includes(one)));
}
