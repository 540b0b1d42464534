"use strict";
const REFRESH_MS = 2000;
const PAGE = 100;
const $ = (id) => document.getElementById(id);
const number = new Intl.NumberFormat("en");

let state = JSON.parse($("state").textContent);
let shown = 0; // people asked for
let opened = null; // id of the person whose drawer is open
let sure = false; // whether "forget everything" was pressed once

/** An element with a class, text and children. Text goes in as text: nothing of a record is ever markup. */
function el(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class") made.className = value;
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

/** Changes text only where it differs, so that a selection within it stays. */
function say(node, text) {
  if (node.textContent !== String(text)) node.textContent = text;
}

function set(node, name, value) {
  if (node[name] !== value) node[name] = value;
}

/** Makes `list` hold one node for each item, by key: nodes that are there keep their place. */
function patch(list, items, keyOf, make, update) {
  const nodes = new Map([...list.children].map((node) => [node.dataset.key, node]));
  let place = list.firstElementChild;
  for (const item of items) {
    const key = String(keyOf(item));
    let node = nodes.get(key);
    if (node === undefined) {
      node = make(item);
      node.dataset.key = key;
    }
    nodes.delete(key);
    if (node === place) place = place.nextElementSibling;
    else list.insertBefore(node, place);
    update(node, item);
  }
  for (const node of nodes.values()) node.remove();
}

// --- what is chosen stands in the address, so that it outlives a reload ---

function chosen() {
  const query = new URLSearchParams(location.hash.slice(1));
  return { program: query.get("program") || "", status: query.get("status") || "", text: query.get("text") || "" };
}

function choose(change) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries({ ...chosen(), ...change })) if (value) query.set(name, value);
  history.replaceState(null, "", `#${query}`);
  shown = PAGE;
  opened = null;
  render();
  showPeople();
}

/** Chooses who is shown, and brings them into sight if they are below it. */
function look(change) {
  choose(change);
  if ($("people").getBoundingClientRect().top > innerHeight / 2) $("people").scrollIntoView();
}

// --- counts ---

function facts() {
  const used = `${number.format(state.usage.total)} of ${number.format(state.daily_calls)}`;
  return [
    ["People", number.format(state.leads)],
    ["Calls", number.format(state.calls)],
    ["Counted today", used],
    ["Most at once", state.most_in_flight],
    ["Import jobs", state.jobs],
    ["Extract jobs", state.exports],
  ];
}

function renderFacts() {
  patch($("facts"), facts(), ([name]) => name,
    ([name]) => el("li", {}, el("span", {}, name), el("b")),
    (node, [, value]) => say(node.lastChild, value));
}

function renderPrograms() {
  const { program, status } = chosen();
  const pressed = (node, yes) => set(node, "ariaPressed", String(yes));
  patch($("programs"), state.programs, (p) => p.id,
    (p) => el("li", { class: "program" },
      el("div", { class: "name" }, el("b", {}, p.name), el("span", { class: "soft" }, `${p.id} · ${p.type} · ${p.channel}`)),
      el("div", { class: "statuses" })),
    (node, p) => {
      const all = { name: "", label: "All members", members: p.members };
      patch(node.lastChild, [all, ...p.statuses], (s) => s.name,
        (s) => el("button", { type: "button", onclick: () => look({ program: String(p.id), status: s.name }) }),
        (button, s) => {
          say(button, `${s.label || s.name} ${number.format(s.members)}`);
          set(button, "disabled", s.members === 0);
          pressed(button, program === String(p.id) && status === s.name);
        });
    });
}

function renderCalls() {
  set($("no-calls"), "hidden", state.latest.length > 0);
  patch($("calls"), state.latest, (c) => c.number,
    (c) => el("li", { class: "call" },
      el("span", { class: "n" }, `#${c.number}`), el("b", {}, c.endpoint), el("code", { class: "path" }, c.path),
      el("span", { class: "records" }), el("span", { class: "ending" }), el("span", { class: "n ms" })),
    (node, c) => {
      const [, , , records, ending, ms] = node.children;
      say(records, c.records ? `${number.format(c.records)} rows` : "");
      say(ending, c.ending + (c.fault ? ` (${c.fault}, injected)` : "") + (c.rows ? ` · skipped ${c.rows}` : ""));
      set(ending, "className", c.ending === "200" ? "ending" : "ending bad");
      say(ms, c.milliseconds === null ? "under way" : `${c.milliseconds} ms`);
    });
  set($("no-work"), "hidden", state.work.length > 0);
  patch($("work"), state.work, (job) => job.name,
    () => el("li"),
    (node, job) => say(node, `${job.name} · ${job.about}: ${job.state}${job.told ? ` · ${job.told}` : ""}`));
  patch($("counters"), state.counters, (c) => c.endpoint,
    () => el("li"),
    (node, c) => say(node, `${c.endpoint}: ` + Object.entries(c.endings)
      .map(([name, count]) => `${name} × ${number.format(count)}`).join(", ")));
}

// --- faults and limits ---

const NEXT = [
  ["Rate limit (606)", { name: "rate limit", code: "606" }],
  ["Token has expired (602)", { name: "token", expire_token: true }],
  ["Timed out (604)", { name: "timed out", code: "604" }],
  ["Server error (HTTP 502)", { name: "server error", http_status: 502 }],
  ["An HTML page", { name: "HTML page", http_status: 200 }],
  ["Response lost after execution", { name: "answer lost", reset: "after" }],
  ["Takes 10 seconds", { name: "slow", delay_seconds: 10 }],
];

function switches() {
  const over = state.usage.total >= state.daily_calls;
  const other = state.usage.users.find((user) => user.userId === OTHER);
  const used = other ? 0 : Math.max(0, state.daily_calls - state.usage.total);
  return [
    ["Limits", state.limits, () => post("settings", { limits: !state.limits })],
    ["Random faults, one call in ten", state.chaos !== null,
      () => post("faults", state.chaos === null ? { chaos: { seed: 1, rate: 0.1 } } : { replace: true })],
    ["New people are visible after 30 s", state.visible_after_seconds > 0,
      () => post("settings", { visible_after_seconds: state.visible_after_seconds > 0 ? 0 : 30 })],
    ["Daily quota used up (607)", over, () => post("seed", { usage: { [OTHER]: used } })],
  ];
}

const OTHER = "another-integration@example.com";

function renderFaults() {
  patch($("next"), NEXT, ([label]) => label,
    ([label, fault]) => el("button", { type: "button", onclick: () => post("faults", { add: [fault] }) }, label),
    () => {});
  patch($("switches"), switches(), ([label]) => label,
    ([label]) => el("button", { type: "button" }, label),
    (button, [, on, act]) => {
      set(button, "ariaPressed", String(on));
      button.onclick = act;
    });
  const whole = [
    ["none", "Clear all faults", false, () => post("faults", { replace: true })],
    ["release", "Release held calls", false, () => post("release", { names: Object.keys(state.held) })],
    ["reset", sure ? "Really delete everything?" : "Reset everything", true, forget],
  ];
  patch($("whole"), whole, ([key]) => key,
    ([, , grave]) => el("button", { type: "button", class: grave ? "grave" : "" }),
    (button, [, label, , act]) => {
      say(button, label);
      button.onclick = act;
    });
  const waiting = state.faults.map((fault, place) => [`${place} ${fault.name}`,
    `Waiting: ${fault.name}, for ${fault.endpoint}` + (fault.left === null ? "" : `, ${fault.left} more`)]);
  patch($("waiting"), waiting, ([key]) => key, () => el("li"), (node, [, text]) => say(node, text));
}

async function forget() {
  if (sure) {
    sure = false;
    await post("reset", {});
    choose({ program: "", status: "", text: "" });
  } else {
    sure = true;
    renderFaults();
  }
}

async function post(door, body) {
  const answer = await fetch(`/_sandbox/${door}`, { method: "POST", body: JSON.stringify(body) });
  say($("done"), answer.ok ? "Done." : `Refused: ${(await answer.json()).error}`);
  await refresh();
}

// --- people ---

async function ask(path) {
  const answer = await fetch(path);
  const found = await answer.json();
  if (!answer.ok) throw new Error(found.error);
  return found;
}

let asked = 0;

async function showPeople() {
  const { program, status, text } = chosen();
  const mine = ++asked;
  const people = [];
  let total = 0;
  for (let offset = 0; offset < shown; offset += PAGE) {
    const page = await ask(`/_sandbox/people?${new URLSearchParams({ program, status, text, offset })}`);
    people.push(...page.people);
    total = page.total;
    if (people.length >= total) break;
  }
  if (mine !== asked) return; // something else was chosen meanwhile
  const found = state.programs.find((p) => String(p.id) === program);
  say($("people-title"), found ? `People in ${found.name}${status ? ` · ${status}` : ""}` : "People");
  say($("found"), total ? `${number.format(total)} ${total === 1 ? "person" : "people"}` : "No people found.");
  set($("more"), "hidden", people.length >= total);
  set($("everybody"), "hidden", !program);
  patch($("people-list"), people, (p) => p.id,
    (p) => el("li", { class: "person" },
      el("button", { type: "button", ariaExpanded: "false", onclick: () => toggle(p.id) }, el("b"), el("span"), el("span"))),
    (node, p) => {
      const [name, more, what] = node.firstChild.children;
      say(name, p.name || p.email || `Lead ${p.id}`);
      say(more, [p.name ? p.email : "", p.company].filter(Boolean).join(" · "));
      say(what, p.status ? `${p.status}, ${p.since}` : `since ${p.since}`);
      set(node.firstChild, "ariaExpanded", String(opened === p.id));
      if (opened !== p.id && node.children.length > 1) node.lastChild.remove();
    });
  if (opened !== null) await showDrawer();
}

function toggle(id) {
  opened = opened === id ? null : id;
  showPeople();
}

async function showDrawer() {
  const id = opened;
  const node = [...$("people-list").children].find((one) => one.dataset.key === String(id));
  if (!node) return;
  const person = await ask(`/_sandbox/person?id=${id}`);
  if (opened !== id) return;
  const drawer = el("div", { class: "drawer" },
    el("dl", {}, ...Object.entries({ id, partition: person.partition, ...person.fields })
      .flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, String(value))])));
  if (!person.visible) drawer.prepend(el("p", { class: "bad" }, "Not visible yet: queries do not return this person."));
  for (const member of person.memberships) {
    const rest = Object.entries(member.fields).map(([name, value]) => `${name} ${value}`);
    drawer.append(el("p", {}, el("b", {}, member.program), ` ${member.status} since ${member.since}`,
      member.acquired ? ", acquired by this program" : "", rest.length ? ` · ${rest.join(", ")}` : ""));
  }
  const story = person.activities.map((a) => el("li", {},
    `${a.at} ${a.kind}${a.about ? ` · ${a.about}` : ""}${a.after || a.before ? `: ${a.before || "blank"} → ${a.after || "blank"}` : ""}`));
  if (story.length) drawer.append(el("ul", { class: "soft" }, ...story));
  if (node.children.length > 1 && node.lastChild.textContent === drawer.textContent) return;
  if (node.children.length > 1) node.lastChild.remove();
  node.append(drawer);
}

// --- keeping up ---

function render() {
  say($("client-id"), state.client_id);
  renderFacts();
  renderPrograms();
  renderFaults();
  renderCalls();
}

async function refresh() {
  try {
    state = await ask("/_sandbox/summary");
    render();
    await showPeople();
    say($("live"), "live");
    set($("live"), "className", "");
  } catch (error) {
    say($("live"), "the sandbox has stopped");
    set($("live"), "className", "bad");
  }
}

$("everybody").addEventListener("click", () => choose({ program: "", status: "" }));
$("search").addEventListener("input", (event) => choose({ text: event.target.value }));
$("more").addEventListener("click", () => {
  shown += PAGE;
  showPeople();
});
$("search").value = chosen().text;
shown = PAGE;
render();
showPeople();
setInterval(() => document.hidden || refresh(), REFRESH_MS);
