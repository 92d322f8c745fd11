// What a person does: pointer, fields, keys. The rows share their listeners.

const clipAt = (node) => clipOf.get(node.closest?.(".clip"));
const isField = (node) => node.matches?.(".text, input:not([type=radio], [type=checkbox])");

list.addEventListener("click", (event) => {
  const clip = clipAt(event.target);
  const button = event.target.closest("button");
  if (!clip) return;
  if (button?.matches(".play")) play(clip);
  if (button?.matches(".toggle")) alter(clip, { kept: !clip.kept });
  if (button?.matches(".undo")) alter(clip, clip.was);
  // After a click, not after a key, the row's own keys work. Undo hides itself.
  const left = !button || event.detail > 0 || button.matches(".undo");
  if (left && !isField(event.target)) goTo(clip);
});

list.addEventListener("focusin", (event) => {
  const clip = clipAt(event.target);
  if (!clip) return;
  setCurrent(clip);
  if (!isField(event.target)) return;
  clip.before = { text: clip.text, speaker: clip.speaker };
  if (event.target.matches(".speaker")) {
    event.target.setAttribute("list", "known");  // one list in use is cheaper than one a row
    event.target.select();
  }
});

list.addEventListener("input", (event) => {
  const clip = clipAt(event.target);
  if (event.target.matches(".text")) alter(clip, { text: event.target.textContent });
  // Counted when the name is whole.
  if (event.target.matches(".speaker")) alter(clip, { speaker: event.target.value }, false);
});

// Spaces at the ends of what was typed mean nothing.
list.addEventListener("focusout", (event) => {
  const clip = clipAt(event.target);
  const part = event.target.classList[0];
  if (!clip?.before || !(part in clip.before)) return;
  if (clip[part] !== clip.before[part]) alter(clip, { [part]: clip[part].trim() });
  if (part === "speaker") event.target.removeAttribute("list");
});

// A text is one line, whatever it is copied from.
list.addEventListener("paste", (event) => {
  if (!event.target.closest(".text")) return;
  event.preventDefault();
  const text = event.clipboardData.getData("text/plain").replace(/\s*[\r\n]+\s*/g, " ");
  document.execCommand("insertText", false, text);
});
list.addEventListener("drop", (event) => event.preventDefault());

function edit(clip) {
  if (!clip) return;
  const text = clip.at("text");
  text.focus();
  getSelection().selectAllChildren(text);
  getSelection().collapseToEnd();
}

function save() {
  document.activeElement?.blur();  // an edit that is under way counts
  const blank = clips.filter((clip) => clip.kept && clip.text === "").length;
  saveTable();
  tell(`Saved as ${given.file_name}: put it in the place of the one beside this page` +
       (blank ? `. ${plural(blank, "kept clip")} without a text` : ""));
  if (current) goTo(current);
}

const rowKeys = {
  " ": () => play(current),
  ArrowDown: () => goTo(neighbour(current, 1)),
  ArrowUp: () => goTo(neighbour(current, -1)),
  ArrowRight: () => seek(1),
  ArrowLeft: () => seek(-1),
  Enter: () => edit(current),
  j: () => goTo(neighbour(current, 1)),
  k: () => goTo(neighbour(current, -1)),
  x: () => current && alter(current, { kept: !current.kept }),
  "/": () => element("filter").focus(),
};

function fieldKey(event) {
  const clip = clipAt(event.target);
  if (event.key === "Enter") {
    event.preventDefault();
    goTo(clip ?? current);
  } else if (event.key === "Escape" && clip) {
    alter(clip, clip.before);
    goTo(clip);
  } else if (event.key === " " && event.ctrlKey && clip) {
    event.preventDefault();
    play(clip);
  }
}

addEventListener("keydown", (event) => {
  if (event.isComposing) return;  // Enter ends a word of an input method
  const control = event.ctrlKey || event.metaKey;
  if (control && event.key.toLowerCase() === "s") {
    event.preventDefault();
    save();
    return;
  }
  if (isField(event.target)) return fieldKey(event);
  if (control || event.altKey) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  // Buttons, boxes and lists have keys of their own.
  if (/^(Enter| )$/.test(key) && event.target.closest("button, input, select")) return;
  if (/^Arrow/.test(key) && event.target.closest("select, [type=radio]")) return;
  if (event.target.matches("select") && key !== "/") return;
  if (!rowKeys[key]) return;
  event.preventDefault();
  rowKeys[key]();
});

element("save").onclick = save;
element("forget").onclick = () => {
  if (!confirm("Forget all changes, saved or not, and show the table as it was?")) return;
  forget();
  clips.forEach(fill);
  count();
  arrange();
};
element("view").onchange = element("sort").onchange = arrange;
element("speed").onchange = setSpeed;
let typing;
element("filter").oninput = () => {
  clearTimeout(typing);
  typing = setTimeout(arrange, 120);
};

const last = clips[store.get("at")];  // before arrange() sets another
count();
arrange();
if (shown.includes(last)) goTo(last);
