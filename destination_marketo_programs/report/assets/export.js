// The leads of the current filter as CSV and JSONL, made in the browser, and texts for the clipboard.
const HIDDEN = "[\\s\\u0000-\\u0020\\u00ad\\u180e\\u200b-\\u200f\\u2028-\\u202f\\u2060-\\u2064\\ufeff]";
const FORMULA = new RegExp(`^(?:${HIDDEN}*[=+\\-@＝＋－＠]|[\\t\\r\\n])`);
const MAX_COLUMNS = 300;

const safeCell = (value) => { const shown = value.replaceAll("\0", ""); return FORMULA.test(shown) ? `'${shown}` : shown; };

// A number keeps the digits of the source: it is read as a text that begins with a mark.
const NUMBER = "\u0000n";
function parseRecord(raw) {
  const marked = raw.replace(/("(?:[^"\\]|\\.)*")|(-?(?:\d[\d.eE+-]*|Infinity)|NaN)/g, (whole, string) => string ?? JSON.stringify(NUMBER + whole));
  try { return JSON.parse(marked); } catch { return null; }
}
const isNumber = (value) => typeof value === "string" && value.startsWith(NUMBER);
function dumped(value) {
  if (isNumber(value)) return value.slice(NUMBER.length);
  if (Array.isArray(value)) return `[${value.map(dumped).join(",")}]`;
  if (value && typeof value === "object") return `{${Object.entries(value).map(([name, below]) => `${JSON.stringify(name)}:${dumped(below)}`).join(",")}}`;
  return JSON.stringify(value);
}
function flattened(value, path = null, into = new Map()) {
  if (value === null || typeof value !== "object" || Array.isArray(value) || (path !== null && !Object.keys(value).length)) { into.set(path ?? "", value); return into; }
  for (const [name, below] of Object.entries(value)) {
    const part = name.replaceAll("\\", "\\\\").replaceAll(".", "\\.");
    flattened(below, path === null ? part : `${path}.${part}`, into);
  }
  return into;
}
function leafText(leaf) {
  if (leaf === null || leaf === undefined) return "";
  if (isNumber(leaf)) return leaf.slice(NUMBER.length);
  return typeof leaf === "string" ? leaf : dumped(leaf);
}
const leafCell = (leaf) => (isNumber(leaf) ? leafText(leaf) : safeCell(leafText(leaf)));
function leavesOf(lead) {
  const record = lead.record ? parseRecord(lead.record) : null;
  return record && typeof record === "object" && !Array.isArray(record) ? flattened(record) : new Map();
}

const OUTCOME_COLUMNS = {
  "Event": (each) => (each.event.id === null ? "" : each.event.label),
  "Program": (each) => (each.program.id === null ? "" : each.program.name ? each.program.label : each.program.id),
  "Status": (each) => each.status,
  "Outcome": (each) => each.result,
  "Reason": (each) => (each.reason ? each.reason.title : ""),
  "Category": (each) => (each.reason ? each.reason.category || "" : ""),
  "Detail": (each) => each.part,
  "Marketo code": (each) => (each.reason ? each.reason.code || "" : ""),
  "Message": (each) => each.message,
  "How to fix": (each) => (each.reason ? each.reason.hint : ""),
  "Marketo lead id": (each) => (each.lead === null ? "" : String(each.lead)),
  "Request id": (each) => each.request,
  "Time (UTC)": (each) => each.at,
  "Sending again may help": (each) => (each.retryable ? "yes" : "no"),
};
const told = (lead) => { const rejected = lead.outcomes.filter((each) => each.result === "rejected"); return rejected.length ? rejected : lead.outcomes; };
const joined = (lead, of) => [...new Set(told(lead).map(of).filter((value) => value !== ""))].join(data.between);

function csvOf(chosen) {
  const columns = new Map();
  const leaves = chosen.map(leavesOf);
  for (const found of leaves) for (const path of found.keys()) if (columns.size < MAX_COLUMNS) columns.set(path, true);
  const paths = [...columns.keys()];
  const quoted = (cell) => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
  const rows = [["Record", "Name", "Email", "Company", "Stream", "Key", "Since last sync", ...Object.keys(OUTCOME_COLUMNS), ...paths.map((path) => safeCell(data.record_prefix + path))]];
  chosen.forEach((lead, i) => rows.push([
    lead.ref, ...[lead.name, lead.email, lead.company, lead.stream, lead.key, lead.news].map(safeCell),
    ...Object.values(OUTCOME_COLUMNS).map((of) => safeCell(joined(lead, of))),
    ...paths.map((path) => leafCell(leaves[i].get(path))),
  ]));
  return `\ufeff${rows.map((row) => row.map(quoted).join(",")).join("\r\n")}\r\n`;
}

function jsonlOf(chosen) {
  return chosen.map((lead) => {
    const outcomes = lead.outcomes.map((each) => ({
      event: each.event.id, program_id: each.program.id === null ? null : Number(each.program.id), program_status: each.status || null, outcome: each.result,
      lead_id: each.lead, category: each.reason ? each.reason.category : null, code: each.reason ? each.reason.code : null, message: each.message || null,
      detail: each.detail, request_id: each.request || null, at: each.at,
    }));
    const about = { record_ref: lead.ref.replace(/^'/, ""), stream: lead.stream, record_key: lead.key, outcomes };
    // The record goes in as it was stored, byte for byte.
    return lead.record ? `${JSON.stringify(about).slice(0, -1)},"record":${lead.record}}\n` : `${JSON.stringify(about)}\n`;
  }).join("");
}

function download(content, type, name) {
  const address = URL.createObjectURL(new Blob([content], { type }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
const fileName = (ending) => `leads-${filter.kind || "all"}-${data.made.slice(0, 10)}.${ending}`;
const downloadCsv = (chosen) => download(csvOf(chosen), "text/csv;charset=utf-8", fileName("csv"));
const downloadJsonl = (chosen) => download(jsonlOf(chosen), "application/x-ndjson", fileName("jsonl"));

function copy(content, button) {
  const label = button.dataset.label || (button.dataset.label = button.textContent);
  const done = (word) => { button.textContent = word; setTimeout(() => { button.textContent = label; }, 1_500); };
  const byHand = () => {
    const area = document.createElement("textarea");
    area.value = content;
    document.body.append(area);
    area.select();
    const worked = document.execCommand("copy");
    area.remove();
    button.focus();
    done(worked ? "Copied" : "Not copied");
  };
  if (!navigator.clipboard) byHand();
  else navigator.clipboard.writeText(content).then(() => done("Copied"), byHand);
}
