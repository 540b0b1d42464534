// The page itself: the list of causes, the filter, the leads, the timeline.
const PAGE_ROWS = 50, PRINT_ROWS = 400;
const chosen = new Set(), opened = new Set();
let page = 0, shown = [];
const WHO = { you: "You can fix now", source: "Fix in the source", nobody: "Nothing to do" };

function set(changes) {
  Object.assign(filter, changes);
  if ("reason" in changes && !("part" in changes)) filter.part = "";
  page = 0;
  draw();
}

function drawHeadline(kinds) {
  const total = Object.values(kinds).reduce((a, b) => a + b, 0);
  const all = capped && !isNarrowed() ? data.totals : { ...kinds, total };
  const was = all.rejected === 1 ? "was" : "were";
  by("headline").textContent = !all.total ? "No leads match these filters." : all.rejected ? `${n(all.rejected)} of ${counted(all.total, "lead")} ${was} not delivered.` : `No lead was rejected: ${counted(all.total, "lead")}.`;
  by("legend").replaceChildren(...KINDS.map(([kind, label]) => button([h("span", { class: "dot", "aria-hidden": "true" }), h("b", {}, n(all[kind])), ` ${label}`],
    () => set({ kind: filter.kind === kind ? "" : kind, reason: "", part: "" }), { class: `kind ${kind}`, "aria-pressed": String(filter.kind === kind), "data-kind": kind })));
  const share = by("share");
  share.setAttribute("aria-label", KINDS.map(([kind, label]) => `${n(all[kind])} ${label}`).join(", "));
  share.replaceChildren(...KINDS.filter(([kind]) => all[kind]).map(([kind]) => {
    const piece = h("i", { class: kind });
    piece.style.flexGrow = all[kind];
    return piece;
  }));
  const news = data.since_last;
  const drift = data.drift ? [button(`${n(data.drift)} not in Marketo as sent`, () => by("verdicts").scrollIntoView(), { class: "news" })] : [];
  by("news").replaceChildren(...drift, ...(news ? Object.entries(NEWS).filter(([name]) => news[name]).map(([name, label]) =>
    button(name === "new" ? `+${n(news.new)} new in the last sync` : name === "still" ? `${n(news.still)} open from earlier syncs` : `${n(news.fixed)} fixed`,
      () => set({ news: filter.news === name ? "" : name, kind: name === "fixed" ? "" : filter.kind, reason: "" }), { class: "news", "aria-pressed": String(filter.news === name), title: label })) : []));
}

function drawCauses(found, kinds) {
  const wasOpen = Boolean(by("causes").querySelector("details")?.open);
  const sections = Object.entries(WHO).map(([who, title]) => {
    const list = reasons.filter((reason) => reason.who === who).map((reason) => {
      const count = found.get(reason.index);
      const exact = capped && !isNarrowed();
      return { reason, leads: exact ? reason.leads : count ? count.leads : 0, parts: count ? count.parts : new Map(), exact };
    }).filter((each) => each.leads).sort((a, b) => b.leads - a.leads || a.reason.index - b.reason.index);
    if (!list.length) return null;
    const body = [h("ul", {}, list.map(cause))];
    if (who === "nobody") return h("details", { class: "causes", open: wasOpen || list.some((each) => each.reason.id === filter.reason) }, h("summary", {}, `${title}: ${n(capped && !isNarrowed() ? data.totals.skipped : kinds.skipped)} skipped`), body);
    return h("section", { class: "causes" }, h("h3", {}, title), body);
  }).filter(Boolean);
  by("causes").replaceChildren(...(sections.length ? sections : [h("p", { class: "soft" }, "Nothing to fix.")]));
}

function cause({ reason, leads: count, parts, exact }) {
  const pressed = filter.reason === reason.id;
  const names = reason.parts.map((part) => ({ ...part, leads: exact ? part.leads : parts.get(part.name) || 0 })).filter((part) => part.leads);
  // A lead that one program skipped may have been delivered to another: then it does not count as a skipped lead, and is still meant here.
  const kind = reason.outcome === "rejected" ? "rejected" : "";
  const choose = (part) => set(pressed && filter.part === part ? { reason: "", part: "", kind } : { reason: reason.id, part, kind });
  return h("li", { class: `cause ${reason.outcome}` },
    button([h("b", {}, n(count)), h("span", {}, reason.title, reason.code && h("small", {}, ` (Marketo ${reason.code})`))], () => choose(""),
      { "aria-pressed": String(pressed && !filter.part), "data-reason": reason.id }),
    names.length > 1 || names.some((part) => part.name.includes(" = ")) ? h("ul", { class: "parts" }, names.map((part) => h("li", {},
      button([value(part.name || "(nothing given)"), h("b", {}, n(part.leads))], () => choose(part.name), { "aria-pressed": String(pressed && filter.part === part.name) })))) : null);
}

function drawAdvice() {
  const reason = reasons.find((each) => each.id === filter.reason);
  const place = by("advice");
  place.hidden = !reason;
  if (!reason) { place.replaceChildren(); return; }
  const mappings = reason.parts.filter((part) => part.mapping && (!filter.part || part.name === filter.part)).map((part) => part.mapping);
  const again = h("code", {}, reason.again || "");
  place.replaceChildren(...[
    h("h3", {}, reason.title), h("p", {}, reason.explanation), h("p", { class: "fix" }, h("b", {}, reason.outcome === "rejected" ? "How to fix: " : "What to do: "), reason.fix),
    mappings.length ? h("details", {}, h("summary", {}, "Mapping to add"), h("p", { class: "soft" }, "Copy it into qualifier_mappings, and change program_status if these people should get another one."),
      h("div", { class: "command" }, h("code", {}, mappings.join(",\n")), button("Copy", (event) => copy(mappings.join(",\n"), event.currentTarget)))) : null,
    reason.again ? h("details", {}, h("summary", {}, "Then send these leads again"), h("div", { class: "command" }, again, button("Copy", (event) => copy(reason.again, event.currentTarget)))) : null,
    reason.outcome === "rejected" && !reason.again ? h("p", { class: "soft" }, "Sending the same record again will not help. Correct the cells in the CSV and send it with ", h("code", {}, "retry --edit"), ", or fix the source.") : null,
  ].filter(Boolean));
}

function row(lead) {
  const outcomes = lead.outcomes;
  const main = outcomes.find((each) => each.reason && (!filter.reason || each.reason.id === filter.reason)) || outcomes.find((each) => each.reason) || null;
  const name = h("bdi", { class: "value name" }, lead.title);
  const id = `lead-${lead.index}`;
  const box = h("input", { type: "checkbox", "aria-label": `Select ${lead.title.slice(0, 80)}`, onchange: (event) => { if (event.currentTarget.checked) chosen.add(lead.index); else chosen.delete(lead.index); drawSelection(); } });
  box.checked = chosen.has(lead.index);
  const more = h("details", { class: "more" }, h("summary", { "aria-label": `Details of ${lead.title.slice(0, 80)}` }, "Record, what we sent, Marketo's answer"));
  const fill = () => { if (more.open) { opened.add(lead.index); if (more.children.length === 1) more.append(drawer(lead)); } else opened.delete(lead.index); };
  more.addEventListener("toggle", fill);
  if (opened.has(lead.index)) { more.open = true; fill(); }
  const known = outcomes.map((each) => each.lead).find((each) => each !== null);
  return h("li", { class: `lead ${lead.kind}`, "data-ref": lead.ref }, box, h("div", { class: "about" },
    h("p", { class: "who" }, h("b", { id }, name), lead.email && lead.email !== lead.title ? h("span", { class: "soft" }, value(lead.email)) : null, lead.company ? h("span", { class: "soft" }, value(lead.company)) : null,
      known !== undefined && data.app ? outward(personAddress(known), "Open", `Lead ${known} in Marketo`) : null),
    h("ul", { class: "chips" }, outcomes.slice(0, 8).map(chip), outcomes.length > 8 ? h("li", { class: "chip" }, `and ${n(outcomes.length - 8)} more`) : null),
    main ? h("p", { class: "why" }, h("b", {}, main.reason.title), because(main) ? h("span", {}, ": ", because(main)) : null) : null,
    more));
}

function drawLeads() {
  shown = shownLeads();
  const size = PAGE_ROWS, pages = Math.max(Math.ceil(shown.length / size), 1);
  page = Math.min(page, pages - 1);
  const rows = shown.slice(page * size, (page + 1) * size);
  by("leads").replaceChildren(...rows.map(row));
  const many = counted(shown.length, "lead");
  by("found").replaceChildren(!shown.length ? (data.leads.length ? "No lead matches." : "There are no leads.") : rows.length < shown.length ? `${n(page * size + 1)}–${n(page * size + rows.length)} of ${many}` : many,
    capped ? `. This page lists ${n(leads.length)} of ${n(data.totals.total)} leads, those to act on first` : "");
  by("pages").hidden = pages === 1;
  const turn = (by_) => () => { page += by_; drawLeads(); drawSelection(); by("list-title").focus(); by("list").scrollIntoView(); };
  by("pages").replaceChildren(button("← Previous", turn(-1), { disabled: page === 0 }), h("span", {}, `Page ${n(page + 1)} of ${n(pages)}`), button("Next →", turn(1), { disabled: page === pages - 1 }));
  const program = programs.find((each) => filter.program && idOf(each) === filter.program);
  by("program-link").replaceChildren(...(program && program.address ? [outward(program.address, `Open ${program.label} in Marketo`, program.label)] : []));
}

const selected = () => (chosen.size ? leads.filter((lead) => chosen.has(lead.index)) : shown);
function drawSelection() {
  const list = selected();
  by("selection").hidden = !leads.length;
  const every = shown.length > 0 && shown.every((lead) => chosen.has(lead.index));
  by("choose-all").checked = every;
  by("choose-all").indeterminate = !every && chosen.size > 0;
  by("chosen").textContent = chosen.size ? `${n(chosen.size)} selected` : `All ${n(list.length)} shown`;
  for (const each of by("actions").querySelectorAll("button")) each.disabled = !list.length;
}

function drawTimeline() {
  const place = by("timeline");
  if (!place) return;
  const cellHits = data.cells.map(([program, event, result, reason]) => (!filter.program || idOf(programs[program]) === filter.program) && (!filter.event || idOf(events[event]) === filter.event)
    && (filter.reason ? reason !== null && reasons[reason].id === filter.reason : data.results[result] === "rejected"));
  const totals = data.bars.map((bar) => bar.cells.reduce((sum, [cell, count]) => sum + (cellHits[cell] ? count : 0), 0));
  const highest = Math.max(...totals, 1);
  const step = Math.max(1, Math.ceil(data.bars.length / 8));
  place.replaceChildren(...data.bars.map((bar, i) => {
    const piece = h("i", { class: totals[i] ? "rejected" : "none", "aria-hidden": "true" });
    piece.style.height = `${Math.max((totals[i] / highest) * 100, 4)}%`;
    const [date, time] = [bar.label.slice(0, 10), bar.label.slice(11)];
    const label = `${day(date)}${time ? `, ${time} UTC` : ""}: ${n(totals[i])} ${filter.reason ? "with this reason" : "rejected"} (${n(bar.new)} new, ${n(bar.still)} again, ${n(bar.fixed)} fixed)`;
    const last = data.bars.length - 1;
    return h("li", {}, button([piece, h("span", { class: "label", "aria-hidden": "true" }, i === last || (i % step === 0 && last - i >= step) ? date.slice(5) || date : "")],
      () => set({ sync: filter.sync === bar.label ? "" : bar.label }), { title: label, "aria-label": label, "aria-pressed": String(filter.sync === bar.label) }));
  }));
}

function options(select, first, list) {
  const clipped = (label) => (label.length > 60 ? `${label.slice(0, 59)}…` : label);
  select.replaceChildren(h("option", { value: "" }, first), ...list.map(([id, label]) => h("option", { value: id }, clipped(label))));
}

function draw() {
  const { kinds, reasons: found } = countAll();
  drawHeadline(kinds); drawCauses(found, kinds); drawAdvice(); drawTimeline(); drawLeads(); drawSelection();
  for (const name of ["event", "program", "sync", "kind"]) if (by(name)) by(name).value = filter[name];
  if (by("search").value !== filter.q) by("search").value = filter.q;
  by("clear").hidden = JSON.stringify(filter) === JSON.stringify(start());
  writeAddress();
}

const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
const sorted = (list) => list.map((each) => [idOf(each), each.label]).sort((a, b) => collator.compare(a[1], b[1]));
options(by("event"), "All events", sorted(events));
options(by("program"), "All programs", sorted(programs));
options(by("kind"), "All outcomes", KINDS);
if (by("sync")) options(by("sync"), "All syncs", data.bars.map((bar) => [bar.label, bar.label]).reverse());
for (const name of ["event", "program", "sync", "kind"]) if (by(name)) by(name).addEventListener("change", (event) => set({ [name]: event.target.value }));
by("search").addEventListener("input", (event) => set({ q: event.target.value }));
by("filters").addEventListener("submit", (event) => event.preventDefault());
by("clear").addEventListener("click", () => { filter = start(); page = 0; draw(); by("search").focus(); });
by("choose-all").addEventListener("change", (event) => { for (const lead of shown) if (event.target.checked) chosen.add(lead.index); else chosen.delete(lead.index); drawLeads(); drawSelection(); });
by("copy-link").addEventListener("click", (event) => copy(location.href, event.currentTarget));
by("copy-emails").addEventListener("click", (event) => copy([...new Set(selected().map((lead) => lead.email).filter(Boolean))].join("\n"), event.currentTarget));
by("copy-keys").addEventListener("click", (event) => copy(selected().map((lead) => lead.key).join("\n"), event.currentTarget));
by("csv").addEventListener("click", () => downloadCsv(selected()));
by("jsonl").addEventListener("click", () => downloadJsonl(selected()));
for (const control of document.querySelectorAll("[data-verdict]")) control.addEventListener("click", () => set({ ...EMPTY, kind: "", program: control.dataset.program, verdict: control.dataset.verdict }));
addEventListener("hashchange", () => { filter = readAddress(); page = 0; draw(); });
addEventListener("beforeprint", () => {
  const list = shownLeads();
  by("leads").replaceChildren(...list.slice(0, PRINT_ROWS).map(row));
  if (list.length > PRINT_ROWS) by("leads").append(h("li", {}, `and ${n(list.length - PRINT_ROWS)} more: download the CSV`));
});
addEventListener("afterprint", drawLeads);
filter = readAddress();
document.documentElement.classList.add("script");
by("plain").remove();
draw();
if (by("timeline")) by("timeline").scrollLeft = by("timeline").scrollWidth;
