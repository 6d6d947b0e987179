// The page: takes files, asks the service, shows what it says.
import {LEFT, RIGHT, drawProbabilities, drawSpectrogram, drawWaveform, stretches} from "./drawing.js";
import {prepare as prepareMicrophone} from "./live.js";
import {csvOf, fillResults, fillWindows} from "./results.js";
import {TokenNeeded, about as askAbout, predict, useToken} from "./service.js";
import {say, start as startTexts, whenChanged} from "./texts.js";
import {fillLegend, fillVerdict, interval, judged, nameOf, percent} from "./verdict.js";

const MB = 1e6, BOM = "﻿";  // with which spreadsheets read UTF-8
const at = (id) => document.getElementById(id);
const recordings = [];
let about, chosen = null, progress = null, work = Promise.resolve();

function fail(message) {
  const place = at("error");
  place.textContent = place.hidden ? message : `${place.textContent} ${message}`;
  place.hidden = false;
}

function forgetErrors() {
  at("error").hidden = true;
  at("error").textContent = "";
}

// Files one after the other, so that each is answered as soon as may be.
async function hear(files) {
  forgetErrors();
  if (files.length > about.max_files) fail(say("give.many", {files: about.max_files}));
  const taken = [...files].slice(0, about.max_files);
  let n = 0, first = null;
  for (const [i, file] of taken.entries()) {
    tell("give.working", {n: i + 1, all: taken.length});
    if (file.size > about.max_upload_mb * MB) {
      fail(say("give.large", {file: file.name, mb: about.max_upload_mb}));
      continue;
    }
    try {
      const recording = {...(await predict(file)), file, sound: null};
      recordings.push(recording);
      first ??= recording;
      n++;
      await choose(first, false);
    } catch (error) {
      fail(error.message);
      if (error instanceof TokenNeeded) at("token-form").hidden = false;
    }
  }
  tell(n === taken.length ? "give.done" : "give.failed", {n, all: taken.length});
  if (first) at("chosen-title").focus({preventScroll: taken.length > 1});
}

function tell(key, gaps) {
  progress = [key, gaps];
  at("status").textContent = say(key, gaps);
}

async function choose(recording, isAsked = true) {
  if (recording !== chosen) {
    chosen = recording;
    if (at("player").src) URL.revokeObjectURL(at("player").src);
    at("player").src = URL.createObjectURL(recording.file);
    recording.sound ??= await decoded(recording.file);
  }
  show();
  if (isAsked) at("chosen-title").focus();
}

// Samples (mono, at the models' rate) of what the browser can decode; null of what it cannot.
async function decoded(file) {
  try {
    const rate = about.sample_rate_hz, context = new OfflineAudioContext(1, 1, rate);
    const buffer = await context.decodeAudioData(await file.arrayBuffer());
    return {samples: buffer.getChannelData(0), rate, duration_s: buffer.duration};
  } catch {
    return null;
  }
}

function show() {
  if (!about) return;
  at("bounds").textContent = say("give.bounds", {
    files: about.max_files, mb: about.max_upload_mb, minutes: about.max_recording_s / 60});
  at("run").textContent = say("page.run", {run: about.run});
  at("synthetic").hidden = !about.is_synthetic;
  if (progress) at("status").textContent = say(...progress);
  if (!chosen) return;
  at("results").hidden = at("chosen").hidden = false;
  fillResults(at("results"), recordings, chosen, about, choose);
  at("chosen-title").textContent = chosen.row.id;
  const {said, warning} = judged(chosen, about);
  fillVerdict(at("verdict"), said, warning, chosen.unreadable ? null : chosen.row, about);
  draw();
}

function duration() {
  return chosen.sound?.duration_s ?? chosen.timeline.at(-1).end_s;
}

function draw() {
  const {sound, timeline} = chosen;
  at("player").hidden = at("cursor").hidden = !sound;
  at("unplayable").hidden = Boolean(sound || chosen.unreadable);
  at("waveform").hidden = at("spectrogram").hidden = !sound;
  for (const name of ["waveform", "spectrogram"]) at(name).previousElementSibling.hidden = !sound;
  for (const part of at("chosen").querySelectorAll("#pictures, .legend, #now, .quiet[data-text='draw.how'], details")) {
    part.hidden = !timeline.length;
  }
  if (!timeline.length) return;
  if (sound) {
    drawWaveform(at("waveform"), sound.samples, sound.rate);
    drawSpectrogram(at("spectrogram"), sound.samples, sound.rate);
  }
  const end_s = duration();
  drawProbabilities(at("timeline"), timeline, stretches(timeline, 0, end_s), about.outputs, 0, end_s);
  fillLegend(at("chosen").querySelector(".legend"), about);
  fillWindows(at("windows"), chosen, about);
  follow();
}

// The cursor where the player is, and what is said of the window around it.
function follow() {
  if (!chosen?.timeline.length) return;
  const seconds = at("player").currentTime, {width} = at("timeline").getBoundingClientRect();
  const share = Math.min(1, seconds / duration());
  at("cursor").style.transform = `translateX(${LEFT + share * (width - LEFT - RIGHT)}px)`;
  const spans = stretches(chosen.timeline, 0, duration());
  const window = chosen.timeline[Math.max(0, spans.findIndex(([, end]) => seconds <= end))];
  const words = about.outputs.map((output) => `${nameOf(output)} ${percent(window[output])} (${interval(window, output)})`);
  at("now").textContent = `${say("draw.now", {s: seconds.toFixed(1)})} ${words.join(" · ")}`;
}

function followWhilePlaying() {
  follow();
  if (!at("player").paused) requestAnimationFrame(followWhilePlaying);
}

function seek(event) {
  if (!chosen.sound) return;
  const {left, width} = at("timeline").getBoundingClientRect();
  const share = (event.clientX - left - LEFT) / (width - LEFT - RIGHT);
  at("player").currentTime = Math.max(0, Math.min(1, share)) * duration();
}

function download() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([BOM, csvOf(recordings, about)], {type: "text/csv"}));
  link.download = "fakevoice.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href));
}

function take(files) {
  if (files.length) work = work.then(() => hear(files));
}

function listen() {
  const drop = at("drop");
  at("files").addEventListener("change", () => {
    take([...at("files").files]);
    at("files").value = "";  // so that the same file may be chosen again
  });
  for (const name of ["dragover", "drop"]) {  // beside the box too, or the browser would leave the page
    window.addEventListener(name, (event) => event.preventDefault());
  }
  window.addEventListener("dragover", () => drop.classList.add("over"));
  window.addEventListener("dragleave", (event) => { if (!event.relatedTarget) drop.classList.remove("over"); });
  window.addEventListener("drop", (event) => {
    drop.classList.remove("over");
    take([...event.dataTransfer.files]);
  });
  at("pictures").addEventListener("click", seek);
  at("player").addEventListener("play", followWhilePlaying);
  for (const name of ["seeked", "timeupdate"]) at("player").addEventListener(name, follow);
  at("download").addEventListener("click", download);
  window.addEventListener("resize", show);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
  whenChanged(show);
}

async function enter() {
  try {
    about = await askAbout();
  } catch (error) {
    if (!(error instanceof TokenNeeded)) return fail(error.message);
    at("give").hidden = true;
    at("token-form").hidden = false;
    return;
  }
  at("token-form").hidden = true;
  at("give").hidden = false;
  listen();
  prepareMicrophone(about);
  show();
}

at("token-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  forgetErrors();
  useToken(at("token").value.trim());
  await enter();
  if (!about) fail(say("token.wrong"));
});
await startTexts();
await enter();
