import { assertEquals } from "@std/assert";
import { describePlatform, manualCommands, packagesFor } from "./platform.ts";

const debian = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n';

Deno.test("os-release decides the package manager, by family where the system itself is unknown", () => {
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

Deno.test("only what is missing is asked for", () => {
  assertEquals(packagesFor("apt", ["nats-server"]), ["nats-server"]);
  assertEquals(packagesFor("apt", ["nats-server", "vulkan"]), [
    "nats-server",
    "mesa-vulkan-drivers",
    "libvulkan1",
  ]);
  assertEquals(packagesFor("brew", ["vulkan"]), []);
});

Deno.test("a person gets commands that can be pasted, or words where we know no package manager", () => {
  assertEquals(manualCommands(describePlatform("linux", debian), ["vulkan"]), [
    "sudo apt-get update",
    "sudo apt-get install -y --no-install-recommends mesa-vulkan-drivers libvulkan1",
  ]);
  assertEquals(manualCommands(describePlatform("linux", "ID=fedora"), ["nats-server"]), [
    "sudo dnf install -y nats-server",
  ]);
  assertEquals(manualCommands(describePlatform("linux", "ID=arch"), ["vulkan"]), [
    "sudo pacman -S --needed vulkan-swrast vulkan-icd-loader",
  ]);
  assertEquals(manualCommands(describePlatform("darwin", ""), ["nats-server"]), ["brew install nats-server"]);
  for (const platform of [describePlatform("linux", "ID=nixos"), describePlatform("freebsd", "")]) {
    assertEquals(manualCommands(platform, ["nats-server", "vulkan"]).length, 2);
  }
});
