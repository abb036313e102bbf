/** What this machine stands in with for an image's base and packages: its own libraries. */
import { dirname, join } from "@std/path";
import { exists, linkOrCopy } from "./copy_tree.ts";

/** Shared libraries, Vulkan's and EGL's lists of drivers, authorities, tini. */
const USED = /\.so(\.[\d.]+)?$|\/(icd\.d|egl_vendor\.d)\/|\/ca-certificates\.crt$|\/bin\/tini$/;

/** Puts a file, or what it links to, at the same path below `root`, or at `to`; what is there stays. */
export function copyInto(
  root: string,
  from: string,
  to = from,
  place: (from: string, to: string) => void = linkOrCopy,
): void {
  const target = join(root, to);
  if (exists(target)) return;
  Deno.mkdirSync(dirname(target), { recursive: true });
  place(from, target);
}

/** The libraries that a program or library needs, and their loader. */
export function copyLibraries(root: string, file: string): void {
  for (const [path] of outputOf("ldd", [file]).matchAll(/\/\S*\.so\S*/g)) copyInto(root, path);
}

/** The files of a Debian package that a program may open; none where this machine does not have it. */
export function copyPackage(root: string, name: string): void {
  const files = name === "ca-certificates"
    ? ["/etc/ssl/certs/ca-certificates.crt"]
    : outputOf("dpkg", ["-L", name]).split("\n");
  for (const path of files.filter((path) => USED.test(path) && isFile(path))) {
    copyInto(root, path);
    if (/\.so|\/bin\//.test(path)) copyLibraries(root, path);
  }
}

/** Those of Debian's essential packages that we start: a guard for the broker, a low priority for preparations. */
const ESSENTIAL = ["sh", "cat", "nice"];

/** What every Debian has. @throws Error where this machine has not */
export function copyEssential(root: string): void {
  for (const name of ESSENTIAL) {
    const path = [`/usr/bin/${name}`, `/bin/${name}`].find(isFile);
    if (path === undefined) throw new Error(`this machine has no ${name}`);
    copyInto(root, path, `/usr/bin/${name}`);
    copyLibraries(root, path);
  }
}

/** Why this machine cannot stand in for an image with these packages; null if it can. */
export function whyNoPackages(names: readonly string[]): string | null {
  const missing = names.filter((name) => outputOf("dpkg", ["-L", name]) === "");
  return missing.length === 0 ? null : `Debian's ${missing.join(" and ")} are not installed`;
}

/** "" for a program that fails, or that is not there. */
function outputOf(program: string, args: readonly string[]): string {
  try {
    const { success, stdout } = new Deno.Command(program, { args: [...args], stderr: "null" }).outputSync();
    return success ? new TextDecoder().decode(stdout) : "";
  } catch {
    return "";
  }
}

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}
