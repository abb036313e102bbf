/**
 * A GPUDevice that computes nothing and allocates nothing: it checks what a real one of the same limits and memory would
 * refuse, hands each submit's commands to whoever listens, and has a clock that advances as the commands would take.
 */
import { FakeBuffer } from "./fake_buffer.ts";
import { bindGroupOf, bindingProblems, type FakeLayout } from "./fake_binding.ts";
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
    if (size > this.limits.maxBufferSize) {
      this.#errors.raise(
        "validation",
        `buffer "${label}" of ${size} bytes exceeds ${this.limits.maxBufferSize}`,
      );
    }
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
    const accesses = [...entries].map(({ buffer }) => buffer?.type ?? "uniform");
    const storage = accesses.filter((type) => type !== "uniform").length;
    if (storage > this.limits.maxStorageBuffersPerShaderStage) {
      this.#errors.raise("validation", `${storage} storage buffers in a layout`);
    }
    return { accesses };
  }

  createPipelineLayout(): object {
    return {};
  }

  createShaderModule({ label = "", code }: GPUShaderModuleDescriptor): { readonly program: Program } {
    const program = parseProgram(label, code);
    if (program.groupSize > this.limits.maxComputeInvocationsPerWorkgroup) {
      this.#errors.raise("validation", `${label}: ${program.groupSize} invocations in a workgroup`);
    }
    return { program };
  }

  createComputePipeline(
    { compute: { module } }: GPUComputePipelineDescriptor,
  ): { readonly program: Program } {
    return module as unknown as { program: Program };
  }

  createComputePipelineAsync(descriptor: GPUComputePipelineDescriptor) {
    return Promise.resolve(this.createComputePipeline(descriptor));
  }

  createBindGroup({ label, layout, entries }: GPUBindGroupDescriptor): FakeBindGroup {
    const group = bindGroupOf(entries);
    const { maxStorageBufferBindingSize: most } = this.limits;
    for (const problem of bindingProblems(group, layout as unknown as FakeLayout, most)) {
      this.#errors.raise("validation", `${label}, ${problem}`);
    }
    return group;
  }

  createCommandEncoder(): FakeCommandEncoder {
    return new FakeCommandEncoder();
  }

  createQuerySet({ count }: GPUQuerySetDescriptor): FakeQuerySet & { destroy(): void } {
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
    if (offset + part.length > buffer.size) {
      this.#errors.raise("validation", `writing ${part.length} bytes to "${buffer.label}" at ${offset}`);
      return;
    }
    buffer.write(offset, part);
  }

  #submit(pending: readonly PendingCommand[]): void {
    const limit = this.limits.maxComputeWorkgroupsPerDimension;
    const commands = this.#executor.execute(pending);
    for (const command of commands) {
      if (command.kind !== "dispatch" || Math.max(...command.groups) <= limit) continue;
      this.#errors.raise("validation", `${command.program.label}: ${command.groups} workgroups`);
    }
    this.onSubmit(commands);
  }
}
