/**
 * A real GPUDevice that can time each dispatch by the GPU's clock, beside a fake one of the lens (tests/lens/fake_gpu) that takes down
 * what each dispatch is: kernel, params, tensors, and so its work. While nothing is timed, commands go to the real device alone.
 */
import { FakeDevice } from "../../../lens/fake_gpu/fake_device.ts";
import type { RecordedCommand, RecordedDispatch } from "../../../lens/fake_gpu/recorded.ts";
import { Stopwatch } from "./stopwatch.ts";
import { TimedEncoder } from "./timed_encoder.ts";
import type { Twins } from "./twins.ts";

export interface TimedDispatch {
  readonly command: RecordedDispatch;
  readonly seconds: number;
}

export class TimedDevice {
  /** For the product: the real device, whose commands can be timed. */
  readonly device: GPUDevice;
  readonly canTime: boolean;
  readonly #real: GPUDevice;
  readonly #fake: FakeDevice;
  /** By the real object: buffers, layouts, modules, pipelines, groups, command buffers. */
  readonly #twins: Twins = new WeakMap();
  #watch: Stopwatch | null = null;
  #recorded: RecordedCommand[] = [];
  /** Of the kernels that were compiled so far. */
  #compileSeconds = 0;
  #kernelCount = 0;

  constructor(real: GPUDevice, description: string) {
    this.#real = real;
    this.canTime = real.features.has("timestamp-query");
    this.#fake = new FakeDevice({ description, memoryBytes: Infinity, limits: real.limits }, () => 0);
    this.#fake.onSubmit = (commands) => void this.#recorded.push(...commands);
    const own = this.#ownMembers();
    this.device = new Proxy(real, {
      get(target, name) {
        if (Object.hasOwn(own, name)) return own[name as string];
        const value = Reflect.get(target, name, target);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
  }

  /** Spent in compiling kernels, so far. */
  get compileSeconds(): number {
    return this.#compileSeconds;
  }

  get kernelCount(): number {
    return this.#kernelCount;
  }

  #compile<T>(make: () => T): T {
    const startedAt = performance.now();
    this.#kernelCount++;
    try {
      return make();
    } finally {
      this.#compileSeconds += (performance.now() - startedAt) / 1000;
    }
  }

  /** Times every dispatch that is recorded until `stop`. */
  start(): void {
    this.#recorded = [];
    this.#watch = new Stopwatch(this.#real);
  }

  /** Waits for the commands that were submitted since `start`. */
  async stop(): Promise<TimedDispatch[]> {
    const watch = this.#watch!;
    this.#watch = null;
    const seconds = await watch.read();
    const dispatches = this.#recorded.filter((command) => command.kind === "dispatch");
    return dispatches.map((command, index) => ({ command, seconds: seconds[index] ?? NaN }));
  }

  #ownMembers(): Record<string, unknown> {
    const [real, fake, twins] = [this.#real, this.#fake, this.#twins];
    const withTwin = <T extends object>(object: T, twin: object): T => {
      twins.set(object, twin);
      return object;
    };
    const pipelineTwin = (descriptor: GPUComputePipelineDescriptor) => {
      const module = twins.get(descriptor.compute.module) as unknown as GPUShaderModule;
      const layout = twins.get(descriptor.layout as GPUPipelineLayout) as unknown as GPUPipelineLayout;
      return fake.createComputePipeline({
        ...descriptor,
        layout,
        compute: { ...descriptor.compute, module },
      });
    };
    return {
      createBuffer: (descriptor: GPUBufferDescriptor) =>
        withTwin(real.createBuffer(descriptor), fake.createBuffer(descriptor)),
      createBindGroupLayout: (descriptor: GPUBindGroupLayoutDescriptor) =>
        withTwin(real.createBindGroupLayout(descriptor), fake.createBindGroupLayout(descriptor)),
      createPipelineLayout: (descriptor: GPUPipelineLayoutDescriptor) => {
        const bindGroupLayouts = [...descriptor.bindGroupLayouts].map((layout) => twins.get(layout!));
        return withTwin(
          real.createPipelineLayout(descriptor),
          fake.createPipelineLayout({ bindGroupLayouts } as unknown as GPUPipelineLayoutDescriptor),
        );
      },
      createShaderModule: (descriptor: GPUShaderModuleDescriptor) =>
        withTwin(real.createShaderModule(descriptor), fake.createShaderModule(descriptor)),
      createComputePipeline: (descriptor: GPUComputePipelineDescriptor) =>
        withTwin(this.#compile(() => real.createComputePipeline(descriptor)), pipelineTwin(descriptor)),
      createComputePipelineAsync: async (descriptor: GPUComputePipelineDescriptor) =>
        withTwin(await real.createComputePipelineAsync(descriptor), pipelineTwin(descriptor)),
      createBindGroup: (descriptor: GPUBindGroupDescriptor) =>
        withTwin(real.createBindGroup(descriptor), this.#groupTwin(descriptor)),
      createCommandEncoder: (descriptor?: GPUCommandEncoderDescriptor) => {
        const encoder = real.createCommandEncoder(descriptor);
        const watch = this.#watch;
        return watch === null
          ? encoder
          : new TimedEncoder(encoder, fake.createCommandEncoder(), watch, twins);
      },
      pushErrorScope: (filter: GPUErrorFilter) => {
        fake.pushErrorScope(filter);
        real.pushErrorScope(filter);
      },
      popErrorScope: async () => {
        await fake.popErrorScope();
        return await real.popErrorScope();
      },
      queue: this.#queue(),
    };
  }

  #groupTwin(descriptor: GPUBindGroupDescriptor): object {
    const entries = [...descriptor.entries].map(({ binding, resource }) => {
      const bound = resource as GPUBufferBinding;
      return { binding, resource: { ...bound, buffer: this.#twins.get(bound.buffer) } };
    });
    const layout = this.#twins.get(descriptor.layout);
    return this.#fake.createBindGroup(
      { ...descriptor, layout, entries } as unknown as GPUBindGroupDescriptor,
    );
  }

  #queue() {
    const { queue } = this.#real;
    const fakeQueue = this.#fake.queue as unknown as GPUQueue;
    return {
      submit: (buffers: readonly GPUCommandBuffer[]) => {
        queue.submit([...buffers]);
        const recorded = buffers.map((buffer) => this.#twins.get(buffer)).filter((twin) =>
          twin !== undefined
        );
        if (recorded.length > 0) fakeQueue.submit(recorded as unknown as GPUCommandBuffer[]);
      },
      writeBuffer: (...args: Parameters<GPUQueue["writeBuffer"]>) => {
        const [buffer, ...rest] = args;
        queue.writeBuffer(...args);
        fakeQueue.writeBuffer(this.#twins.get(buffer) as unknown as GPUBuffer, ...rest);
      },
      onSubmittedWorkDone: () => queue.onSubmittedWorkDone(),
    };
  }
}
