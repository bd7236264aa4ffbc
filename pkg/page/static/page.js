// What the page does: it asks every other second for what it shows, and says so when there
// is no answer. Everything is written as text, never as HTML: names are other people's.

const every = 2000;
const rowsAtATime = 100;
const byId = (id) => document.getElementById(id);

// view is what somebody looks at. The address has it, so that a reload and a link keep it.
const view = { q: "", show: "all", sort: "claim", descending: false, offset: 0, open: "" };
// known are the answers that are shown, by path.
const known = new Map();
let answered = null; // when there was an answer last
let asking = null; // the round that is under way
let stale = ""; // why what the server has is not of now

function write(node, text) {
  if (node.textContent !== text) node.textContent = text; // each change is read out
}

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

// Times are of the objects. How long ago that is changes by itself, so it is written anew
// each second, and not a part of what is compared.
function time(text) {
  if (!text) return "";
  const made = element("time", { datetime: text, title: new Date(text).toLocaleString() });
  made.textContent = ago(text);
  return made;
}

function ago(text) {
  const seconds = Math.max(0, Math.round((Date.now() - new Date(text)) / 1000));
  if (seconds < 120) return `${seconds} s ago`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} days ago`;
}

function tag(volume) {
  switch (volume.state) {
    case "Held": return element("span", { class: volume.here ? "tag good" : "tag" }, volume.here ? "Held here" : "Held elsewhere");
    case "Free": return element("span", { class: "tag free" }, "Free");
    case "Fencing": return element("span", { class: "tag bad" }, "Fencing");
    default: return element("span", { class: "tag warn" }, "Unknown");
  }
}

const name = (volume) => `${volume.namespace}/${volume.claim}`;

function opener(volume) {
  return element("button", { type: "button", class: "open", "data-open": name(volume) }, name(volume));
}

// replace changes the children of a node whose keys or content differ, and leaves the rest
// alone: what has the focus keeps it, and a screen reader is not told everything again.
function replace(parent, items, key, make) {
  const old = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  const focused = document.activeElement?.dataset?.open;
  let place = parent.firstElementChild;
  for (const item of items) {
    const id = key(item);
    const content = JSON.stringify(item);
    let child = old.get(id);
    if (child?.dataset.content !== content) {
      const made = make(item);
      made.dataset.key = id;
      made.dataset.content = content;
      if (child) {
        if (child === place) place = made;
        child.replaceWith(made);
        made.classList.add("changed");
        setTimeout(() => made.classList.remove("changed"), 3000);
        if (focused && !document.activeElement?.dataset?.open) made.querySelector(`[data-open="${CSS.escape(focused)}"]`)?.focus();
      }
      child = made;
    }
    old.delete(id);
    if (child === place) place = place.nextElementSibling;
    else parent.insertBefore(child, place);
  }
  for (const child of old.values()) child.remove();
}

// The roles are written down because rows that are shown as cards, on a phone, lose theirs.
const cell = (label, content, attributes = {}) => element("td", { role: "cell", "data-label": label, ...attributes }, content || "");
const heading = (...content) => element("th", { role: "rowheader", scope: "row" }, ...content);
const tableRow = (...cells) => element("tr", { role: "row" }, ...cells);

function volumeRow(volume) {
  return tableRow(
    heading(opener(volume)),
    cell("State", tag(volume)),
    cell("Owner", volume.owner ?? ""),
    cell("Node", (volume.nodes ?? []).join(", ")),
    cell("Since", time(volume.since)),
    cell("Waiting", volume.waiting ?? ""));
}

function move(volume) {
  const li = element("li", {}, opener(volume), " ", tag(volume), volume.owner ? ` ${volume.owner}` : "");
  if (volume.takeover) li.append(element("p", {}, `Taken by ${volume.takeover}`));
  const told = (volume.notes ?? []).some((note) => note.type === "Waiting");
  if (volume.waiting && !told) li.append(element("p", {}, `Waiting: ${volume.waiting}`));
  for (const note of volume.notes ?? []) {
    const kind = { Known: "Not known", OwnedElsewhere: "Owned elsewhere" }[note.type] ?? note.type;
    li.append(element("p", {}, element("span", { class: "dim" }, `${kind}, `, time(note.since), ": "), note.message));
  }
  return li;
}

function sentence(change) {
  const by = change.by ? ` (${change.by})` : "";
  const from = change.from ? `, from ${change.from}` : "";
  return `${change.event.replace("-", " ")} by ${change.cluster}${by}${from}`;
}

function clusterRow(cluster) {
  const title = cluster.name && cluster.name !== cluster.key ? `${cluster.key} (${cluster.name})` : cluster.key;
  const seen = element("span", {}, time(cluster.seen));
  if (cluster.problem) seen.append(" ", element("span", { class: "tag warn" }, cluster.problem));
  return tableRow(
    heading(title, cluster.here ? element("strong", {}, " this cluster") : null),
    cell("Version", cluster.version), cell("Nodes", String(cluster.nodes), { class: "number" }),
    cell("Owns", String(cluster.owns), { class: "number" }), cell("Last seen", seen));
}

function fenceRow(fence) {
  return tableRow(
    heading(fence.node || "an address"),
    cell("Cluster", fence.cluster), cell("Addresses", (fence.addresses ?? []).join(", ")),
    cell("Volumes", fence.volumes === 1 ? fence.example : `${fence.volumes}, such as ${fence.example}`));
}

function takeoverItem(takeover) {
  const kind = { Done: "good", Running: "warn", Planned: "free", Planning: "free" }[takeover.phase] ?? "bad";
  const whose = takeover.node ? `node ${takeover.node} of ${takeover.from}` : `from ${takeover.from}`;
  const li = element("li", {},
    element("strong", {}, takeover.name), " ", element("span", { class: `tag ${kind}` }, takeover.phase || "New"),
    ` ${whose}, by ${takeover.by}, `, time(takeover.created), `: ${takeover.taken} of ${takeover.volumes} ${takeover.volumes === 1 ? "volume" : "volumes"}`);
  if (takeover.message) li.append(element("p", {}, takeover.message));
  const done = (takeover.steps ?? []).filter((step) => step.status === "True").map((step) => step.type);
  if (done.length) li.append(element("p", { class: "dim" }, `Done: ${done.join(", ")}`));
  return li;
}

function count(id, number) {
  byId(id).querySelector(".count").textContent = number === undefined ? "" : number.toLocaleString("en");
}

// list shows a list, or a sentence in its place.
function list(id, items, key, make, hidden, empty) {
  const parent = byId(id).tBodies ? byId(id).tBodies[0] : byId(id);
  let about = byId(id).nextElementSibling;
  if (!about?.classList.contains("empty")) {
    about = element("p", { class: "empty dim" });
    byId(id).after(about);
  }
  about.textContent = hidden ? "You may not list these." : empty;
  about.hidden = !hidden && items.length > 0;
  byId(id).hidden = items.length === 0;
  replace(parent, items, key, make);
}

function showOverview(o) {
  stale = o.stale ? `The API server has not answered${o.stale.since ? ` since ${new Date(o.stale.since).toLocaleTimeString()}` : ""}, and what is shown is of that time. ${o.stale.cause}` : "";
  byId("cluster").textContent = o.cluster;
  document.title = o.counts.moving ? `(${o.counts.moving}) ${o.cluster} – cephferry` : `${o.cluster} – cephferry`;
  byId("which").textContent = o.allNamespaces ? "" : "Those of the namespaces whose volumes you may list.";
  for (const option of byId("show").options) {
    option.textContent = `${option.textContent.replace(/ \([\d,]*\)$/, "")} (${o.counts[option.value].toLocaleString("en")})`;
  }
  const hidden = new Set(o.hidden);
  count("moves", o.counts.moving);
  list("moves-list", o.moves, name, move, false, "Nothing.");
  if (o.counts.moving > o.moves.length) byId("moves").querySelector(".count").textContent += `, the first ${o.moves.length}`;
  count("volumes", o.counts.all);
  count("clusters", hidden.has("ferryclusters") ? undefined : o.clusters.length);
  list("clusters-table", o.clusters, (c) => c.key, clusterRow, hidden.has("ferryclusters"), "None.");
  count("fences", o.fences.length);
  list("fences-table", o.fences, (f) => JSON.stringify([f.cluster, f.node, f.addresses]), fenceRow, false, "None.");
  count("takeovers", hidden.has("takeovers") ? undefined : o.takeovers.length);
  list("takeovers-list", o.takeovers, (t) => t.name, takeoverItem, hidden.has("takeovers"), "None.");
  list("history-list", o.history, name, (v) => element("li", {}, time(v.last.at), " ", opener(v), ` ${sentence(v.last)}`), false, "Nothing yet.");
}

function showVolumes(answer) {
  replace(byId("table").tBodies[0], answer.rows, name, volumeRow);
  for (const th of document.querySelectorAll("[data-sort]")) {
    if (th.dataset.sort === view.sort) th.setAttribute("aria-sort", view.descending ? "descending" : "ascending");
    else th.removeAttribute("aria-sort");
  }
  const last = answer.offset + answer.rows.length;
  const number = (n) => n.toLocaleString("en");
  write(byId("range"), answer.matching === 0 ? "No volume is like that." :
    `${number(answer.offset + 1)} to ${number(last)} of ${number(answer.matching)}`);
  byId("previous").disabled = answer.offset === 0;
  byId("next").disabled = last >= answer.matching;
}

function showVolume(volume) {
  byId("volume-name").textContent = name(volume);
  const facts = element("dl");
  const fact = (label, ...content) => {
    if (content.some((c) => c)) facts.append(element("dt", {}, label), element("dd", {}, ...content));
  };
  fact("State", tag(volume));
  fact("Owner", volume.owner, volume.ownerClaim ? ` (claim ${volume.ownerClaim})` : null);
  fact("Nodes", (volume.nodes ?? []).join(", "));
  fact("Since", time(volume.since));
  fact("Waiting", volume.waiting);
  fact("Taken by", volume.takeover);
  fact("Image", volume.image);
  fact("Keyed", volume.keyed ? "yes: Ceph shows it to its owner only" : "no");
  fact("Volume", volume.persistentVolume);
  for (const machine of volume.machines ?? []) fact("Fenced", [machine.node, machine.cluster, ...(machine.addresses ?? [])].filter(Boolean).join(", "));
  for (const c of volume.conditions ?? []) fact(`${c.type}: ${c.status}`, c.message ?? "");
  const history = element("ol", { class: "plain" }, ...(volume.history ?? []).map((c) => element("li", {}, time(c.at), ` ${sentence(c)}`)));
  byId("volume-body").replaceChildren(facts, element("h3", {}, "History"), history);
}

function tell(live, problem) {
  write(byId("live"), live);
  write(byId("problem"), problem);
  byId("problem").hidden = !problem;
  document.body.classList.toggle("old", Boolean(problem));
}

// get asks for a path, and calls show if the answer is another one than is shown.
async function get(path, show, signal) {
  const before = known.get(path);
  const response = await fetch(`api/${path}`, {
    cache: "no-store", signal: AbortSignal.any([signal, AbortSignal.timeout(25000)]),
    headers: before ? { "If-None-Match": before } : {},
  });
  if (response.status === 304) return;
  const text = await response.text();
  let body;
  try {
    body = JSON.parse(text);
  } catch {
    throw Object.assign(new Error(text || response.statusText), { status: response.status }); // of a proxy between
  }
  if (!response.ok) throw Object.assign(new Error(body.error ?? body.message ?? text), { status: response.status });
  if (signal.aborted) return;
  known.set(path, response.headers.get("ETag"));
  show(body);
}

function tablePath() {
  const { open, ...query } = view;
  return `volumes?${new URLSearchParams({ ...query, limit: rowsAtATime })}`;
}

// ask asks for everything that is shown. What was asked for before does not count any more.
async function ask() {
  asking?.abort();
  const mine = asking = new AbortController();
  const table = tablePath();
  for (const path of known.keys()) {
    if (![table, openPath(), "overview"].includes(path)) known.delete(path);
  }
  const wanted = [get("overview", showOverview, mine.signal), get(table, showVolumes, mine.signal)];
  if (view.open) {
    wanted.push(get(openPath(), showVolume, mine.signal).catch((error) => {
      if (error.status !== 404) throw error;
      write(byId("volume-body"), "There is no such volume any more.");
    }));
  }
  try {
    await Promise.all(wanted);
    answered = new Date();
    byId("shown").hidden = false;
    tell(stale ? "Not live" : "Live", stale);
  } catch (error) {
    if (mine.signal.aborted) return;
    if (error.status === 401 || error.status === 403) {
      // What is shown may not be seen any more.
      byId("shown").hidden = true;
      byId("volume").close();
      known.clear();
      tell("Refused", error.message);
    } else {
      const what = error.status ? error.message : "The server of this page does not answer.";
      tell("Not live", answered ? `${what} What is shown is of ${answered.toLocaleTimeString()}.` : what);
    }
  } finally {
    if (asking === mine) asking = null;
  }
}

const openPath = () => (view.open ? `volumes/${view.open.split("/").map(encodeURIComponent).join("/")}` : "");

function go(changes) {
  Object.assign(view, changes);
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(view)) {
    if (value && !(key === "show" && value === "all") && !(key === "sort" && value === "claim")) query.set(key, value);
  }
  history.replaceState(null, "", `${location.pathname}${query.size ? `?${query}` : ""}${location.hash}`);
  return ask();
}

byId("filter").addEventListener("submit", (event) => event.preventDefault());
let typing;
byId("search").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => go({ q: byId("search").value.trim(), offset: 0 }), 150);
});
byId("show").addEventListener("change", () => go({ show: byId("show").value, offset: 0 }));
byId("previous").addEventListener("click", () => go({ offset: Math.max(0, view.offset - rowsAtATime) }));
byId("next").addEventListener("click", () => go({ offset: view.offset + rowsAtATime }));
for (const th of document.querySelectorAll("[data-sort]")) {
  th.firstElementChild.addEventListener("click", () => go({ sort: th.dataset.sort, descending: view.sort === th.dataset.sort && !view.descending, offset: 0 }));
}
document.addEventListener("click", (event) => {
  const open = event.target.closest?.("[data-open]")?.dataset.open;
  if (!open) return;
  byId("volume-name").textContent = open;
  byId("volume-body").textContent = "Reading…";
  byId("volume").showModal();
  go({ open });
});
byId("close").addEventListener("click", () => byId("volume").close());
byId("volume").addEventListener("close", () => go({ open: "" }));
// Arrow keys walk the rows; everything else is what a browser does anyway.
byId("table").addEventListener("keydown", (event) => {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const buttons = [...byId("table").tBodies[0].querySelectorAll("[data-open]")];
  const at = buttons.indexOf(document.activeElement);
  if (!step || at < 0) return;
  event.preventDefault();
  buttons[at + step]?.focus();
});

setInterval(() => {
  for (const made of document.querySelectorAll("time")) made.textContent = ago(made.dateTime);
}, 1000);

// A page that nobody sees asks nothing.
setInterval(() => { if (!document.hidden && !asking) ask(); }, every);
document.addEventListener("visibilitychange", () => { if (!document.hidden) ask(); });

for (const [selector, role] of Object.entries({ table: "table", "thead, tbody": "rowgroup", "thead tr": "row", "thead th": "columnheader" })) {
  for (const part of document.querySelectorAll(selector)) part.setAttribute("role", role);
}

const address = new URLSearchParams(location.search);
for (const key of ["q", "show", "sort", "open"]) if (address.get(key)) view[key] = address.get(key);
view.descending = address.get("descending") === "true";
view.offset = Number.parseInt(address.get("offset"), 10) || 0;
byId("search").value = view.q;
byId("show").value = view.show;
if (view.open) byId("volume").showModal();
ask();
