import { assertEquals } from "@std/assert";
import { describePlatform, manualCommands, packagesFor, type Requirement } from "./platform.ts";

const debian = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n';

Deno.test("os-release decides the package manager, by family if the system is unknown", () => {
  assertEquals(describePlatform("linux", debian), {
    os: "linux",
    packageManager: "apt",
    name: "Debian GNU/Linux 12 (bookworm)",
  });
  assertEquals(describePlatform("linux", 'ID=linuxmint\nID_LIKE="ubuntu debian"').packageManager, "apt");
  assertEquals(describePlatform("linux", "ID='rocky'\nID_LIKE='rhel centos fedora'").packageManager, "dnf");
  assertEquals(describePlatform("linux", "ID=manjaro\nID_LIKE=arch").packageManager, "pacman");
  assertEquals(describePlatform("linux", "ID=nixos").packageManager, null);
  assertEquals(describePlatform("linux", "").name, "Linux");
  assertEquals(describePlatform("darwin", "").packageManager, "brew");
});

Deno.test("only missing packages are requested", () => {
  assertEquals(packagesFor("apt", ["nats-server"]), ["nats-server"]);
  assertEquals(packagesFor("apt", ["nats-server", "vulkan"]), [
    "nats-server",
    "mesa-vulkan-drivers",
    "libvulkan1",
  ]);
  assertEquals(packagesFor("brew", ["vulkan"]), []);
});

Deno.test("manual instructions are commands to paste, or sentences without a known package manager", () => {
  const commandsFor = (os: string, osRelease: string, ...missing: Requirement[]) =>
    manualCommands(describePlatform(os, osRelease), missing);
  const release =
    "put the nats-server binary from https://github.com/nats-io/nats-server/releases on the PATH";
  assertEquals(commandsFor("linux", debian, "vulkan"), [
    "sudo apt-get update",
    "sudo apt-get install -y --no-install-recommends mesa-vulkan-drivers libvulkan1",
  ]);
  assertEquals(commandsFor("linux", "ID=fedora", "nats-server", "vulkan"), [
    "sudo dnf install -y nats-server mesa-vulkan-drivers vulkan-loader",
    `or ${release}`,
  ]);
  assertEquals(commandsFor("linux", "ID=arch", "vulkan"), [
    "sudo pacman -S --needed vulkan-swrast vulkan-icd-loader",
  ]);
  assertEquals(commandsFor("darwin", "", "nats-server"), ["brew install nats-server", `or ${release}`]);
  assertEquals(commandsFor("windows", "", "nats-server"), ["choco install nats-server", `or ${release}`]);
  assertEquals(commandsFor("linux", "ID=nixos", "nats-server", "vulkan"), [
    release,
    "install a Vulkan driver: your GPU's own, or Mesa's lavapipe",
  ]);
  assertEquals(commandsFor("darwin", "", "vulkan").length, 1);
});
