// Light or dark: the system's choice, or the one that was made here.
const KEY = "quantum-trader-theme";

export function chosen() {
  try {
    return localStorage.getItem(KEY) ?? "system";
  } catch {
    return "system";
  }
}

export function choose(name) {
  try {
    if (name === "system") localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, name);
  } catch {
    // holds for this visit
  }
  apply(name);
}

export function apply(name = chosen()) {
  if (name === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
}

/** Calls *then* when the system changes between light and dark. */
export function onSystemChange(then) {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", then);
}
