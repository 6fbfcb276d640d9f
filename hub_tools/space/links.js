// What the page does in the browser: its address and links, questions to press, and what comes into view.
// Nothing is written before the visitor does something: the page reads the address only when its tabs are there already.
(() => {
  const LONGEST = 1500; // characters of a value in a link; documents are never in it
  const firstTab = "tokens";
  let touched = false;
  const tooLong = new Set();
  for (const sign of ["pointerdown", "keydown", "input"]) {
    window.addEventListener(sign, () => { touched = true; }, true);
  }

  // The address follows what is done; another tab is a step of its own, to which "back" returns.
  window.htState = (values) => {
    if (!touched) return;
    const address = new URL(window.location);
    const before = address.searchParams.get("tab") || firstTab;
    for (const [key, value] of Object.entries(values)) {
      const text = String(value ?? "");
      if (text.length > LONGEST) tooLong.add(key); else tooLong.delete(key);
      if (text && text.length <= LONGEST) address.searchParams.set(key, text); else address.searchParams.delete(key);
    }
    const isStep = values.tab && values.tab !== before;
    if (values.tab && !isStep) return;
    try {
      window.history[isStep ? "pushState" : "replaceState"](null, "", address);
    } catch (error) { /* browsers bound how often */ }
  };
  window.addEventListener("popstate", () => {
    const tab = new URL(window.location).searchParams.get("tab") || firstTab;
    document.querySelector(`#ht-tab-${CSS.escape(tab)}-button`)?.click();
  });

  // On the Hub the page is in a frame, whose address nobody sees: a link names the Space.
  window.htCopy = async () => {
    const base = window.htSpace || `${window.location.origin}${window.location.pathname}`;
    const link = base + window.location.search;
    const shown = document.querySelector("#ht-link");
    let copied = true;
    try { await navigator.clipboard.writeText(link); } catch (error) { copied = false; }
    shown.classList.add("on");
    shown.querySelector(".ht-address").textContent = link;
    shown.classList.toggle("copied", copied);
    shown.classList.toggle("long", tooLong.size > 0);
  };

  // While the page still encodes its documents, what waits for them is asked again. A tab is there only when it was
  // opened, which may be long after its first answer came.
  setInterval(() => {
    for (const [shown, button] of [["#ht-search-out", "#ht-search"], ["#ht-map-out", "#ht-draw"]]) {
      if (document.querySelector(`${shown} .ht-preparing`)) document.querySelector(button)?.click();
    }
  }, 1000);
  window.htShow = (shown) => {
    if (!touched || !window.matchMedia("(max-width: 640px)").matches) return;
    const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
    setTimeout(() => document.querySelector(shown)?.scrollIntoView({ behavior: still ? "auto" : "smooth" }), 50);
  };

  document.addEventListener("click", (event) => {
    const question = event.target.closest?.("[data-query]");
    if (question) {
      const query = document.querySelector("#ht-query textarea");
      query.value = question.dataset.query;
      query.dispatchEvent(new Event("input", { bubbles: true }));
      setTimeout(() => document.querySelector("#ht-search").click(), 50);
    }
    event.target.closest?.(".ht-clamp")?.classList.toggle("open");
  });

  // A dot of a map: both maps mark its text and show what each model has nearest to it.
  const showDot = (dot) => {
    const maps = dot.closest(".ht-maps");
    const texts = [...maps.querySelectorAll("ul[hidden] > li")];
    for (const near of maps.querySelectorAll(".ht-near")) {
      const map = near.parentElement.querySelector("svg");
      const own = map.querySelector(`[data-place="${dot.dataset.place}"]`);
      const places = own.dataset.nearest.split(" ").filter(Boolean);
      for (const other of map.querySelectorAll(".on, .near")) other.classList.remove("on", "near");
      own.classList.add("on");
      for (const place of places) map.querySelector(`[data-place="${place}"]`).classList.add("near");
      const line = (name, place) => {
        const shown = document.createElement(name);
        const text = texts[place];
        shown.lang = text.lang;
        shown.dir = "auto";
        if (text.dataset.group) {
          const group = document.createElement("small");
          group.lang = document.documentElement.lang;
          group.append(`${text.dataset.group} · `);
          shown.append(group);
        }
        shown.append(text.textContent);
        return shown;
      };
      const list = document.createElement("ol");
      list.append(...places.map((place) => line("li", place)));
      const said = document.createElement("small");
      said.append(maps.dataset.nearest);
      near.replaceChildren(line("p", dot.dataset.place), said, list);
    }
  };
  const dotOf = (event) => event.target.closest?.(".ht-maps [data-place]");
  for (const sign of ["pointerover", "focusin", "click"]) {
    document.addEventListener(sign, (event) => { const dot = dotOf(event); if (dot) showDot(dot); });
  }
  document.addEventListener("keydown", (event) => {
    const dot = dotOf(event), step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const next = dot && step && dot.parentElement.querySelector(`[data-place="${+dot.dataset.place + step}"]`);
    if (!next) return;
    event.preventDefault();
    dot.setAttribute("tabindex", "-1");
    next.setAttribute("tabindex", "0");
    next.focus();
  });
})();
