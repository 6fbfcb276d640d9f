// What runs before gradio does: the language of the page; and keys and marks in results.

// The language: what the address says, or else the browser's. Gradio asks navigator; calls carry the address along.
const htChosen = new URLSearchParams(window.location.search).get("lang");
const htLang = ["en", "tr"].includes(htChosen)
  ? htChosen : (navigator.language || "en").toLowerCase().startsWith("tr") ? "tr" : "en";
Object.defineProperty(navigator, "language", { get: () => htLang });
document.documentElement.lang = htLang;

// Piece of a token list under a sign: all of the other lists that hold the same letters are marked.
const htPieces = (root) => [...root.querySelectorAll(".ht-text .ht-piece")];
const htMark = (piece) => {
  const out = document.querySelector("#ht-tokens-out");
  if (!out) return;
  const within = (other) => piece && +other.dataset.start < +piece.dataset.end && +other.dataset.end > +piece.dataset.start;
  for (const other of htPieces(out)) other.classList.toggle("marked", Boolean(within(other)));
  const detail = out.querySelector(".ht-detail");
  if (piece && detail) detail.textContent = piece.getAttribute("aria-label");
};
const htPieceOf = (event) => event.target.closest?.(".ht-text .ht-piece");
document.addEventListener("pointerover", (event) => { const piece = htPieceOf(event); if (piece) htMark(piece); });
document.addEventListener("pointerout", (event) => { if (htPieceOf(event)) htMark(document.activeElement?.closest(".ht-piece")); });
document.addEventListener("focusin", (event) => { const piece = htPieceOf(event); if (piece) htMark(piece); });
document.addEventListener("click", (event) => { htPieceOf(event)?.focus(); });

// On a phone the tabs are wider than the screen: the one that is open comes into view.
const htShowTab = () => document.querySelector('[role="tab"][aria-selected="true"]')?.scrollIntoView({ block: "nearest", inline: "nearest" });
new MutationObserver((changes) => { if (changes.some(({ target }) => target.ariaSelected === "true")) htShowTab(); })
  .observe(document.documentElement, { subtree: true, attributes: true, attributeFilter: ["aria-selected"] });

// Arrow keys move inside lists of pieces and tabs, of which one each is a stop of the Tab key.
document.addEventListener("keydown", (event) => {
  const item = event.target.closest?.('.ht-text .ht-piece, [role="tab"]');
  if (!item || event.ctrlKey || event.altKey || event.metaKey) return;
  const all = item.matches(".ht-piece")
    ? [...item.parentElement.querySelectorAll(".ht-piece")]
    : [...item.closest('[role="tablist"]').querySelectorAll('[role="tab"]')].filter((tab) => tab.offsetParent);
  const rtl = getComputedStyle(item.parentElement).direction === "rtl";
  const step = { ArrowRight: rtl ? -1 : 1, ArrowLeft: rtl ? 1 : -1 }[event.key];
  const place = { Home: 0, End: all.length - 1 }[event.key] ?? (step ? all.indexOf(item) + step : -1);
  if (place < 0 || place >= all.length) return;
  event.preventDefault();
  all[place].focus();
  if (item.matches(".ht-piece")) { item.tabIndex = -1; all[place].tabIndex = 0; } else all[place].click();
});

document.addEventListener("click", (event) => {
  // The other language, with everything that is in the address.
  const choice = event.target.closest?.("a[data-lang]");
  if (choice) {
    const address = new URL(window.location);
    address.searchParams.set("lang", choice.dataset.lang);
    choice.href = address;
  }
  // A column of a table is sorted by its head; a second time the other way round.
  const button = event.target.closest?.(".ht-sort");
  if (button) {
    const head = button.closest("th"), body = button.closest("table").querySelector("tbody:last-of-type");
    const value = (row) => row.children[head.cellIndex].dataset.value ?? "";
    const rows = [...body.rows], isText = rows.some((row) => isNaN(value(row)));
    const now = head.getAttribute("aria-sort");
    const next = now ? (now === "ascending" ? "descending" : "ascending") : isText ? "ascending" : "descending";
    for (const other of head.parentElement.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", next);
    // What has no figure stays below.
    const compare = (a, b) => (a === "" || b === "" ? (a === "") - (b === "")
      : (next === "ascending" ? 1 : -1) * (isText ? a.localeCompare(b, htLang) : a - b));
    body.append(...rows.sort((one, two) => compare(value(one), value(two))));
  }
});
