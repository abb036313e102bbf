/**
 * A GPUDevice that computes nothing and allocates nothing: it checks what a real one of the same limits and memory would
 * refuse, counts, and hands each submit's commands to whoever listens.
 */
import { FakeBuffer } from "./fake_buffer.ts";
import { type FakeBindGroup, FakeCommandEncoder, type PendingCommand } from "./fake_encoder.ts";
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

/** Bytes that passed between host and device. */
export interface Transfers {
  readonly writtenBytes: number;
  readonly readBytes: number;
}

interface FakeLayout {
  readonly accesses: readonly string[];
}

interface Failure {
  readonly filter: GPUErrorFilter;
  readonly message: string;
}

export class FakeDevice {
  readonly lost = new Promise<never>(() => {});
  readonly limits: FakeLimits;
  readonly queue: { readonly submit: unknown; readonly writeBuffer: unknown };
  /** Called with each submit's commands. */
  onSubmit: (commands: readonly RecordedCommand[]) => void = () => {};
  readonly #hardware: FakeHardware;
  readonly #scopes: { filter: GPUErrorFilter; failure: Failure | null }[] = [];
  #allocatedBytes = 0;
  #peakBytes = 0;
  #writtenBytes = 0;
  #readBytes = 0;

  constructor(hardware: FakeHardware) {
    this.#hardware = hardware;
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

  get transfers(): Transfers {
    return { writtenBytes: this.#writtenBytes, readBytes: this.#readBytes };
  }

  createBuffer(descriptor: GPUBufferDescriptor): FakeBuffer {
    const { label, size } = descriptor;
    const { memoryBytes, description } = this.#hardware;
    if (size > this.limits.maxBufferSize) {
      this.#fail("validation", `buffer "${label}" of ${size} bytes exceeds ${this.limits.maxBufferSize}`);
    }
    this.#allocatedBytes += size;
    if (this.#allocatedBytes > memoryBytes) {
      this.#fail(
        "out-of-memory",
        `buffer "${label}" of ${size} bytes: ${description} has ${memoryBytes}, and ${
          this.#allocatedBytes - size
        } are taken`,
      );
    }
    this.#peakBytes = Math.max(this.#peakBytes, this.#allocatedBytes);
    return new FakeBuffer(descriptor, () => this.#allocatedBytes -= size);
  }

  createBindGroupLayout({ entries }: GPUBindGroupLayoutDescriptor): FakeLayout {
    const accesses = [...entries].map(({ buffer }) => buffer?.type ?? "uniform");
    const storage = accesses.filter((type) => type !== "uniform").length;
    if (storage > this.limits.maxStorageBuffersPerShaderStage) {
      this.#fail("validation", `${storage} storage buffers in a layout`);
    }
    return { accesses };
  }

  createPipelineLayout(): object {
    return {};
  }

  createShaderModule({ label = "", code }: GPUShaderModuleDescriptor): { readonly program: Program } {
    const program = parseProgram(label, code);
    if (program.groupSize > this.limits.maxComputeInvocationsPerWorkgroup) {
      this.#fail("validation", `${label}: ${program.groupSize} invocations in a workgroup`);
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
    const { accesses } = layout as unknown as FakeLayout;
    const group = [...entries].map(({ resource }) => {
      const { buffer, offset = 0, size } = resource as unknown as {
        buffer: FakeBuffer;
        offset?: number;
        size?: number;
      };
      return { buffer, offset, byteLength: size ?? buffer.size - offset };
    });
    group.forEach((bound, binding) => {
      const problem = this.#problemOf(bound, accesses[binding]!);
      if (problem !== null) this.#fail("validation", `${label}, binding ${binding}: ${problem}`);
    });
    // wgpu refuses one buffer with two accesses in a dispatch, even on disjoint ranges.
    for (const [binding, { buffer }] of group.entries()) {
      const other = group.findIndex((each, i) => each.buffer === buffer && accesses[i] !== accesses[binding]);
      if (other > binding) {
        this.#fail("validation", `${label}: "${buffer.label}" is bound read-only and read-write`);
      }
    }
    return { entries: group };
  }

  createCommandEncoder(): FakeCommandEncoder {
    return new FakeCommandEncoder();
  }

  pushErrorScope(filter: GPUErrorFilter): void {
    this.#scopes.push({ filter, failure: null });
  }

  popErrorScope(): Promise<{ readonly message: string } | null> {
    return Promise.resolve(this.#scopes.pop()?.failure ?? null);
  }

  addEventListener(): void {}
  removeEventListener(): void {}
  destroy(): void {}

  #problemOf(
    { buffer, offset, byteLength }: FakeBindGroup["entries"][number],
    access: string,
  ): string | null {
    if (buffer.isDestroyed) return `"${buffer.label}" is destroyed`;
    if (offset % 256 !== 0) return `"${buffer.label}" from ${offset} on: no multiple of 256`;
    if (offset + byteLength > buffer.size) return `"${buffer.label}" ends at ${buffer.size}`;
    const limit = this.limits.maxStorageBufferBindingSize;
    if (access !== "uniform" && byteLength > limit) {
      return `"${buffer.label}" of ${byteLength} bytes exceeds ${limit}`;
    }
    return null;
  }

  #fail(filter: GPUErrorFilter, message: string): void {
    const scope = this.#scopes.findLast((each) => each.filter === filter);
    if (scope === undefined) throw new Error(`outside all error scopes: ${message}`);
    scope.failure ??= { filter, message };
  }

  #write(buffer: FakeBuffer, offset: number, data: ArrayBuffer | Uint8Array, from = 0, size?: number): void {
    const bytes = data instanceof Uint8Array ? data : new Uint8Array(data);
    const part = bytes.subarray(from, size === undefined ? undefined : from + size);
    this.#writtenBytes += part.length;
    if (offset + part.length > buffer.size) {
      this.#fail("validation", `writing ${part.length} bytes to "${buffer.label}" at ${offset}`);
      return;
    }
    buffer.write(offset, part);
  }

  #submit(pending: readonly PendingCommand[]): void {
    const commands = pending.map((command): RecordedCommand => {
      if (command.kind !== "pending") return command;
      const { program, params: { entries: [uniform] }, paramsOffset, tensors, groups } = command;
      const limit = this.limits.maxComputeWorkgroupsPerDimension;
      if (Math.max(...groups) > limit) this.#fail("validation", `${program.label}: ${groups} workgroups`);
      const raw = uniform!.buffer.words(uniform!.offset + paramsOffset, 4 * program.params.length);
      const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
      const params = Object.fromEntries(program.params.map(({ name, type }, i) => [
        name,
        type === "f32" ? view.getFloat32(4 * i, true) : type === "i32" ? view.getInt32(4 * i, true) : raw[i]!,
      ]));
      const bindings = Object.fromEntries(
        program.bindings.map(({ name, access }, i) => [name, { ...tensors.entries[i]!, access }]),
      );
      const { kernel, constants, groupSize } = program;
      return { kind: "dispatch", kernel, constants, params, bindings, groups, groupSize, program };
    });
    this.#readBytes += commands.reduce(
      (sum, command) =>
        command.kind === "copy" && command.label.includes("→ staging") ? sum + command.byteLength : sum,
      0,
    );
    this.onSubmit(commands);
  }
}
