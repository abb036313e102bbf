import { assertEquals, assertRejects } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { ensureSetup, type Machine } from "./ensure.ts";
import { describePlatform } from "./platform.ts";

const DEBIAN = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n';
type Found = Awaited<ReturnType<Machine["look"]>>;
const GPU = {
  ...{ name: "a GPU", isCpu: false },
  limits: {
    ...{ maxBufferSize: 2 ** 32, maxStorageBufferBindingSize: 2 ** 32, maxStorageBuffersPerShaderStage: 16 },
    ...{ maxComputeWorkgroupStorageSize: 32768, maxComputeInvocationsPerWorkgroup: 1024 },
    maxComputeWorkgroupSizeX: 1024,
  },
};
const ALL: Found = { natsServerPath: "/usr/sbin/nats-server", gpu: GPU };
const NOTHING: Found = { natsServerPath: null, gpu: null };
const DONE = { natsServerPath: "/usr/sbin/nats-server", gpuName: "a GPU" };

/** A machine on which looking finds `found` in turn, and apt may install, or would need a password. */
function machineOf(found: Found[], os = "linux", osRelease = DEBIAN, isRoot = true) {
  const installed: string[][] = [];
  const machine: Machine = {
    platform: describePlatform(os, osRelease),
    look: () => Promise.resolve(found.length > 1 ? found.shift()! : found[0]!),
    hardware: () => [],
    environment: () => undefined,
    aptInstall(packages, announce) {
      if (!isRoot) return Promise.resolve(false);
      announce();
      installed.push([...packages]);
      return Promise.resolve(true);
    },
  };
  return { machine, installed };
}

function ensure(machine: Machine, log: (line: string) => void = () => {}) {
  return ensureSetup({ log, ignoreGpu: false }, machine);
}

async function refusal(machine: Machine): Promise<string[]> {
  const error = await assertRejects(() => ensure(machine), LoraFleetError);
  assertEquals(error.code, "missing_dependency");
  return error.message.split("\n");
}

Deno.test("if everything is installed, nothing is done or printed", async () => {
  const { machine, installed } = machineOf([ALL]);
  const lines: string[] = [];
  assertEquals(await ensure(machine, (line) => lines.push(line)), DONE);
  assertEquals([lines, installed], [[], []]);
});

Deno.test("apt installs exactly what is missing", async () => {
  const both = machineOf([NOTHING, ALL]);
  const lines: string[] = [];
  assertEquals(await ensure(both.machine, (line) => lines.push(line)), DONE);
  assertEquals(both.installed, [["nats-server", "mesa-vulkan-drivers", "libvulkan1"]]);
  assertEquals(lines, ["set-up: installing nats-server, mesa-vulkan-drivers, libvulkan1 with apt"]);
  const one = machineOf([{ ...NOTHING, gpu: GPU }, ALL]);
  await ensure(one.machine);
  assertEquals(one.installed, [["nats-server"]]);
});

Deno.test("if apt fails, the message names what is still missing and the commands", async () => {
  const { machine, installed } = machineOf([NOTHING, { ...ALL, gpu: null }]);
  assertEquals(await refusal(machine), [
    "WebGPU finds no GPU driver. On Debian GNU/Linux 12 (bookworm):",
    "  sudo apt-get update",
    "  sudo apt-get install -y --no-install-recommends mesa-vulkan-drivers libvulkan1",
  ]);
  assertEquals(installed.length, 1);
});

Deno.test("without root, or with a different package manager, nothing is installed and the commands are printed", async () => {
  const user = machineOf([NOTHING], "linux", DEBIAN, false);
  assertEquals((await refusal(user.machine)).slice(0, 3), [
    "nats-server is not installed and WebGPU finds no GPU driver. On Debian GNU/Linux 12 (bookworm):",
    "  sudo apt-get update",
    "  sudo apt-get install -y --no-install-recommends nats-server mesa-vulkan-drivers libvulkan1",
  ]);
  const mac = machineOf([{ ...NOTHING, gpu: { ...GPU, name: "Apple M4" } }], "darwin", "");
  assertEquals((await refusal(mac.machine)).slice(0, 2), [
    "nats-server is not installed. On macOS:",
    "  brew install nats-server",
  ]);
  assertEquals([user.installed, mac.installed], [[], []]);
});

Deno.test("a GPU without its driver is an error unless --ignore-gpu is set", async () => {
  const cpu: Found = { ...ALL, gpu: { ...GPU, name: "llvmpipe", isCpu: true } };
  const { machine } = machineOf([{ ...ALL, gpu: null }, cpu]);
  const withGpu: Machine = {
    ...machine,
    hardware: () => [{ vendor: "NVIDIA", evidence: "/dev/nvidia0" }],
    environment: (name) => name === "NVIDIA_DRIVER_CAPABILITIES" ? "compute,utility" : undefined,
  };
  const error = await assertRejects(() => ensure(withGpu), LoraFleetError, "NVIDIA_DRIVER_CAPABILITIES=all");
  assertEquals(error.code, "no_gpu");
  assertEquals((await ensureSetup({ log: () => {}, ignoreGpu: true }, withGpu)).gpuName, "llvmpipe");
  // With its driver it is used without a message.
  assertEquals(await ensure({ ...withGpu, look: () => Promise.resolve(ALL) }), DONE);
  // A machine without one computes on its CPU.
  assertEquals((await ensure(machineOf([cpu]).machine)).gpuName, "llvmpipe");
});
