// The microphone: 16-bit samples to the service, its answers to the page.
import {drawProbabilities} from "./drawing.js";
import {openStream} from "./service.js";
import {say, whenChanged} from "./texts.js";
import {fillLegend, fillVerdict, inWords} from "./verdict.js";

const SHOWN_S = 60, MOST_BEHIND_BYTES = 2 ** 20;  // where the service cannot keep up, it ends rather than lag
const CONSTRAINTS = {audio: {channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false}};
const at = (id) => document.getElementById(id);
let about, running = null, replies = [], state = "live.stays";

export function prepare(facts) {
  about = facts;
  at("record").addEventListener("click", () => (running ? stop() : begin()));
  whenChanged(show);
  window.addEventListener("resize", show);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
  show();
}

function fail(message) {
  at("error").textContent = message;
  at("error").hidden = false;
}

async function begin() {
  at("error").hidden = true;
  if (!navigator.mediaDevices?.getUserMedia) return fail(say("live.none"));
  at("record").disabled = true;
  try {
    const stream = await navigator.mediaDevices.getUserMedia(CONSTRAINTS);
    const context = new AudioContext();
    running = {stream, context, socket: null};
    await context.audioWorklet.addModule("recorder.js");
    connect(new AudioWorkletNode(context, "recorder"));
  } catch (error) {
    finish();
    fail(say("live.refused", {reason: error.message}));
  }
  at("record").disabled = false;
  mark();
}

function connect(recorder) {
  replies = [];
  const {context, stream} = running, socket = openStream(context.sampleRate);
  running.socket = socket;
  recorder.port.onmessage = ({data}) => send(socket, data);
  context.createMediaStreamSource(stream).connect(recorder);
  socket.onmessage = ({data}) => take(JSON.parse(data));
  socket.onclose = (event) => {
    if (socket !== running?.socket) return;
    if (event.code === 1006) fail(say("give.lost"));
    finish();
  };
  at("live").hidden = false;
  at("live-note").textContent = "";
  state = "live.listening";
}

function send(socket, samples) {
  if (socket.readyState !== WebSocket.OPEN) return;
  if (socket.bufferedAmount > MOST_BEHIND_BYTES) return stop();
  const view = new DataView(new ArrayBuffer(2 * samples.length));
  samples.forEach((sample, i) => view.setInt16(2 * i, Math.round(32767 * Math.max(-1, Math.min(1, sample))), true));
  socket.send(view.buffer);
}

function take(reply) {
  if (reply.error) return fail(reply.error);
  replies = [...replies, reply].filter((one) => one.end_s > reply.end_s - SHOWN_S);
  show();
}

function stop() {
  running.stream.getTracks().forEach((track) => track.stop());
  if (running.socket?.readyState === WebSocket.OPEN) running.socket.send("end");  // it closes after its last answer
  else finish();
}

function finish() {
  running?.stream.getTracks().forEach((track) => track.stop());
  running?.context.close();
  running?.socket?.close();
  running = null;
  state = replies.length ? "live.ended" : "live.stays";
  mark();
}

function mark() {
  at("record").textContent = say(running ? "live.stop" : "live.start");
  at("record").setAttribute("aria-pressed", String(Boolean(running)));
  at("live-state").textContent = say(state);
}

function show() {
  mark();
  at("live-title").textContent = say("live.title", {s: SHOWN_S});
  if (at("live").hidden || !replies.length) return;
  const last = replies.at(-1), ends = replies.map((reply) => reply.end_s);
  const warning = last.is_outside ? say("said.outside", {n: 1, all: 1}) : "";
  const said = warning ? "" : inWords(last, about);
  fillVerdict(at("live-verdict"), said, warning, last, about);
  if (at("live-said").textContent !== (said || warning)) at("live-said").textContent = said || warning;
  at("live-note").textContent = last.is_whole ? "" : say("live.early");
  fillLegend(at("live").querySelector(".legend"), about);
  const end_s = Math.max(last.end_s, 10), start_s = Math.max(0, end_s - SHOWN_S);
  const spans = replies.map((_, i) => [i ? ends[i - 1] : Math.max(start_s, ends[0] - 1), ends[i]]);
  drawProbabilities(at("live-chart"), replies, spans, about.outputs, start_s, end_s);
}
