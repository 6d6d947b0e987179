// The table of all files, its order, and its CSV.
import {say} from "./texts.js";
import {interval, judged, nameOf, percent} from "./verdict.js";

const order = {column: null, sign: 1};

function columnsOf(about) { return ["id", "verdict", ...about.outputs, "n_windows", "note"]; }

function valuesOf(about) { return about.outputs.flatMap((output) => [output, `${output}_low`, `${output}_high`]); }

function heading(column, about) {
  const of = about.outputs.find((output) => column === `${output}_low` || column === `${output}_high`);
  if (of) return say(`column.${column.slice(of.length + 1)}`, {output: nameOf(of)});
  return about.outputs.includes(column) ? nameOf(column) : say(`column.${column}`);
}

function cellOf(recording, column, about) {
  if (column === "verdict") return judged(recording, about).said || say("verdict.none");
  if (column === "note") return judged(recording, about).note;
  if (recording.unreadable && column !== "id") return "–";
  return recording.row[column];
}

function sorted(recordings, about) {
  if (order.column === null) return recordings;
  const value = (recording) => cellOf(recording, order.column, about);
  return [...recordings].sort((a, b) => {
    const [x, y] = [value(a), value(b)];
    const difference = typeof x === "number" ? x - y : String(x).localeCompare(String(y), undefined, {numeric: true});
    return order.sign * difference;
  });
}

function headingCell(column, about, redraw) {
  const cell = document.createElement("th"), button = document.createElement("button");
  const state = order.column !== column ? "none" : order.sign > 0 ? "ascending" : "descending";
  cell.scope = "col";
  cell.setAttribute("aria-sort", state);
  button.type = "button";
  button.textContent = heading(column, about);
  button.addEventListener("click", () => {
    order.sign = order.column === column ? -order.sign : 1;
    order.column = column;
    redraw();
    document.querySelectorAll("#results thead button")[columnsOf(about).indexOf(column)].focus();
  });
  cell.append(button);
  return cell;
}

function rowOf(recording, chosen, about, choose) {
  const row = document.createElement("tr");
  if (recording === chosen) row.setAttribute("aria-current", "true");
  for (const column of columnsOf(about)) {
    const value = cellOf(recording, column, about), isShare = about.outputs.includes(column);
    const cell = document.createElement(column === "id" ? "th" : "td");
    if (column === "id") {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = value;
      button.addEventListener("click", () => choose(recording));
      cell.scope = "row";
      cell.append(button);
    } else {
      const isNumber = typeof value === "number";
      cell.textContent = isShare && isNumber ? `${percent(value)} (${interval(recording.row, column)})` : String(value);
      cell.className = isShare || column === "n_windows" ? "number" : "words";
    }
    row.append(cell);
  }
  return row;
}

export function fillResults(section, recordings, chosen, about, choose) {
  const redraw = () => fillResults(section, recordings, chosen, about, choose);
  section.querySelector("thead tr").replaceChildren(...columnsOf(about).map((name) => headingCell(name, about, redraw)));
  section.querySelector("tbody").replaceChildren(
    ...sorted(recordings, about).map((recording) => rowOf(recording, chosen, about, choose)));
}

// A spreadsheet runs what begins like a formula.
function quoted(value) {
  const text = typeof value === "string" && /^[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/.test(value) ? `'${value}` : String(value);
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export function csvOf(recordings, about) {
  const columns = ["id", ...valuesOf(about), "n_windows", "note"];
  const rows = recordings.map((recording) => columns.map((column) => quoted(recording.row[column])).join(","));
  return [columns.join(","), ...rows, ""].join("\r\n");
}

export function fillWindows(table, recording, about) {
  const columns = ["start_s", "end_s", ...valuesOf(about)];
  const made = (tag, text) => Object.assign(document.createElement(tag), {textContent: text});
  table.tHead.rows[0].replaceChildren(...columns.map((column) => Object.assign(made("th", heading(column, about)), {scope: "col"})));
  table.tBodies[0].replaceChildren(...recording.timeline.map((window) => {
    const row = document.createElement("tr");
    row.append(...columns.map((column, i) => Object.assign(
      made("td", i < 2 ? window[column].toFixed(1) : percent(window[column])), {className: "number"})));
    return row;
  }));
}
