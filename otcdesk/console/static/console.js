// What a page can do beside being read and sent: keys, charts, a sound, and knowing whether it is told what happens.
// Nothing that moves money needs any of it.
"use strict";

(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const typing = (target) => target.closest("input, select, textarea, dialog, [contenteditable]");

  // -- keys ----------------------------------------------------------------------------------------------------------

  let going = false;

  const rows = () => all("tbody tr[data-href]");

  const step = (by) => {
    const found = rows();
    if (!found.length) return;
    const now = found.findIndex((row) => row.classList.contains("here"));
    const next = found[Math.max(0, Math.min(found.length - 1, now < 0 ? 0 : now + by))];
    found.forEach((row) => row.classList.toggle("here", row === next));
    next.scrollIntoView({ block: "nearest" });
    (next.querySelector("a") || next).focus({ preventScroll: true });
  };

  const go = (letter) => {
    const place = document.querySelector(`a[data-go="${CSS.escape(letter)}"]`);
    if (place) place.click();
  };

  const keys = {
    "/": () => document.getElementById("search")?.focus(),
    "?": () => document.getElementById("keys")?.showModal(),
    j: () => step(1),
    k: () => step(-1),
    Enter: () => {
      const row = rows().find((one) => one.classList.contains("here"));
      if (row && !document.activeElement.closest("a, button")) window.location.assign(row.dataset.href);
      else return false;
    },
    g: () => { going = true; window.setTimeout(() => { going = false; }, 1500); },
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    if (going) {
      going = false;
      go(event.key);
      event.preventDefault();
    } else if (Object.hasOwn(keys, event.key) && keys[event.key]() !== false) {
      event.preventDefault();
    }
  });

  // -- forms ---------------------------------------------------------------------------------------------------------

  // One that is under way is not sent again by a second click; not for ever, since what it answers may be a file.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.getAttribute("method") !== "post") return;
    if (form.dataset.sent) {
      event.preventDefault();
      return;
    }
    form.dataset.sent = "yes";
    window.setTimeout(() => { delete form.dataset.sent; }, 3000);
  });

  // -- whoever is at the page stays signed in, whoever has left it does not ---------------------------------------------

  let touched = false;
  ["pointermove", "pointerdown", "keydown", "wheel"].forEach((kind) => {
    document.addEventListener(kind, () => { touched = true; }, { passive: true });
  });
  document.addEventListener("htmx:configRequest", (event) => {
    if (touched) event.detail.headers["x-somebody-there"] = "yes";
    touched = false;
  });

  // -- what happens, as it happens -------------------------------------------------------------------------------------

  const live = (on) => all("[data-live]").forEach((mark) => { mark.hidden = !on; });
  document.addEventListener("htmx:sseOpen", () => live(true));
  document.addEventListener("htmx:sseClose", () => live(false));
  document.addEventListener("htmx:sseError", () => live(false));

  // What a part was before it is replaced, by its id: the versions of its rows, and the row where somebody is.
  const before = new Map();

  // What somebody is filling in is not taken from under their hands.
  const inUse = (target) => Boolean(target?.querySelector("details[open] form, form :focus"));

  document.addEventListener("htmx:oobBeforeSwap", (event) => {
    if (inUse(event.detail.target)) event.detail.shouldSwap = false;
  });

  document.addEventListener("htmx:beforeSwap", (event) => {
    const { target } = event.detail;
    const here = target.querySelector("tr.here");
    before.set(target.id, {
      versions: new Map(all("tbody tr[data-href]", target).map((row) => [row.id, row.dataset.version || ""])),
      here: here?.id,
      focused: here?.contains(document.activeElement),
    });
  });

  // Until it has settled, what is new has the attributes of what was there.
  document.addEventListener("htmx:afterSettle", (event) => {
    const was = before.get(event.target.id);
    if (!was || !before.delete(event.target.id)) return;
    const found = all("tbody tr[data-href]", event.target);
    const here = found.find((row) => row.id === was.here);
    if (here) {
      here.classList.add("here");
      if (was.focused) (here.querySelector("a") || here).focus({ preventScroll: true });
    }
    const fresh = found.filter((row) => was.versions.get(row.id) !== (row.dataset.version || ""));
    fresh.forEach((row) => {
      row.classList.add("new");
      window.setTimeout(() => row.classList.remove("new"), 2500);
    });
    if (fresh.some((row) => row.dataset.attention)) ring();
  });

  // -- a sound, off unless it was switched on ---------------------------------------------------------------------------

  const SOUND = "otcdesk.sound";
  const wanted = () => window.localStorage.getItem(SOUND) === "on";
  let audio = null;

  function ring() {
    if (!wanted()) return;
    audio = audio || new window.AudioContext();
    const tone = audio.createOscillator();
    const volume = audio.createGain();
    volume.gain.value = 0.05;
    tone.frequency.value = 660;
    tone.connect(volume).connect(audio.destination);
    tone.start();
    tone.stop(audio.currentTime + 0.15);
  }

  const showSound = () => all("[data-sound]").forEach((button) => {
    button.hidden = false;
    button.setAttribute("aria-pressed", String(wanted()));
    button.textContent = wanted() ? "Sound on" : "Sound off";
  });

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-sound]");
    if (button) {
      window.localStorage.setItem(SOUND, wanted() ? "off" : "on");
      showSound();
      ring();
    }
    const row = event.target.closest("tr[data-href]");
    if (row && !event.target.closest("a, button, input, label, summary") && !String(window.getSelection())) {
      window.location.assign(row.dataset.href);
    }
  });

  // Filters are sent as soon as they are chosen; without scripts there is a button.
  document.addEventListener("change", (event) => {
    const form = event.target.closest("form[data-at-once]");
    if (form) form.requestSubmit();
  });

  // -- charts: data as JSON {x: [seconds], series: [{label, values}], unit}; with names, x are places on an axis of these -

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // Times of UTC, as finely as so many seconds from the first to the last want it.
  const moments = (x) => {
    const seconds = x[x.length - 1] - x[0];
    const [from, to] = seconds > 172800 ? [0, 10] : [11, seconds > 1800 ? 16 : 19];
    return (at) => new Date(at * 1000).toISOString().slice(from, to);
  };

  const drawn = new WeakMap();

  const draw = (figure, data) => {
    const place = figure.querySelector("[data-plot]");
    figure.classList.toggle("empty", !data.x.length);
    if (!data.x.length || !window.uPlot) return;
    const before = drawn.get(figure);
    if (before && before.series.length === data.series.length + 1) {
      before.setData([data.x, ...data.series.map((one) => one.values)]);
      return;
    }
    if (before) before.destroy();
    const bars = figure.dataset.kind === "bars" ? window.uPlot.paths.bars({ size: [0.7, 40] }) : undefined;
    const axis = { stroke: colour("--soft"), grid: { stroke: colour("--edge"), width: 1 }, ticks: { stroke: colour("--edge") } };
    const number = (value) => (value === null || value === undefined ? "\u2013" : value.toLocaleString("en"));
    const at = data.names ? (place) => data.names[place] ?? "" : data.time === false ? number : moments(data.x);
    drawn.set(figure, new window.uPlot({
      width: place.clientWidth || 600,
      height: 220,
      tzDate: (seconds) => window.uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
      legend: { show: true },
      scales: { x: { time: data.time !== false, ...(data.names && { range: (_, least, most) => [least - 0.5, most + 0.5] }) } },
      axes: [
        { ...axis, space: 90, values: (_, ticks) => ticks.map(at) },
        { ...axis, size: (_, shown) => 24 + 7 * Math.max(4, ...(shown || []).map((text) => text.length)), values: (_, ticks) => ticks.map(number) },
      ],
      series: [
        { label: data.time === false ? "At" : "UTC", value: (_, place) => (place === null ? "\u2013" : at(place)) },
        ...data.series.map((one, index) => ({
          label: one.label,
          stroke: colour(`--series-${(index % 6) + 1}`),
          fill: bars ? colour(`--series-${(index % 6) + 1}`) : undefined,
          width: bars ? 0 : 2,
          paths: bars,
          dash: bars ? undefined : [[], [6, 4], [2, 3]][Math.floor(index / 2) % 3],
          points: { show: data.x.length < 30 },
          value: (_, value) => `${number(value)}${data.unit ? ` ${data.unit}` : ""}`,
        })),
      ],
    }, [data.x, ...data.series.map((one) => one.values)], place));
  };

  const load = async (figure) => {
    try {
      const answer = await fetch(figure.dataset.chart, { headers: { accept: "application/json" }, credentials: "same-origin" });
      if (answer.ok) draw(figure, await answer.json());
    } catch { /* the table below says the same, and the next look may succeed */ }
  };

  const charts = () => all("[data-chart]").forEach((figure) => {
    if (figure.dataset.begun) return;
    figure.dataset.begun = "yes";
    load(figure);
    const every = Number(figure.dataset.everySeconds || 0);
    if (every) window.setInterval(() => document.hidden || load(figure), every * 1000);
  });

  window.addEventListener("resize", () => all("[data-chart]").forEach((figure) => {
    const plot = drawn.get(figure);
    if (plot) plot.setSize({ width: figure.querySelector("[data-plot]").clientWidth, height: 220 });
  }));

  // -- begin -------------------------------------------------------------------------------------------------------------

  const small = window.matchMedia("(max-width: 56rem)");
  const fold = () => all(".side > details, details[data-fold]").forEach((menu) => { menu.open = !small.matches; });

  fold();
  small.addEventListener("change", fold);
  showSound();
  charts();
  document.addEventListener("htmx:afterSettle", charts);
})();
