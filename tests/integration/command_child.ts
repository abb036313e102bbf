/** A command of deploy/ as a child process, with a temporary folder by which its own children are found. */
import { dirname, fromFileUrl, join } from "@std/path";
import { systemClock } from "../../shared/clock.ts";

export const root = dirname(dirname(dirname(fromFileUrl(import.meta.url))));

export interface Command {
  readonly process: Deno.ChildProcess;
  /** Whether it has ended. */
  isOver(): boolean;
  /** Everything on stderr so far. */
  text(): string;
  readonly drained: Promise<void>;
}

/** Starts a command with a temporary folder of its own, by whose name its children can be told from all others. */
export function startCommand(script: string, tempFolder: string, ...args: string[]): Command {
  return startCommandIn({}, script, tempFolder, ...args);
}

/** With further environment variables. */
export function startCommandIn(
  env: Readonly<Record<string, string>>,
  script: string,
  tempFolder: string,
  ...args: string[]
): Command {
  const process = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", join(root, script), ...args],
    env: { ...env, TMPDIR: tempFolder, NO_COLOR: "1" },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  let text = "";
  const drained = (async () => {
    for await (const chunk of process.stderr.pipeThrough(new TextDecoderStream())) text += chunk;
  })();
  let isOver = false;
  void process.status.then(() => isOver = true);
  return { process, isOver: () => isOver, text: () => text, drained };
}

/** The command lines of living processes whose environment names the folder. */
export function processesOf(tempFolder: string): string[] {
  return livingIn(tempFolder).map(({ command }) => command);
}

/** Living processes whose environment names the folder; only Linux has them. */
export function livingIn(tempFolder: string): { readonly pid: number; readonly command: string }[] {
  const found: { readonly pid: number; readonly command: string }[] = [];
  for (const { name } of Deno.readDirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      if (!Deno.readTextFileSync(`/proc/${name}/environ`).includes(`TMPDIR=${tempFolder}\0`)) continue;
      const command = Deno.readTextFileSync(`/proc/${name}/cmdline`).replaceAll("\0", " ").trim();
      found.push({ pid: Number(name), command });
    } catch {
      // It has ended while we looked, or is not ours.
    }
  }
  return found.filter(({ command }) => command !== "");
}

export async function inTempFolder(test: (folder: string) => Promise<void>) {
  const folder = await Deno.makeTempDir({ prefix: "lorafleet-command-test-" });
  try {
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Resolves once the command has written `text`, or has ended. */
export async function until(command: Command, text: string, timeoutMs = 120_000): Promise<void> {
  const deadline = systemClock.now() + timeoutMs;
  while (!command.text().includes(text) && !command.isOver() && systemClock.now() < deadline) {
    await systemClock.sleep(50);
  }
}
