// Waveform, spectrogram and probabilities on canvases that share one time axis.
import {say} from "./texts.js";

export const LEFT = 52, RIGHT = 10;
const BOTTOM = 20, TOP = 6, FONT = "12px system-ui, sans-serif";
const N_FFT = 512, RANGE_DB = 80, SILENT = 1e-10;
const STEPS_S = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600];

function colour(name) { return getComputedStyle(document.documentElement).getPropertyValue(name).trim(); }

// A canvas at the screen's resolution, empty; {context, width, height} of what is inside the axes.
function begin(canvas) {
  const scale = window.devicePixelRatio || 1, {width, height} = canvas.getBoundingClientRect();
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  const context = canvas.getContext("2d");
  context.scale(scale, scale);
  context.font = FONT;
  return {context, width: Math.max(1, width - LEFT - RIGHT), height: Math.max(1, height - TOP - BOTTOM)};
}

function axes({context, width, height}, duration_s, levels, name, start_s = 0) {
  context.fillStyle = colour("--quiet");
  context.strokeStyle = colour("--line");
  context.textBaseline = "middle";
  context.textAlign = "right";
  for (const [share, text] of levels) context.fillText(text, LEFT - 6, TOP + height * (1 - share));
  context.textAlign = "center";
  context.textBaseline = "top";
  const step = STEPS_S.find((seconds) => duration_s / seconds <= width / 60) ?? STEPS_S.at(-1);
  const last = start_s + duration_s;
  for (let n = Math.ceil(start_s / step - 1e-9); n * step <= last + 1e-9; n++) {
    const x = LEFT + (width * (n * step - start_s)) / duration_s;
    const text = `${+(n * step).toFixed(1)}${n * step + step > last + 1e-9 ? " " + say("unit.s") : ""}`;
    context.fillText(text, Math.min(x, LEFT + width - 8), TOP + height + 4);
  }
  context.strokeRect(LEFT + 0.5, TOP + 0.5, width - 1, height - 1);
  context.save();
  context.translate(9, TOP + height / 2);
  context.rotate(-Math.PI / 2);
  context.textBaseline = "middle";
  context.fillText(name, 0, 0);
  context.restore();
}

export function drawWaveform(canvas, samples, rate) {
  const area = begin(canvas), {context, width, height} = area;
  const middle = TOP + height / 2, n = samples.length, n_columns = Math.floor(width);
  context.fillStyle = colour("--heard-1");
  for (let column = 0; column < n_columns; column++) {
    let low = 0, high = 0;
    const end = Math.min(n, Math.ceil(((column + 1) * n) / n_columns));
    for (let i = Math.floor((column * n) / n_columns); i < end; i++) {
      if (samples[i] < low) low = samples[i];
      if (samples[i] > high) high = samples[i];
    }
    const top = Math.min(1, high) * (height / 2), bottom = Math.max(-1, low) * (height / 2);
    context.fillRect(LEFT + column, middle - top, 1, Math.max(1, top - bottom));
  }
  axes(area, n / rate, [[0, "−1"], [0.5, "0"], [1, "1"]], "");
}

// In place, radix 2; real and imaginary parts of a power of two.
export function fft(real, imaginary) {
  const n = real.length;
  for (let i = 1, j = 0; i < n; i++) {
    let bit = n >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) {
      [real[i], real[j]] = [real[j], real[i]];
      [imaginary[i], imaginary[j]] = [imaginary[j], imaginary[i]];
    }
  }
  for (let size = 2; size <= n; size <<= 1) {
    const half = size >> 1;
    for (let k = 0; k < half; k++) {
      const cosine = Math.cos((-2 * Math.PI * k) / size), sine = Math.sin((-2 * Math.PI * k) / size);
      for (let a = k; a < n; a += size) {
        const b = a + half, x = real[b] * cosine - imaginary[b] * sine, y = real[b] * sine + imaginary[b] * cosine;
        real[b] = real[a] - x;
        imaginary[b] = imaginary[a] - y;
        real[a] += x;
        imaginary[a] += y;
      }
    }
  }
}

// Levels in dB, (n_columns, N_FFT / 2), of frames spread evenly; Hann window.
export function levels(samples, n_columns) {
  const hann = Float64Array.from({length: N_FFT}, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / N_FFT));
  return Array.from({length: n_columns}, (_, column) => {
    const middle = ((column + 0.5) * samples.length) / n_columns, start = Math.round(middle - N_FFT / 2);
    const real = hann.map((weight, i) => weight * (samples[start + i] ?? 0)), imaginary = new Float64Array(N_FFT);
    fft(real, imaginary);
    return Float64Array.from({length: N_FFT / 2}, (_, k) => 10 * Math.log10(real[k] ** 2 + imaginary[k] ** 2 + SILENT));
  });
}

// Black over purple and orange to pale yellow, 0 to 1.
function heat(share) {
  return [Math.min(1, share * 1.7) ** 1.3, Math.max(0, share * 1.6 - 0.6), share < 0.5 ? share * 0.9 : 0.45 + 1.1 * (share - 0.5) ** 2 - 0.5 * (share - 0.5)];
}

export function drawSpectrogram(canvas, samples, rate) {
  const area = begin(canvas), {context, width, height} = area, n_columns = Math.min(1200, Math.floor(width));
  const db = levels(samples, n_columns), n_bins = N_FFT / 2;
  const loudest = db.reduce((most, column) => column.reduce((a, b) => Math.max(a, b), most), -Infinity);
  const picture = new ImageData(n_columns, n_bins);
  for (let x = 0; x < n_columns; x++) {
    for (let k = 0; k < n_bins; k++) {
      const rgb = heat(Math.min(1, Math.max(0, 1 + (db[x][k] - loudest) / RANGE_DB)));
      picture.data.set([...rgb.map((value) => 255 * value), 255], 4 * ((n_bins - 1 - k) * n_columns + x));
    }
  }
  const small = document.createElement("canvas");
  small.width = n_columns;
  small.height = n_bins;
  small.getContext("2d").putImageData(picture, 0, 0);
  context.drawImage(small, LEFT, TOP, width, height);
  const top_khz = rate / 2000;
  axes(area, samples.length / rate, [0, 0.25, 0.5, 0.75, 1].map((share) => [share, `${+(share * top_khz).toFixed(1)}`]), "kHz");
}

// From when to when each window is drawn: the stretch whose points are nearest to its middle.
export function stretches(timeline, start_s, end_s) {
  const middles = timeline.map((window) => (window.start_s + window.end_s) / 2);
  return timeline.map((_, i) => [
    i ? (middles[i - 1] + middles[i]) / 2 : start_s,
    i + 1 < middles.length ? (middles[i] + middles[i + 1]) / 2 : end_s,
  ]);
}

// One step for each window: `spans` are its [from, to] in seconds.
export function drawProbabilities(canvas, timeline, spans, outputs, start_s, end_s) {
  const area = begin(canvas), {context, width, height} = area;
  const x = (seconds) => LEFT + (width * (Math.min(end_s, Math.max(start_s, seconds)) - start_s)) / (end_s - start_s);
  const y = (probability) => TOP + height * (1 - probability);
  context.fillStyle = colour("--grid");
  timeline.forEach((window, i) => {
    const isOutside = window.distance > 1 || window.is_outside;
    if (isOutside) context.fillRect(x(spans[i][0]), TOP, x(spans[i][1]) - x(spans[i][0]), height);
  });
  context.strokeStyle = colour("--quiet");
  context.setLineDash([3, 4]);
  context.beginPath();
  context.moveTo(LEFT, y(0.5));
  context.lineTo(LEFT + width, y(0.5));
  context.stroke();
  context.setLineDash([]);
  outputs.forEach((output, n) => {
    const ink = colour(`--heard-${n % 8}`);
    context.fillStyle = context.strokeStyle = ink;
    context.globalAlpha = 0.18;
    timeline.forEach((window, i) => {
      const [low, high] = [y(window[`${output}_low`]), y(window[`${output}_high`])];
      context.fillRect(x(spans[i][0]), high, x(spans[i][1]) - x(spans[i][0]), low - high);
    });
    context.globalAlpha = 1;
    context.lineWidth = 2;
    context.beginPath();
    timeline.forEach((window, i) => {
      context.lineTo(x(spans[i][0]), y(window[output]));
      context.lineTo(x(spans[i][1]), y(window[output]));
    });
    context.stroke();
    context.lineWidth = 1;
  });
  axes(area, end_s - start_s, [[0, "0"], [0.5, ".5"], [1, "1"]], "", start_s);
}
