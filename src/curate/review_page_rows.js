// The interface: rows, player, keys. Texts and names reach the page as text alone, never as HTML.

const element = (id) => document.getElementById(id);
const list = element("clips");
const player = element("player");
const plural = (n, what) => `${n.toLocaleString("en")} ${what}${n === 1 ? "" : "s"}`;
const minutes = (seconds) => `${(seconds / 60).toFixed(1)} min`;

function clock(seconds) {
  const tenths = Math.round(seconds * 10);
  const two = (n) => String(n).padStart(2, "0");
  const hours = Math.floor(tenths / 36000);
  const rest = `${two(Math.floor(tenths / 600) % 60)}:${two(Math.floor(tenths / 10) % 60)}`;
  return `${hours ? `${hours}:` : ""}${rest}.${tenths % 10}`;
}

let timer;
function tell(text) {
  element("message").textContent = text;
  clearTimeout(timer);
  timer = setTimeout(() => (element("message").textContent = ""), 8000);
}

// ---- rows ----

const clipOf = new WeakMap();  // by row
let current = null;            // the clip that keys act on

function rowOf(clip) {
  if (clip.node) return clip.node;
  const node = element("clip").content.firstElementChild.cloneNode(true);
  const at = (name) => node.querySelector(`.${name}`);
  clip.node = node;
  clip.at = at;
  clipOf.set(node, clip);
  node.setAttribute("aria-label", `Clip ${clip.id}`);
  node.classList.toggle("dropped", clip.dropped !== "");
  at("reason").textContent = clip.dropped;
  at("recording").textContent = clip.recording;
  at("time").textContent = `${clock(clip.begin)} – ${clock(clip.end)}`;
  at("seconds").textContent = `${clip.seconds.toFixed(1)} s`;
  const known = clip.confidence !== null;
  const share = known ? `${Math.round(clip.confidence * 100)} %` : "–";
  at("share").textContent = share;
  at("confidence").setAttribute("aria-label", known ? `confidence ${share}` : "confidence unknown");
  at("confidence").classList.toggle("unknown", !known);
  at("confidence").classList.toggle("low", known && clip.confidence < 0.6);
  at("rail").firstElementChild.style.width = known ? share.replace(" ", "") : "0";
  showPlaying(clip, false);
  fill(clip);
  return node;
}

// What a change may alter. A field in which somebody types is left alone.
function fill(clip) {
  if (!clip.node) return;
  const text = clip.at("text"), speaker = clip.at("speaker"), toggle = clip.at("toggle");
  if (text.textContent !== clip.text) text.textContent = clip.text;
  if (speaker.value !== clip.speaker) speaker.value = clip.speaker;
  text.classList.toggle("blank", clip.text === "");
  clip.node.classList.toggle("changed", isChanged(clip));
  clip.node.classList.toggle("out", !clip.kept);
  const dropped = clip.dropped !== "";
  toggle.textContent = clip.kept ? (dropped ? "Set aside" : "Leave out")
                                 : (dropped ? "Take in" : "Put back");
}

function alter(clip, parts, recount = true) {
  change(clip, parts);
  fill(clip);
  if (recount) count();
  if (!store.works) tell("This browser keeps no changes: save the table before you close the page");
}

function setCurrent(clip) {
  if (current === clip) return;
  for (const [one, on] of [[current, false], [clip, true]]) {
    if (!one) continue;
    const row = rowOf(one);
    row.classList.toggle("current", on);
    // One row at a time is on the way of the Tab key.
    for (const node of [row, ...row.querySelectorAll("[tabindex]")]) node.tabIndex = on ? 0 : -1;
  }
  current = clip;
  store.set("at", clip ? clip.index : null);
}

function goTo(clip) {
  if (!clip) return;
  setCurrent(clip);
  clip.node.focus({ preventScroll: true });
  clip.node.scrollIntoView({ block: "nearest" });
}

function neighbour(clip, step) {
  const place = shown.indexOf(clip);
  return shown[place < 0 ? 0 : place + step];
}

// ---- which rows, and in which order ----

const orders = {
  order: (a, b) => a.index - b.index,
  unsure: (a, b) => (a.confidence ?? 2) - (b.confidence ?? 2),
  sure: (a, b) => (b.confidence ?? -1) - (a.confidence ?? -1),
  short: (a, b) => a.seconds - b.seconds,
  long: (a, b) => b.seconds - a.seconds,
  speaker: (a, b) => a.speaker.localeCompare(b.speaker),
};
const views = {
  table: (clip) => clip.dropped === "",
  aside: (clip) => clip.dropped !== "",
  changed: isChanged,
};
const notes = {
  table: ["", "The table has no clips."],
  aside: ["Not in the table, each with the reason. Take in what is good.", "Nothing was set aside."],
  changed: ["They stay in this browser until you forget them.", "Nothing is changed."],
};
let shown = [];      // clips, as listed
let voice = null;    // the speaker that alone is shown

const view = () => document.querySelector("#view :checked").value;

// Asked for only: rows do not jump away while somebody edits them.
function arrange() {
  const words = element("filter").value.toLowerCase().split(/\s+/);
  const finds = (clip) => {
    const where = `${clip.text}\n${clip.speaker}\n${clip.recording}`.toLowerCase();
    return words.every((word) => where.includes(word));
  };
  const all = clips.filter(views[view()]);
  shown = all.filter((clip) => (voice === null || clip.speaker === voice) && finds(clip));
  shown.sort((a, b) => orders[element("sort").value](a, b) || a.index - b.index);
  list.replaceChildren(...shown.map(rowOf));
  const [hint, nothing] = notes[view()];
  element("forget").hidden = view() !== "changed" || all.length === 0;
  element("note").textContent =
    shown.length > 0 ? hint : all.length > 0 ? "No clip is like that." : nothing;
  if (!shown.includes(current)) setCurrent(shown[0] ?? null);
}

function tally() {
  const voices = new Map();
  for (const clip of clips) {
    if (!clip.kept) continue;
    const one = voices.get(clip.speaker) ?? { clips: 0, seconds: 0 };
    one.clips += 1;
    one.seconds += clip.seconds;
    voices.set(clip.speaker, one);
  }
  if (voice !== null && !voices.has(voice)) voices.set(voice, { clips: 0, seconds: 0 });
  return new Map([...voices].sort((a, b) => b[1].seconds - a[1].seconds));
}

let counted = "";  // what the chips of the speakers show
function count() {
  const voices = tally();
  const changed = clips.filter(isChanged).length;
  const figures = [clips.filter(views.table).length, clips.filter(views.aside).length, changed];
  document.querySelectorAll("#view b").forEach((node, i) => {
    node.textContent = figures[i].toLocaleString("en");
  });
  const now = JSON.stringify([...voices]);
  if (now === counted) return;
  counted = now;
  let total = 0, seconds = 0;
  for (const one of voices.values()) {
    total += one.clips;
    seconds += one.seconds;
  }
  element("total").textContent = `${plural(total, "clip")} kept, ${minutes(seconds)}`;
  element("voices").replaceChildren(...[...voices].map(([name, one]) => {
    const item = document.createElement("li");
    const button = document.createElement("button");
    const label = document.createElement("bdi");
    const figure = document.createElement("span");
    label.textContent = name || "no speaker";
    figure.textContent = `${plural(one.clips, "clip")}, ${minutes(one.seconds)}`;
    button.type = "button";
    button.setAttribute("aria-pressed", String(voice === name));
    button.onclick = () => {
      voice = voice === name ? null : name;
      for (const one of element("voices").querySelectorAll("button"))
        one.setAttribute("aria-pressed", String(one === button && voice !== null));
      arrange();
    };
    button.append(label, figure);
    item.append(button);
    return item;
  }));
  const names = new Set(clips.map((clip) => clip.speaker).filter(Boolean));
  element("known").replaceChildren(...[...names].sort().map((name) => new Option(name, name)));
}

// ---- player ----

let playing = null;

function showPlaying(clip, sounds) {
  clip.node.classList.toggle("playing", clip === playing);
  clip.node.classList.toggle("sounding", sounds);
  clip.at("play").setAttribute("aria-label", sounds ? "Pause" : "Play");
}

// Names of files may hold what means something in an address.
const address = (path) => "./" + path.split("/").map(encodeURIComponent).join("/");

function play(clip) {
  if (!clip) return;
  if (playing !== clip) {
    const before = playing;
    playing = clip;
    if (before) showPlaying(before, false);
    clip.node.style.setProperty("--played", 0);
    clip.at("problem").textContent = "";
    player.src = address(clip.audio);
    setSpeed();
  } else if (!player.paused) {
    player.pause();
    return;
  }
  player.play().catch((error) => {
    if (error.name === "AbortError") return;  // another clip was chosen meanwhile
    clip.at("problem").textContent = ` ${clip.audio} cannot be played`;
  });
}

function setSpeed() {
  player.defaultPlaybackRate = player.playbackRate = Number(element("speed").value);
}

function seek(seconds) {
  if (playing) player.currentTime = Math.max(0, player.currentTime + seconds);
}

for (const event of ["play", "pause", "ended", "error"])
  player.addEventListener(event, () => playing && showPlaying(playing, !player.paused));
player.addEventListener("timeupdate", () => {
  if (player.duration > 0)
    playing.node.style.setProperty("--played", player.currentTime / player.duration);
});
player.addEventListener("ended", () => {
  const next = element("onward").checked && shown.includes(playing) && neighbour(playing, 1);
  if (!next) return;
  if (current === playing && list.contains(document.activeElement)) goTo(next);
  play(next);
});
