// From probabilities to words: near one half nothing is decided, and beyond the training's range nothing is said.
import {has, say} from "./texts.js";

const UNDECIDED = 0.1;  // on either side of one half
const SURE = 0.4;

export function percent(probability) { return `${(100 * probability).toFixed(0)} %`; }

export function interval(row, output) {
  return say("said.interval", {low: percent(row[`${output}_low`]), high: percent(row[`${output}_high`])});
}

export function nameOf(output) { return has(`output.${output}`) ? say(`output.${output}`) : output; }

function isSplit(row, output) {
  return row[`${output}_low`] < 0.5 - UNDECIDED && row[`${output}_high`] > 0.5 + UNDECIDED;
}

// 1 very unlikely, 2 unlikely, 3 undecided, 4 likely, 5 very likely
export function degree(probability) {
  const away = probability - 0.5, size = Math.abs(away);
  if (size < UNDECIDED) return 3;
  return 3 + Math.sign(away) * (size < SURE ? 1 : 2);
}

function outsideOf(recording) {
  const counted = recording.timeline.filter((window) => window.is_whole);
  return {n: counted.filter((window) => window.distance > 1).length, all: counted.length};
}

// {said, warning, note}: a sentence, what speaks against it, and both in short.
export function judged(recording, about) {
  if (recording.unreadable) {
    const key = `reason.${recording.unreadable_code}`;
    const warning = say("said.unreadable", {reason: has(key) ? say(key) : recording.unreadable});
    return {said: "", warning, note: warning};
  }
  const {n, all} = outsideOf(recording), isOutside = n > 0 && n === all;
  const file = recording.file_note ? [say("said.file", {note: recording.file_note})] : [];
  const range = isOutside ? [say("said.outside", {n, all})] : n ? [say("said.partly", {n, all})] : [];
  const short = isOutside ? [say("note.outside")] : n ? [say("note.partly")] : [];
  const split = isOutside ? [] : disagreement(recording.row, about);
  return {
    said: isOutside ? "" : inWords(recording.row, about),
    warning: [...file, ...range, ...split].join(" "),
    note: [...file, ...short].join(" "),
  };
}

export function inWords(row, about) {
  if (about.task === "multiclass") {
    const best = about.outputs.reduce((a, b) => (row[b] > row[a] ? b : a));
    return say(`class.${isSplit(row, best) ? 3 : Math.max(3, degree(row[best]))}`, {output: nameOf(best)});
  }
  const word = (output) => say(`word.${isSplit(row, output) ? 3 : degree(row[output])}`, {output: nameOf(output)});
  return about.outputs.map(word).join(" · ");
}

function disagreement(row, about) {
  const split = about.outputs.filter((output) => isSplit(row, output));
  return split.length ? [say("said.split", {outputs: split.map(nameOf).join(", ")})] : [];
}

function made(tag, className, text = "") {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}

// A bar for each output: the band from low to high, and the probability.
export function bars(row, about) {
  const list = made("div", "bars");
  about.outputs.forEach((output, i) => {
    const [low, middle, high] = [row[`${output}_low`], row[output], row[`${output}_high`]];
    const bar = made("div", "bar"), track = made("div", "track"), range = made("div", "range"), point = made("div", "point");
    range.style.left = `${100 * low}%`;
    range.style.width = `${100 * (high - low)}%`;
    point.style.left = `${100 * middle}%`;
    range.style.background = point.style.background = `var(--heard-${i % 8})`;
    track.append(range, point);
    const value = made("span", "value", percent(middle));
    value.append(" ", made("small", "", `(${interval(row, output)})`));
    bar.append(made("span", "", nameOf(output)), track, value);
    list.append(bar);
  });
  return list;
}

export function fillVerdict(place, said, warning, row, about) {
  place.replaceChildren();
  if (warning) place.append(made("p", "warning", warning));
  if (said) place.append(made("p", "said", said));
  if (row) place.append(bars(row, about), made("p", "quiet", say("said.means")));
}

export function fillLegend(list, about) {
  list.replaceChildren(...about.outputs.map((output, i) => {
    const item = document.createElement("li"), line = document.createElement("i");
    line.style.background = `var(--heard-${i % 8})`;
    item.append(line, nameOf(output));
    return item;
  }));
}
