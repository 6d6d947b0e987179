// Everything that is asked of the service.
import {say} from "./texts.js";

const STREAM_PROTOCOL = "fakevoice";
let token = "";

export class TokenNeeded extends Error {}

export function useToken(word) { token = word; }

async function ask(path, options = {}) {
  const headers = token ? {Authorization: `Bearer ${token}`} : {};
  let response;
  try {
    response = await fetch(path, {...options, headers});
  } catch {
    throw new Error(say("give.lost"));
  }
  const told = await response.json().catch(() => ({error: `${response.status} ${response.statusText}`}));
  if (response.status === 401) throw new TokenNeeded(told.error);
  if (!response.ok) throw new Error(told.error);
  return told;
}

export function about() { return ask("api/about"); }

export async function predict(file) {
  const form = new FormData();
  form.append("files", file, file.name);
  return (await ask("api/predict", {method: "POST", body: form})).recordings[0];
}

export function openStream(rate) {
  const address = new URL(`api/stream?rate=${rate}&hop_s=1`, location.href);
  address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  const socket = new WebSocket(address, [STREAM_PROTOCOL, ...(token ? [token] : [])]);
  socket.binaryType = "arraybuffer";
  return socket;
}
