// In the audio thread: gathers a tenth of a second of the first channel and posts it.
class Recorder extends AudioWorkletProcessor {
  constructor() {
    super();
    this.kept = new Float32Array(Math.round(sampleRate / 10));
    this.n = 0;
  }

  process(inputs) {
    const samples = inputs[0][0];
    if (!samples) return true;
    for (const sample of samples) {
      this.kept[this.n++] = sample;
      if (this.n === this.kept.length) {
        this.port.postMessage(this.kept.slice());
        this.n = 0;
      }
    }
    return true;
  }
}

registerProcessor("recorder", Recorder);
