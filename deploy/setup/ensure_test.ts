import { assertEquals, assertRejects } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { ensureSetup, type Machine } from "./ensure.ts";
import { describePlatform } from "./platform.ts";

const DEBIAN = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n';
type Found = Awaited<ReturnType<Machine["look"]>>;
const ALL = { natsServerPath: "/usr/sbin/nats-server", gpuName: "llvmpipe" };
const NOTHING: Found = { natsServerPath: null, gpuName: null };

/** A machine on which looking finds `found` in turn, and apt may install, or would need a password. */
function machineOf(found: Found[], os = "linux", osRelease = DEBIAN, isRoot = true) {
  const installed: string[][] = [];
  const machine: Machine = {
    platform: describePlatform(os, osRelease),
    look: () => Promise.resolve(found.length > 1 ? found.shift()! : found[0]!),
    aptInstall(packages, announce) {
      if (!isRoot) return Promise.resolve(false);
      announce();
      installed.push([...packages]);
      return Promise.resolve(true);
    },
  };
  return { machine, installed };
}

async function refusal(machine: Machine): Promise<string[]> {
  const error = await assertRejects(() => ensureSetup(() => {}, machine), LoraFleetError);
  assertEquals(error.code, "missing_dependency");
  return error.message.split("\n");
}

Deno.test("where all is there, nothing is done and nothing said", async () => {
  const { machine, installed } = machineOf([ALL]);
  const lines: string[] = [];
  assertEquals(await ensureSetup((line) => lines.push(line), machine), ALL);
  assertEquals([lines, installed], [[], []]);
});

Deno.test("what is missing is installed by apt, and only that", async () => {
  const both = machineOf([NOTHING, ALL]);
  const lines: string[] = [];
  assertEquals(await ensureSetup((line) => lines.push(line), both.machine), ALL);
  assertEquals(both.installed, [["nats-server", "mesa-vulkan-drivers", "libvulkan1"]]);
  assertEquals(lines, ["set-up: installing nats-server, mesa-vulkan-drivers, libvulkan1 with apt"]);
  const one = machineOf([{ ...NOTHING, gpuName: "a GPU" }, ALL]);
  await ensureSetup(() => {}, one.machine);
  assertEquals(one.installed, [["nats-server"]]);
});

Deno.test("where apt does not help, the message names what is still missing and the commands", async () => {
  const { machine, installed } = machineOf([NOTHING, { ...ALL, gpuName: null }]);
  assertEquals(await refusal(machine), [
    "WebGPU finds no GPU driver. On Debian GNU/Linux 12 (bookworm):",
    "  sudo apt-get update",
    "  sudo apt-get install -y --no-install-recommends mesa-vulkan-drivers libvulkan1",
  ]);
  assertEquals(installed.length, 1);
});

Deno.test("without root, or with another package manager, nothing is installed: the commands are printed", async () => {
  const user = machineOf([NOTHING], "linux", DEBIAN, false);
  assertEquals((await refusal(user.machine)).slice(0, 3), [
    "nats-server is not installed and WebGPU finds no GPU driver. On Debian GNU/Linux 12 (bookworm):",
    "  sudo apt-get update",
    "  sudo apt-get install -y --no-install-recommends nats-server mesa-vulkan-drivers libvulkan1",
  ]);
  const mac = machineOf([{ ...NOTHING, gpuName: "Apple M4" }], "darwin", "");
  assertEquals((await refusal(mac.machine)).slice(0, 2), [
    "nats-server is not installed. On macOS:",
    "  brew install nats-server",
  ]);
  assertEquals([user.installed, mac.installed], [[], []]);
});
