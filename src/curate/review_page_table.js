// The table: what the page was given, what a person changed, and what is saved. No interface.

const given = JSON.parse(document.getElementById("data").textContent);

const clips = given.clips.map((clip, index) => ({
  ...clip,
  index,
  was: { text: clip.text, speaker: clip.speaker, kept: clip.dropped === "" },
  kept: clip.dropped === "",
}));

const isChanged = (clip) =>
  clip.text !== clip.was.text || clip.speaker !== clip.was.speaker || clip.kept !== clip.was.kept;

// Changes live in the browser's store, one entry a clip, written as they are made: a crash loses
// nothing. They stay after a save, because the page itself still holds the old table.
const store = {
  prefix: `ttsft-review:${given.key}:`,
  works: true,

  set(name, value) {
    try {
      if (value === null) localStorage.removeItem(this.prefix + name);
      else localStorage.setItem(this.prefix + name, JSON.stringify(value));
    } catch {
      this.works = false;
    }
  },
  get(name) {
    try {
      return JSON.parse(localStorage.getItem(this.prefix + name));
    } catch {
      return null;
    }
  },
  names() {
    try {
      return Object.keys(localStorage)
        .filter((key) => key.startsWith(this.prefix))
        .map((key) => key.slice(this.prefix.length));
    } catch {
      return [];
    }
  },
};

let unsaved = store.get("unsaved") === true;
for (const name of store.names()) {
  const clip = /^\d+$/.test(name) ? clips[name] : null;
  const change = clip && store.get(name);
  if (!change) continue;
  for (const part of Object.keys(clip.was))
    if (typeof change[part] === typeof clip.was[part]) clip[part] = change[part];
}

function change(clip, parts) {
  if (Object.keys(parts).every((part) => clip[part] === parts[part])) return;
  Object.assign(clip, parts);
  const { text, speaker, kept } = clip;
  store.set(clip.index, isChanged(clip) ? { text, speaker, kept } : null);
  unsaved = true;
  store.set("unsaved", true);
}

function forget() {
  for (const name of store.names()) store.set(name, null);
  for (const clip of clips) Object.assign(clip, clip.was);
  unsaved = false;
}

// As src/data/csv.cpp writes it: an unchanged table comes back byte for byte.
const csvCell = (text) =>
  /[,"\r\n]|^[ \t]|[ \t]$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
const csvLine = (cells) => cells.map(csvCell).join(",") + "\n";

// The rows of the table in their order, then those that were taken in.
function tableAsCsv() {
  const kept = clips.filter((clip) => clip.kept);
  const rows = [...kept.filter((clip) => clip.was.kept), ...kept.filter((clip) => !clip.was.kept)];
  const cells = rows.map((clip) => {
    const row = [...clip.row];
    row[given.text_column] = clip.text;
    row[given.speaker_column] = clip.speaker;
    return row;
  });
  return [given.columns, ...cells].map(csvLine).join("");
}

function saveTable() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([tableAsCsv()], { type: "text/csv" }));
  link.download = given.file_name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);  // the download may start late
  unsaved = false;
  store.set("unsaved", null);
}

addEventListener("beforeunload", (event) => {
  if (unsaved && clips.some(isChanged)) event.preventDefault();
});
