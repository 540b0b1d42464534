// What the page knows, and which of it the filter shows. Values of records are only ever data here.
const data = JSON.parse(document.getElementById("data").textContent);
const KINDS = [["delivered", "delivered"], ["unchanged", "unchanged"], ["skipped", "skipped"], ["rejected", "rejected"]];
const DELIVERED = new Set(["created", "updated", "imported"]);
const RETRYABLE = 1, CONFIRMED = 2;
const VERDICTS = { as_sent: "as sent", ahead: "ahead", beside: "beside", behind: "behind", missing: "missing", person_gone: "person gone" };
const NEWS = { new: "New in the last sync", still: "Open from earlier syncs", fixed: "Fixed" };
const n = (count) => count.toLocaleString("en-US");
const counted = (count, noun) => `${n(count)} ${noun}${count === 1 ? "" : "s"}`;
const text = (index) => (index === undefined || index === null ? "" : data.texts[index]);

const programs = data.programs.map(([id, name, address]) => ({ id, name, address, label: id === null ? "(no program)" : name ? `${name} (${id})` : `Program ${id}`, short: id === null ? "" : name || `Program ${id}` }));
const events = data.events.map(([id, name]) => ({ id, name: name || "", label: id === null ? "(no event)" : name || id }));
const reasons = data.reasons.map((reason, index) => ({ ...reason, index, id: `${reason.outcome}:${reason.category || ""}:${reason.code || ""}` }));

function readOutcome(values) {
  const of = {};
  data.outcome.forEach((name, i) => { of[name] = values[i] ?? null; });
  return {
    program: programs[of.program], event: events[of.event], status: text(of.status), result: data.results[of.result], bar: of.bar, at: of.at || "",
    lead: of.lead, request: text(of.request), reason: of.reason === null ? null : reasons[of.reason], part: text(of.part), message: text(of.message),
    detail: of.detail === null ? null : JSON.parse(text(of.detail)), retryable: Boolean(of.flags & RETRYABLE), confirmed: Boolean(of.flags & CONFIRMED),
    action: text(of.action), fields: text(of.fields), verdict: text(of.verdict), found: text(of.found),
  };
}

function kindOf(outcomes) {
  if (outcomes.some((each) => each.result === "rejected")) return "rejected";
  if (outcomes.some((each) => DELIVERED.has(each.result))) return "delivered";
  return outcomes.some((each) => each.result === "unchanged") ? "unchanged" : "skipped";
}

const leads = data.leads.map(([key, stream, ref, news, outcomes, name, email, company, record], index) => ({
  index, key, stream: text(stream), ref, news: news || "", outcomes: outcomes.map(readOutcome), name: name || "", email: email || "",
  company: text(company), record: record || "", haystack: null,
}));
for (const lead of leads) {
  lead.kind = kindOf(lead.outcomes);
  lead.title = lead.name || lead.email || lead.key;
  lead.at = lead.outcomes.reduce((latest, each) => (each.at > latest ? each.at : latest), "");
}
const capped = data.totals.total > leads.length;

function haystackOf(lead) {
  if (lead.haystack === null) {
    const parts = [lead.name, lead.email, lead.company, lead.key, lead.ref, lead.stream];
    for (const each of lead.outcomes) {
      parts.push(each.status, each.message, each.part, each.request, each.program.label, each.event.id, each.event.name, each.result, each.verdict);
      if (each.lead !== null) parts.push(String(each.lead));
      if (each.reason) parts.push(each.reason.title, each.reason.category, each.reason.code);
      if (each.detail && each.detail.lead_ids) parts.push(each.detail.lead_ids.join(" "));
    }
    lead.haystack = parts.join("\n").toLowerCase();
  }
  return lead.haystack;
}

// The filter. Its names are those in the address, and its values mean the same in a later page.
const EMPTY = { q: "", kind: "rejected", reason: "", part: "", event: "", program: "", sync: "", news: "", verdict: "" };
const start = () => ({ ...EMPTY, kind: data.totals.rejected ? "rejected" : "" });
let filter = start();

const idOf = (thing) => (thing.id === null ? "(none)" : thing.id);
const barOf = (label) => data.bars.findIndex((bar) => bar.label === label);

function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  const found = start();
  if (![...given.keys()].some((name) => Object.hasOwn(EMPTY, name))) return found;
  for (const name of Object.keys(EMPTY)) found[name] = given.get(name) ?? "";
  if (found.kind && !KINDS.some(([kind]) => kind === found.kind)) found.kind = "";
  if (found.news && !Object.hasOwn(NEWS, found.news)) found.news = "";
  if (found.verdict && !Object.hasOwn(VERDICTS, found.verdict)) found.verdict = "";
  if (found.reason && !reasons.some((reason) => reason.id === found.reason)) found.reason = found.part = "";
  if (found.event && !events.some((event) => idOf(event) === found.event)) found.event = "";
  if (found.program && !programs.some((program) => idOf(program) === found.program)) found.program = "";
  if (found.sync && barOf(found.sync) < 0) found.sync = "";
  return found;
}

function writeAddress() {
  const differing = Object.entries(filter).filter(([name, value]) => value || name === "kind");
  const same = JSON.stringify(filter) === JSON.stringify(start());
  const hash = same ? "" : `#${new URLSearchParams(differing)}`;
  if (hash !== location.hash) history.replaceState(null, "", hash || location.pathname + location.search);
}

// Outcomes of a lead that the filter is about; what is left out of it here is not counted for the lead.
function scopedOf(lead, without) {
  const event = without === "event" ? "" : filter.event, program = without === "program" ? "" : filter.program;
  const bar = filter.sync && without !== "sync" ? barOf(filter.sync) : null;
  if (!event && !program && bar === null) return lead.outcomes;
  return lead.outcomes.filter((each) => (!event || idOf(each.event) === event) && (!program || idOf(each.program) === program) && (bar === null || each.bar === bar));
}

function hits(lead, outcomes, { kind = true, reason = true } = {}) {
  if (!outcomes.length) return false;
  if (kind && filter.kind && kindOf(outcomes) !== filter.kind) return false;
  if (filter.news && lead.news !== filter.news) return false;
  if (filter.verdict && !outcomes.some((each) => each.verdict === filter.verdict)) return false;
  if (reason && filter.reason) {
    const about = outcomes.filter((each) => each.reason && each.reason.id === filter.reason);
    if (!about.length || (filter.part && !about.some((each) => each.part === filter.part))) return false;
  }
  return true;
}

const words = () => filter.q.toLowerCase().split(/\s+/).filter(Boolean);
const matches = (lead, wanted) => !wanted.length || wanted.every((word) => haystackOf(lead).includes(word));

function shownLeads() {
  const wanted = words();
  return leads.filter((lead) => hits(lead, scopedOf(lead)) && matches(lead, wanted));
}

// Counts for what can be chosen next: kinds under everything but the kind and reason, reasons under everything but themselves.
function countAll() {
  const kinds = { delivered: 0, unchanged: 0, skipped: 0, rejected: 0 };
  const found = new Map();
  const wanted = words();
  for (const lead of leads) {
    const outcomes = scopedOf(lead);
    if (!hits(lead, outcomes, { kind: false, reason: false }) || !matches(lead, wanted)) continue;
    kinds[kindOf(outcomes)] += 1;
    const seen = new Set();
    for (const each of outcomes) {
      if (!each.reason) continue;
      const count = found.get(each.reason.index) || { leads: 0, parts: new Map() };
      found.set(each.reason.index, count);
      if (!seen.has(each.reason.index)) { seen.add(each.reason.index); count.leads += 1; }
      const part = `${each.reason.index}\n${each.part}`;
      if (!seen.has(part)) { seen.add(part); count.parts.set(each.part, (count.parts.get(each.part) || 0) + 1); }
    }
  }
  return { kinds, reasons: found };
}

const isNarrowed = () => ["q", "event", "program", "sync", "news", "verdict"].some((name) => filter[name]);
