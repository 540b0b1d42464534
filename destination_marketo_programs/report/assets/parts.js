// Pieces of the page. Everything that comes from a record becomes a text node.
const by = (id) => document.getElementById(id);
function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  const add = (child) => {
    if (child === null || child === undefined || child === false || child === "") return;
    if (Array.isArray(child)) child.forEach(add);
    else element.append(child);
  };
  children.forEach(add);
  return element;
}
const value = (shown) => h("bdi", { class: "value" }, shown);
const button = (label, onclick, attributes) => h("button", { type: "button", onclick, ...attributes }, label);
const outward = (address, label, name) => h("a", { href: address, target: "_blank", rel: "noreferrer noopener", "aria-label": `${name} (opens Marketo)` }, label, h("span", { "aria-hidden": "true" }, " ↗"));
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
function day(at) {
  const [year, month, date] = at.slice(0, 10).split("-");
  return month && MONTHS[month - 1] ? [date ? Number(date) : "", MONTHS[month - 1], year].filter(Boolean).join(" ") : at;
}
const moment = (at) => (at ? `${day(at)}, ${at.slice(11, 16)} UTC` : "");

const personAddress = (id) => `${data.app}/leadDatabase/loadLeadDetail?leadId=${encodeURIComponent(id)}`;
const person = (id) => (data.app ? outward(personAddress(id), String(id), `Lead ${id}`) : h("span", {}, String(id)));
const programName = (program) => (program.address ? outward(program.address, value(program.label), program.label) : value(program.label));

function chip(outcome) {
  const where = outcome.program.short || (outcome.event.id === null ? "no program" : `no program for ${outcome.event.label}`);
  return h("li", { class: `chip ${DELIVERED.has(outcome.result) ? "delivered" : outcome.result}` },
    h("span", { class: "dot", "aria-hidden": "true" }), value(where), outcome.status && h("b", {}, value(outcome.status)),
    h("span", { class: "what" }, Object.hasOwn(VERDICTS, outcome.verdict) ? `${outcome.result}, now ${VERDICTS[outcome.verdict]}` : outcome.confirmed ? `${outcome.result}, confirmed` : outcome.result));
}

// What a person calls a column: `Wants a demo` for `qualifiers."Wants a demo"`.
function columnName(column) {
  const found = /^[^"]*\.(?:"([^"\\]+)"|(\w+))$/.exec(column);
  return found ? found[1] || found[2] : column;
}

// What in the record decided it, in one line.
function because(outcome) {
  const detail = outcome.detail || {};
  if (Array.isArray(detail.lead_ids)) {
    return h("span", {}, `${n(detail.lead_ids.length)} people in Marketo have this key: `, detail.lead_ids.flatMap((id, i) => [i ? ", " : "", person(id)]));
  }
  if (typeof detail.field === "string" && "value" in detail) return h("span", {}, "Field ", value(detail.field), " = ", h("mark", {}, value(shownValue(detail.value))));
  if (typeof detail.qualifier === "string") return h("span", {}, value(columnName(detail.qualifier) || "Answer"), " = ", h("mark", {}, value(shownValue(detail.values ?? detail.value))));
  if (typeof detail.scans === "number") return h("span", {}, `${counted(detail.scans, "scan")}; the program link asks for ${n(detail.threshold ?? 0)}`);
  if (typeof detail.domain === "string") return h("span", {}, "Domain ", value(detail.domain));
  return outcome.message ? value(outcome.message) : null;
}
const shownValue = (given) => (Array.isArray(given) ? given.map(shownValue).join(", ") || "(no answer)" : given === null || given === undefined ? "(no answer)" : readable(given));

// Values of a detail, to mark them in the record.
function offending(outcomes) {
  const columns = new Set(), values = new Set();
  for (const { detail, reason } of outcomes) {
    if (reason && reason.category === "INVALID_EMAIL") columns.add("email");
    if (!detail) continue;
    for (const name of [detail.field, detail.qualifier, detail.column]) if (typeof name === "string" && name) columns.add(name.toLowerCase().replaceAll('"', ""));
    for (const each of [detail.value, ...(Array.isArray(detail.values) ? detail.values : [])]) if (["string", "number", "boolean"].includes(typeof each) && String(each)) values.add(String(each));
  }
  return (path, cell) => columns.has(path.toLowerCase()) || columns.has(path.toLowerCase().split(".").pop()) || values.has(cell);
}

function definition(pairs) {
  return h("dl", {}, pairs.filter(([, shown]) => shown !== null && shown !== "" && shown !== undefined).flatMap(([name, shown]) => [h("dt", {}, name), h("dd", {}, shown)]));
}

// A value of a record for people; the CSV has it as it is written.
function readable(leaf) {
  if (leaf === null || leaf === undefined) return "(none)";
  if (typeof leaf === "boolean") return leaf ? "yes" : "no";
  if (Array.isArray(leaf)) return leaf.length ? leaf.map(readable).join("; ") : "(none)";
  if (typeof leaf === "object") return Object.entries(leaf).map(([name, below]) => `${name}: ${readable(below)}`).join(", ") || "(none)";
  return leafText(leaf).trim() ? leafText(leaf) : "(blank)";
}

function recordPart(lead) {
  const leaves = [...leavesOf(lead)];
  if (!leaves.length) return lead.kind === "rejected" ? h("p", { class: "soft" }, "The record itself is in the storage only (rejected-*.jsonl).") : null;
  const isAtFault = offending(lead.outcomes);
  return definition(leaves.map(([path, leaf]) => {
    const cell = leafText(leaf);
    const shown = cell === "" ? h("span", { class: "soft" }, readable(leaf)) : value(readable(leaf));
    return [value(path), isAtFault(path, cell) ? h("mark", {}, shown) : shown];
  }));
}

// Without a code, a request or a delivery, the message is the connector's own.
const wasAsked = (outcome) => Boolean(outcome.request || outcome.reason?.code || outcome.lead !== null) || !["rejected", "skipped"].includes(outcome.result);

function answerPart(outcome) {
  return definition([
    ["Program", programName(outcome.program)],
    ["Event", outcome.event.id === null ? null : outcome.event.name ? h("span", {}, value(outcome.event.name), ` (${outcome.event.id})`) : value(outcome.event.label)],
    ["We sent", outcome.program.id === null || outcome.result === "skipped" ? null : !wasAsked(outcome) ? "nothing: it was decided before Marketo was asked" : h("span", {}, "status ", value(outcome.status || "(none)"), outcome.fields ? h("span", {}, " with the fields ", value(outcome.fields)) : "")],
    ["Outcome", outcome.confirmed ? `${outcome.result}, confirmed by reconcile` : outcome.result],
    ["In Marketo now", Object.hasOwn(VERDICTS, outcome.verdict) ? VERDICTS[outcome.verdict] + (outcome.found ? ` (${outcome.found})` : "") : null],
    [wasAsked(outcome) ? "Marketo's answer" : "Message", outcome.message || outcome.reason?.code ? h("span", {}, outcome.reason?.code ? `${outcome.reason.code}: ` : "", outcome.message ? value(outcome.message) : "(no message)") : null],
    ["Why", outcome.reason ? outcome.reason.title : null],
    ["Because", outcome.detail ? because(outcome) : null],
    ["How to fix", outcome.reason && outcome.result === "rejected" ? outcome.reason.fix : null],
    ["Marketo lead", outcome.lead === null ? null : person(outcome.lead)],
    ["Request id", outcome.request ? value(outcome.request) : null],
    ["Time", moment(outcome.at)],
  ]);
}

function drawer(lead) {
  const group = (title, content) => content && h("section", {}, h("h3", {}, title), content);
  return h("div", { class: "drawer" },
    lead.outcomes.map((outcome) => group(outcome.program.label, answerPart(outcome))),
    group("Record", recordPart(lead)),
    group("Names", definition([["Key", value(lead.key)], ["Stream", value(lead.stream)], ["Record", value(lead.ref.replace(/^'/, ""))]])));
}
