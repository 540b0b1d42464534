"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const PAGE_ROWS = 50, PRINT_ROWS = 500, SLICE_ROWS = 50;
  const KINDS = [
    { key: "delivered", title: "Delivered", parts: [["created", "new members"], ["updated", "moved forward"], ["imported", "bulk imported"]] },
    { key: "unchanged", title: "Unchanged", note: "already in that status or past it" },
    { key: "skipped", title: "Skipped", note: "not meant for a program" },
    { key: "rejected", title: "Rejected", note: "see below how to fix them" },
  ];
  const KIND_OF = { created: 0, updated: 0, imported: 0, unchanged: 1, skipped: 2, rejected: 3 };
  const COLUMNS = ["Lead", "Event", "Program", "Reason", "Message", "Time (UTC)"];
  const PROGRAM = 2, REASON = 3, MESSAGE = 4, TIME = 5;
  const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
  const NAMELESS = { events: "(no event)", programs: "(no program)" };
  const state = { event: null, program: null, view: "reason", reason: null, query: "", sort: TIME, down: true, page: 0, print: false, all: false };

  // Every value reaches the page as a text node: nothing from a record is ever parsed as HTML.
  const put = (node, attributes, children) => {
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else node.setAttribute(name, value === true ? "" : value);
    }
    node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
    return node;
  };
  const h = (tag, attributes, ...children) => put(document.createElement(tag), attributes, children);
  const svg = (tag, attributes, ...children) => put(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
  const by = (id) => document.getElementById(id);
  const format = new Intl.NumberFormat("en-US");
  const n = (value) => format.format(value);
  const leads = (count) => `${n(count)} lead${count === 1 ? "" : "s"}`;
  const value = (text) => h("span", { class: "value", dir: "auto" }, text);
  // Rounded towards the doubtful side: 99.96 % with one rejected lead must not read 100 %.
  const share = (part, whole) => {
    if (!whole || !part) return "0 %";
    const tenths = Math.floor((part / whole) * 1000);
    return tenths ? `${(tenths / 10).toFixed(tenths % 10 ? 1 : 0)} %` : "< 0.1 %";
  };
  const day = (at) => { const [year, month, date] = at.slice(0, 10).split("-"); return [date && Number(date), MONTHS[month - 1], year].filter(Boolean).join(" "); };
  const eventName = (index) => data.events[index] ?? NAMELESS.events;
  const programName = (index) => (data.programs[index] === null ? NAMELESS.programs : `Program ${data.programs[index]}`);

  const inScope = (event, program) =>
    (state.event === null || state.event === event) && (state.program === null || state.program === program);
  const scoped = () => data.cells.filter(([event, program]) => inScope(event, program));
  const empty = () => ({ kinds: [0, 0, 0, 0], outcomes: {}, total: 0, reasons: new Map() });
  const add = (sum, [, , outcome, reason, count]) => {
    const name = data.outcomes[outcome];
    sum.kinds[KIND_OF[name]] += count;
    sum.outcomes[name] = (sum.outcomes[name] || 0) + count;
    sum.total += count;
    if (reason !== null) sum.reasons.set(reason, (sum.reasons.get(reason) || 0) + count);
    return sum;
  };
  const sumOf = (cells) => cells.reduce(add, empty());
  const words = (kinds) => KINDS.map((kind, i) => `${n(kinds[i])} ${kind.key}`).join(", ");

  function drawHeadline(sum) {
    const text = !sum.total ? "No leads match these filters"
      : sum.kinds[3] ? `${n(sum.kinds[3])} of ${leads(sum.total)} need${sum.kinds[3] === 1 ? "s" : ""} your attention`
      : sum.total === 1 ? "The lead went through" : `All ${leads(sum.total)} went through`;
    by("headline").replaceChildren(text);
  }

  function drawDonut(sum) {
    const shown = KINDS.map((kind, i) => ({ kind, count: sum.kinds[i] })).filter((part) => part.count);
    const gap = shown.length > 1 ? 0.9 : 0;
    const least = 1.2;
    const lengths = shown.map((part) => Math.max((part.count / sum.total) * 100, least));
    const scale = 100 / (lengths.reduce((a, b) => a + b, 0) || 100);
    let start = 25;
    const arcs = shown.map((part, i) => {
      const length = lengths[i] * scale;
      const arc = svg("circle", { class: `stroke-${part.kind.key}`, cx: 21, cy: 21, r: 15.9155,
        "stroke-dasharray": `${length - gap} ${100 - length + gap}`, "stroke-dashoffset": start },
        svg("title", {}, `${part.kind.title}: ${n(part.count)} (${share(part.count, sum.total)})`));
      start = (start - length + 100) % 100;
      return arc;
    });
    by("donut").replaceChildren(svg("svg", { viewBox: "0 0 42 42", role: "img", "aria-label": `Of ${leads(sum.total)}: ${words(sum.kinds)}` },
      svg("circle", { class: "rest", cx: 21, cy: 21, r: 15.9155 }), arcs,
      svg("text", { x: 21, y: 22.2 }, share(sum.total - sum.kinds[3], sum.total)),
      svg("text", { x: 21, y: 26, class: "small" }, "without errors")));
  }

  function drawTiles(sum) {
    by("tiles").replaceChildren(...KINDS.map((kind, i) => {
      const parts = (kind.parts || []).filter(([name]) => sum.outcomes[name]).map(([name, label]) => `${n(sum.outcomes[name])} ${label}`);
      const more = kind.parts ? parts.join(" · ") || "none" : kind.key === "rejected" && !sum.kinds[3] ? "nothing to fix" : kind.note;
      return h("div", { class: "tile", "data-kind": kind.key },
        h("dt", {}, h("span", { class: `dot fill-${kind.key}`, "aria-hidden": "true" }), kind.title),
        h("dd", { class: "big" }, h("span", { class: "amount" }, n(sum.kinds[i])), h("small", {}, share(sum.kinds[i], sum.total))),
        h("dd", { class: "more" }, more));
    }));
  }

  function drawTimeline() {
    const place = by("timeline");
    if (!place) return;
    const highest = Math.max(...data.runs.map((run) => run.kinds.reduce((a, b) => a + b, 0)), 1);
    place.classList.toggle("dense", data.runs.length > 16);
    place.replaceChildren(...data.runs.map((run) => {
      const total = run.kinds.reduce((a, b) => a + b, 0);
      const bar = h("div", { class: "bar", "aria-hidden": "true" }, KINDS.map((kind, i) => {
        if (!run.kinds[i]) return null;
        const part = h("i", { class: `fill-${kind.key}` });
        part.style.height = `${(run.kinds[i] / highest) * 86}%`;
        return part;
      }), h("span", {}, n(total)));
      const time = run.label.slice(11);
      return h("li", { title: `${day(run.label)} ${time}: ${words(run.kinds)}` }, bar,
        h("span", { class: "label" }, h("b", {}, time || day(run.label)), time ? day(run.label) : "", h("span", { class: "hidden" }, `: ${words(run.kinds)}`)));
    }));
  }

  function copy(text, button, code) {
    const done = (label) => { button.replaceChildren(label); setTimeout(() => button.replaceChildren("Copy"), 2000); };
    const select = () => { getSelection().selectAllChildren(code); done("Selected"); };
    if (!navigator.clipboard) select();
    else navigator.clipboard.writeText(text).then(() => done("Copied"), select);
  }

  function reasonCard(index, count) {
    const reason = data.reasons[index];
    const rejected = reason.outcome === "rejected";
    const few = count === 1 ? "this lead" : "these leads";
    const code = reason.command && h("code", {}, reason.command);
    return h("article", { class: `card reason ${reason.outcome}`, "data-reason": index },
      h("p", { class: "count" }, h("b", {}, n(count)), h("small", {}, count === 1 ? "lead" : "leads")),
      h("div", {},
        h("h3", {}, reason.title),
        h("p", { class: "badges" }, reason.category && h("span", { class: "badge" }, value(reason.category)), reason.code && h("span", { class: "badge" }, "Marketo code ", value(reason.code))),
        h("p", { class: "why" }, reason.explanation),
        h("p", { class: "fix" }, h("b", {}, rejected ? "How to fix" : "What to do"), reason.fix),
        code && h("details", {}, h("summary", {}, "Then send these leads again"),
          h("div", { class: "command" }, code, h("button", { type: "button", onclick: (event) => copy(reason.command, event.currentTarget, code) }, "Copy"))),
        rejected && h("p", { class: "actions" }, h("button", { type: "button", "aria-label": `Show ${few}: ${reason.title}`, onclick: () => showLeads(index) }, `Show ${few}`))));
  }

  function drawReasons(sum) {
    const found = data.reasons.map((reason, index) => ({ reason, index, count: sum.reasons.get(index) || 0 })).filter((each) => each.count);
    found.sort((a, b) => b.count - a.count);
    const cards = (outcome) => found.filter((each) => each.reason.outcome === outcome).map((each) => reasonCard(each.index, each.count));
    const rejected = cards("rejected"), skipped = cards("skipped");
    return [
      ...(rejected.length ? rejected : [h("div", { class: "card empty" }, h("b", {}, "Nothing to fix"), "No lead was rejected here.")]),
      ...(skipped.length ? [h("p", { class: "sub" }, "Left out by your configuration"), ...skipped] : []),
    ];
  }

  function drawSlices(view) {
    const column = view === "event" ? 0 : 1;
    const name = view === "event" ? eventName : programName;
    const sums = new Map();
    for (const cell of scoped()) sums.set(cell[column], add(sums.get(cell[column]) || empty(), cell));
    const rows = [...sums].sort(([a, x], [b, y]) => y.kinds[3] - x.kinds[3] || y.total - x.total || a - b);
    const shown = state.all ? rows : rows.slice(0, SLICE_ROWS);
    const headers = [h("th", { scope: "col" }, view === "event" ? "Event" : "Program"), h("th", { scope: "col" }, "Share"),
      ...KINDS.map((kind) => h("th", { scope: "col", class: "number" }, kind.title)), h("th", { scope: "col" }, h("span", { class: "hidden" }, "Filter"))];
    const body = shown.map(([index, sum]) => {
      const bar = h("div", { class: "stack", role: "img", "aria-label": words(sum.kinds) }, KINDS.map((kind, i) => {
        if (!sum.kinds[i]) return null;
        const part = h("i", { class: `fill-${kind.key}` });
        part.style.width = `${(sum.kinds[i] / sum.total) * 100}%`;
        return part;
      }));
      const worst = [...sum.reasons].filter(([reason]) => data.reasons[reason].outcome === "rejected").sort((a, b) => b[1] - a[1])[0];
      const only = state[view] === index;
      return h("tr", { role: "row" }, h("th", { scope: "row", role: "rowheader" }, value(name(index)), worst && h("small", {}, `mostly: ${data.reasons[worst[0]].title}`)),
        h("td", { role: "cell" }, bar), ...KINDS.map((kind, i) => h("td", { role: "cell", class: "number", "data-label": kind.title, "data-kind": kind.key }, h("span", {}, n(sum.kinds[i])))),
        h("td", { role: "cell" }, h("button", { type: "button", "aria-label": `${only ? "Show all" : "Only this"}: ${name(index)}`, onclick: () => { state[view] = only ? null : index; refresh(); } }, only ? "Show all" : "Only this")));
    });
    return [h("div", { class: "card slices" },
      h("table", { role: "table" }, h("caption", { class: "hidden" }, view === "event" ? "Outcomes by event" : "Outcomes by program"),
        h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, headers)), h("tbody", { role: "rowgroup" }, body)),
      rows.length > shown.length && h("p", { class: "actions" }, h("button", { type: "button", onclick: () => { state.all = true; drawGroups(sumOf(scoped())); } }, `Show all ${n(rows.length)}`)))];
  }

  function drawGroups(sum) {
    for (const button of by("views").children) button.setAttribute("aria-pressed", String(button.dataset.view === state.view));
    by("groups").replaceChildren(...(state.view === "reason" ? drawReasons(sum) : drawSlices(state.view)));
  }

  const rows = data.leads.map(([at, name, email, company, key, event, eventText, program, status, reason, message, leadId, requestId]) => {
    const title = name || email || key;
    const below = [title === email ? null : email, company].filter(Boolean);
    return { at, title, below, key, event, program, reason, message: message || "", leadId, requestId,
      status,
      cells: [title, eventText ?? NAMELESS.events, programName(program), data.reasons[reason].title, message || "", at],
      text: [name, email, company, key, eventText, status, message, data.reasons[reason].title, data.reasons[reason].category, data.reasons[reason].code, leadId, requestId, data.programs[program]].join("\n").toLowerCase() };
  });
  const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

  function cell(row, column, text) {
    const code = data.reasons[row.reason].code;
    if (column === TIME) return h("span", {}, day(text), h("small", {}, text.slice(11, 19)));
    return h("span", {}, value(text),
      column === PROGRAM && row.status ? h("small", {}, "as ", value(row.status)) : null,
      column === REASON && code ? h("small", {}, "code ", value(code)) : null,
      column === MESSAGE && row.requestId ? h("small", {}, "request ", value(row.requestId)) : null);
  }

  function drawRows() {
    const query = state.query.trim().toLowerCase();
    const found = rows.filter((row) => inScope(row.event, row.program) && (state.reason === null || row.reason === state.reason) && (!query || row.text.includes(query)));
    const way = state.down ? -1 : 1;
    found.sort((a, b) => way * collator.compare(a.cells[state.sort], b.cells[state.sort]));
    const perPage = state.print ? PRINT_ROWS : PAGE_ROWS;
    const pages = Math.max(Math.ceil(found.length / perPage), 1);
    state.page = Math.min(state.page, pages - 1);
    const shown = found.slice(state.page * perPage, (state.page + 1) * perPage);
    by("columns").replaceChildren(...COLUMNS.map((title, i) => h("th", { scope: "col", role: "columnheader", "aria-sort": state.sort === i ? (state.down ? "descending" : "ascending") : null },
      h("button", { type: "button", onclick: () => sortBy(i, state.sort === i ? !state.down : i === TIME) }, title))));
    by("rows").replaceChildren(...shown.map((row) => h("tr", { role: "row" },
      h("th", { scope: "row", role: "rowheader" }, value(row.title), row.below.map((text) => h("small", {}, value(text))),
        row.leadId === null ? null : h("small", {}, `Marketo id ${row.leadId}`)),
      row.cells.map((text, i) => (i ? h("td", { role: "cell", "data-label": COLUMNS[i] }, cell(row, i, text)) : null)))));
    const first = state.page * perPage;
    const total = data.rejected_total;
    const capped = total > rows.length ? ` The page lists ${n(rows.length)} of all ${n(total)}; the CSV file has every one.` : "";
    by("found").replaceChildren((found.length ? `${n(first + 1)}–${n(first + shown.length)} of ${leads(found.length)}.` : total ? "No lead matches." : "No lead was rejected.") + capped);
    by("table").hidden = !found.length;
    by("pages").hidden = pages === 1;
    const turn = (by_) => () => { state.page += by_; drawRows(); by("leads-title").focus(); };
    by("pages").replaceChildren(h("button", { type: "button", disabled: state.page === 0, onclick: turn(-1) }, "← Previous"), `Page ${state.page + 1} of ${pages}`,
      h("button", { type: "button", disabled: state.page === pages - 1, onclick: turn(1) }, "Next →"));
  }

  function sortBy(column, down) {
    const inHeader = by("columns").contains(document.activeElement);
    Object.assign(state, { sort: column, down, page: 0 });
    by("sort").value = `${column}${down ? "-" : "+"}`;
    drawRows();
    if (inHeader) by("columns").children[column].firstChild.focus();
  }

  function showLeads(reason) {
    Object.assign(state, { reason, query: "", page: 0 });
    by("reason").value = String(reason);
    by("search").value = "";
    drawRows();
    by("leads").scrollIntoView();
    by("leads-title").focus({ preventScroll: true });
  }

  function options(select, first, names) {
    const clipped = (text) => (text.length > 80 ? `${text.slice(0, 79)}…` : text);
    select.replaceChildren(h("option", { value: "" }, first), ...names.map(([index, text]) => h("option", { value: index }, clipped(text))));
  }

  function refresh() {
    const sum = sumOf(scoped());
    by("event").value = state.event ?? "";
    by("program").value = state.program ?? "";
    by("reset").hidden = state.event === null && state.program === null;
    state.page = 0;
    drawHeadline(sum); drawDonut(sum); drawTiles(sum); drawGroups(sum); drawRows();
  }

  const number = (text) => (text === "" ? null : Number(text));
  options(by("event"), "All events", data.events.map((_, i) => [i, eventName(i)]));
  options(by("program"), "All programs", data.programs.map((_, i) => [i, programName(i)]));
  options(by("reason"), "All reasons", data.reasons.map((reason, i) => [i, reason]).filter(([, reason]) => reason.outcome === "rejected")
    .map(([i, reason]) => [i, reason.code ? `${reason.title} (${reason.code})` : reason.title]));
  by("sort").replaceChildren(...COLUMNS.flatMap((title, i) => [h("option", { value: `${i}+` }, `${title} ↑`), h("option", { value: `${i}-` }, `${title} ↓`)]));
  by("sort").value = `${TIME}-`;
  by("event").addEventListener("change", (event) => { state.event = number(event.target.value); refresh(); });
  by("program").addEventListener("change", (event) => { state.program = number(event.target.value); refresh(); });
  by("filters").addEventListener("reset", (event) => { event.preventDefault(); state.event = state.program = null; refresh(); by("event").focus(); });
  by("filters").addEventListener("submit", (event) => event.preventDefault());
  by("views").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) { state.view = button.dataset.view; drawGroups(sumOf(scoped())); }
  });
  by("search").addEventListener("input", (event) => { Object.assign(state, { query: event.target.value, page: 0 }); drawRows(); });
  by("reason").addEventListener("change", (event) => { Object.assign(state, { reason: number(event.target.value), page: 0 }); drawRows(); });
  by("sort").addEventListener("change", (event) => sortBy(parseInt(event.target.value, 10), event.target.value.endsWith("-")));
  addEventListener("beforeprint", () => { state.print = true; drawRows(); });
  addEventListener("afterprint", () => { state.print = false; drawRows(); });
  drawTimeline();
  refresh();
  by("plain").remove();
  document.documentElement.classList.add("script");
})();
