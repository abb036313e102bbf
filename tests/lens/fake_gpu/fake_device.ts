/**
 * A GPUDevice that computes nothing and allocates nothing: it checks what a real one of the same limits and memory would
 * refuse, hands each submit's commands to whoever listens, and has a clock that advances as the commands would take.
 */
import { FakeBuffer } from "./fake_buffer.ts";
import {
  bindGroupOf,
  bindingProblems,
  dispatchProblems,
  type FakeLayout,
  type FakePipeline,
  type FakePipelineLayout,
  layoutOf,
  layoutProblems,
  pipelineProblems,
} from "./fake_binding.ts";
import { bufferProblems, querySetProblems, submitProblems, writeProblems } from "./fake_checks.ts";
import {
  type FakeBindGroup,
  FakeCommandEncoder,
  type FakeQuerySet,
  type PendingCommand,
} from "./fake_encoder.ts";
import { FakeErrors } from "./fake_errors.ts";
import { FakeQueue, type SecondsOf } from "./fake_queue.ts";
import { parseProgram, type Program, type RecordedCommand } from "./recorded.ts";

export interface FakeLimits {
  readonly maxBufferSize: number;
  readonly maxStorageBufferBindingSize: number;
  readonly maxStorageBuffersPerShaderStage: number;
  readonly maxComputeWorkgroupStorageSize: number;
  readonly maxComputeInvocationsPerWorkgroup: number;
  readonly maxComputeWorkgroupSizeX: number;
  readonly maxComputeWorkgroupsPerDimension: number;
}

/** What the fake device stands for. */
export interface FakeHardware {
  readonly description: string;
  readonly memoryBytes: number;
  readonly limits: FakeLimits;
}

export class FakeDevice {
  readonly lost = new Promise<never>(() => {});
  readonly features = new Set(["timestamp-query"]);
  readonly limits: FakeLimits;
  readonly queue: { readonly submit: unknown; readonly writeBuffer: unknown };
  /** Called with each submit's commands. */
  onSubmit: (commands: readonly RecordedCommand[]) => void = () => {};
  readonly #hardware: FakeHardware;
  readonly #errors = new FakeErrors();
  readonly #executor: FakeQueue;
  #allocatedBytes = 0;
  #peakBytes = 0;

  /** @param secondsOf by which the device's clock advances */
  constructor(hardware: FakeHardware, secondsOf: SecondsOf) {
    this.#hardware = hardware;
    this.#executor = new FakeQueue(secondsOf);
    this.limits = hardware.limits;
    this.queue = {
      submit: (buffers: readonly PendingCommand[][]) => this.#submit(buffers.flat()),
      writeBuffer: this.#write.bind(this),
      onSubmittedWorkDone: () => Promise.resolve(undefined),
    } as FakeDevice["queue"];
  }

  get peakBytes(): number {
    return this.#peakBytes;
  }

  createBuffer(descriptor: GPUBufferDescriptor): FakeBuffer {
    const { label, size } = descriptor;
    const { memoryBytes, description } = this.#hardware;
    this.#refuse(bufferProblems(descriptor, this.limits.maxBufferSize));
    const takenBytes = this.#allocatedBytes;
    if (takenBytes + size > memoryBytes) {
      const what =
        `buffer "${label}" of ${size} bytes: ${description} has ${memoryBytes}, of which ${takenBytes} are taken`;
      this.#errors.raise("out-of-memory", what);
      return new FakeBuffer(descriptor, () => {}); // an invalid one, that takes nothing
    }
    this.#allocatedBytes += size;
    this.#peakBytes = Math.max(this.#peakBytes, this.#allocatedBytes);
    return new FakeBuffer(descriptor, () => this.#allocatedBytes -= size);
  }

  createBindGroupLayout({ entries }: GPUBindGroupLayoutDescriptor): FakeLayout {
    const layout = layoutOf(entries);
    this.#refuse(layoutProblems([layout], this.limits.maxStorageBuffersPerShaderStage));
    return layout;
  }

  createPipelineLayout({ bindGroupLayouts }: GPUPipelineLayoutDescriptor): FakePipelineLayout {
    const groups = [...bindGroupLayouts] as unknown as FakeLayout[];
    this.#refuse(layoutProblems(groups, this.limits.maxStorageBuffersPerShaderStage));
    return { groups };
  }

  createShaderModule({ label = "", code }: GPUShaderModuleDescriptor): { readonly program: Program } {
    return { program: parseProgram(label, code) };
  }

  createComputePipeline({ layout, compute: { module } }: GPUComputePipelineDescriptor): FakePipeline {
    const { program } = module as unknown as { program: Program };
    const { limits } = this;
    const { groupSize, workgroup: [x], workgroupBytes, label } = program;
    this.#refuse([
      ...groupSize > limits.maxComputeInvocationsPerWorkgroup
        ? [`${groupSize} invocations in a workgroup`]
        : [],
      ...x > limits.maxComputeWorkgroupSizeX ? [`${x} invocations in a row of a workgroup`] : [],
      ...workgroupBytes > limits.maxComputeWorkgroupStorageSize
        ? [`${workgroupBytes} bytes of workgroup memory`]
        : [],
      ...pipelineProblems(program, layout as unknown as FakePipelineLayout),
    ].map((problem) => `${label}: ${problem}`));
    return { program };
  }

  createComputePipelineAsync(descriptor: GPUComputePipelineDescriptor) {
    return Promise.resolve(this.createComputePipeline(descriptor));
  }

  createBindGroup({ label, layout, entries }: GPUBindGroupDescriptor): FakeBindGroup {
    const group = bindGroupOf(entries, layout as unknown as FakeLayout);
    const problems = bindingProblems(group, this.limits.maxStorageBufferBindingSize);
    this.#refuse(problems.map((problem) => `${label}, ${problem}`));
    return group;
  }

  createCommandEncoder(): FakeCommandEncoder {
    return new FakeCommandEncoder((problem) => this.#refuse([problem]));
  }

  createQuerySet({ count }: GPUQuerySetDescriptor): FakeQuerySet & { destroy(): void } {
    this.#refuse(querySetProblems(count));
    return { nanoseconds: new BigUint64Array(count), destroy: () => {} };
  }

  pushErrorScope(filter: GPUErrorFilter): void {
    this.#errors.push(filter);
  }

  popErrorScope(): Promise<{ readonly message: string } | null> {
    return Promise.resolve(this.#errors.pop());
  }

  addEventListener(): void {}
  removeEventListener(): void {}
  destroy(): void {}

  #write(buffer: FakeBuffer, offset: number, data: ArrayBuffer | Uint8Array, from = 0, size?: number): void {
    const bytes = data instanceof Uint8Array ? data : new Uint8Array(data);
    const part = bytes.subarray(from, size === undefined ? undefined : from + size);
    if (this.#refuse(writeProblems(buffer, offset, part.length))) return;
    buffer.write(offset, part);
  }

  #submit(pending: readonly PendingCommand[]): void {
    const limit = this.limits.maxComputeWorkgroupsPerDimension;
    const problems = pending.flatMap((command) => [
      ...command.kind === "dispatch" ? dispatchProblems(command, limit) : [],
      ...submitProblems(command),
    ]);
    // An invalid submit does nothing.
    if (!this.#refuse(problems)) this.onSubmit(this.#executor.execute(pending));
  }

  /** @returns whether there was a problem */
  #refuse(problems: readonly string[]): boolean {
    for (const problem of problems) this.#errors.raise("validation", problem);
    return problems.length > 0;
  }
}
