/** The machine's package manager, and its names for the packages that lorafleet needs. */

/** What may be missing: the message broker, and a Vulkan driver (lavapipe, which needs no GPU). */
export type Requirement = "nats-server" | "vulkan";

type PackageManager = "apt" | "dnf" | "pacman" | "brew" | "choco";

export interface Platform {
  readonly os: "linux" | "macos" | "windows" | "other";
  /** Null if unknown. */
  readonly packageManager: PackageManager | null;
  /** As the system names itself, for messages. */
  readonly name: string;
}

/** Describes the machine. @param os `Deno.build.os` @param osRelease the text of /etc/os-release, or "" */
export function describePlatform(os: string, osRelease: string): Platform {
  if (os === "darwin") return { os: "macos", packageManager: "brew", name: "macOS" };
  if (os === "windows") return { os: "windows", packageManager: "choco", name: "Windows" };
  if (os !== "linux") return { os: "other", packageManager: null, name: os };
  const fields = parseOsRelease(osRelease);
  const families = [fields.get("ID") ?? "", ...(fields.get("ID_LIKE") ?? "").split(" ")];
  const packageManager = families.some((id) => id === "debian" || id === "ubuntu")
    ? "apt"
    : families.some((id) => id === "fedora" || id === "rhel")
    ? "dnf"
    : families.includes("arch")
    ? "pacman"
    : null;
  return { os: "linux", packageManager, name: fields.get("PRETTY_NAME") ?? "Linux" };
}

const packages: Record<PackageManager, Record<Requirement, readonly string[]>> = {
  apt: { "nats-server": ["nats-server"], vulkan: ["mesa-vulkan-drivers", "libvulkan1"] },
  dnf: { "nats-server": ["nats-server"], vulkan: ["mesa-vulkan-drivers", "vulkan-loader"] },
  pacman: { "nats-server": ["nats-server"], vulkan: ["vulkan-swrast", "vulkan-icd-loader"] },
  // macOS has Metal and Windows Direct3D 12: WebGPU needs no driver of ours there.
  brew: { "nats-server": ["nats-server"], vulkan: [] },
  choco: { "nats-server": ["nats-server"], vulkan: [] },
};

/** The packages that provide what is missing. */
export function packagesFor(manager: PackageManager, missing: readonly Requirement[]): string[] {
  return missing.flatMap((requirement) => packages[manager][requirement]);
}

const RELEASE = "put the nats-server binary from https://github.com/nats-io/nats-server/releases on the PATH";

/**
 * Instructions for installing what is missing: commands, or sentences if there is no command. Not every system packages
 * nats-server, so its download always comes last.
 */
export function manualCommands(platform: Platform, missing: readonly Requirement[]): string[] {
  const commands = packageCommands(platform, missing);
  if (commands.length > 0) return missing.includes("nats-server") ? [...commands, `or ${RELEASE}`] : commands;
  return missing.map((requirement) =>
    requirement === "nats-server"
      ? RELEASE
      : platform.os === "linux"
      ? "install a Vulkan driver: your GPU's own, or Mesa's lavapipe"
      : "update the system and the GPU's driver: WebGPU needs Metal or Direct3D 12"
  );
}

function packageCommands(platform: Platform, missing: readonly Requirement[]): string[] {
  if (platform.packageManager === null) return [];
  const names = packagesFor(platform.packageManager, missing);
  if (names.length === 0) return [];
  const list = names.join(" ");
  switch (platform.packageManager) {
    case "apt":
      return ["sudo apt-get update", `sudo apt-get install -y --no-install-recommends ${list}`];
    case "dnf":
      return [`sudo dnf install -y ${list}`];
    case "pacman":
      return [`sudo pacman -S --needed ${list}`];
    case "brew":
      return [`brew install ${list}`];
    case "choco":
      return [`choco install ${list}`];
  }
}

function parseOsRelease(text: string): Map<string, string> {
  const fields = new Map<string, string>();
  for (const line of text.split("\n")) {
    const match = /^([A-Z_]+)=(.*)$/.exec(line.trim());
    if (match) fields.set(match[1]!, match[2]!.replace(/^(["'])(.*)\1$/, "$2"));
  }
  return fields;
}
