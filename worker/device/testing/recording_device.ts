/**
 * A device without a GPU that plays the part of a queue: it keeps what was submitted, and tells when a GPU of a given speed would
 * have computed it. Enough for `Pass`, which reads nothing back.
 */

export interface RecordedSubmit {
  /** Workgroups of each dispatch, in order. */
  readonly dispatches: readonly (readonly [x: number, y: number, z: number])[];
  /** Dispatches that had been recorded, over all submits, when this one came. */
  readonly recordedBefore: number;
}

export interface RecordingDevice {
  readonly device: GPUDevice;
  readonly submits: readonly RecordedSubmit[];
  /** The params of each dispatch, as they were written, in 32-bit words. */
  readonly params: readonly Uint32Array[];
}

const SLOT_WORDS = 64;

export function recordingDevice(): RecordingDevice {
  const submits: RecordedSubmit[] = [];
  const params: Uint32Array[] = [];
  let recorded = 0;
  let open: [number, number, number][] = [];
  const pass = {
    setPipeline: () => {},
    setBindGroup: () => {},
    dispatchWorkgroups: (x: number, y: number, z: number) => {
      recorded++;
      open.push([x, y, z]);
    },
    end: () => {},
  };
  const encoder = {
    beginComputePass: () => pass,
    copyBufferToBuffer: () => {},
    clearBuffer: () => {},
    finish: () => ({}),
  };
  const queue = {
    submit: () => {
      submits.push({ dispatches: open, recordedBefore: recorded });
      open = [];
    },
    writeBuffer: (_buffer: unknown, _offset: number, bytes: ArrayBuffer, from: number, length: number) => {
      const words = new Uint32Array(bytes.slice(from, from + length));
      for (let at = 0; at < words.length; at += SLOT_WORDS) params.push(words.slice(at, at + SLOT_WORDS));
    },
  };
  const device = {
    queue,
    limits: { maxComputeWorkgroupsPerDimension: 65535 },
    features: new Set<string>(),
    createCommandEncoder: () => encoder,
    createBuffer: () => ({ destroy: () => {} }),
    createBindGroup: () => ({}),
    createBindGroupLayout: () => ({}),
    createPipelineLayout: () => ({}),
    createShaderModule: () => ({}),
    createComputePipeline: () => ({}),
  };
  return { device: device as unknown as GPUDevice, submits, params };
}
