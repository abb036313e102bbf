/**
 * What makes a worker or a coordinator a service of this machine, as a plan: files, then commands. It is shown before anything
 * is done, and the same facts undo it.
 */
import { join } from "@std/path";
import { launchAgent } from "./launchd.ts";
import type { Role } from "./role.ts";
import { systemdUnit } from "./systemd.ts";
import { taskScript, windowsFolder } from "./windows.ts";

export interface Place {
  readonly os: "linux" | "macos" | "windows";
  readonly home: string;
  /** For macOS' domains. */
  readonly uid: number;
  /** The program that runs us. */
  readonly deno: string;
  /** The repository's folder. */
  readonly root: string;
}

export interface ServicePlan {
  readonly name: string;
  readonly files: readonly PlannedFile[];
  /** In order, after the files are written. */
  readonly start: readonly (readonly string[])[];
  /** In order, before the files are removed. */
  readonly stop: readonly (readonly string[])[];
  readonly status: readonly string[];
  /** How to read its log. */
  readonly log: string;
  /** What a person should know, one sentence each. */
  readonly remarks: readonly string[];
}

export interface PlannedFile {
  readonly path: string;
  readonly text: string;
  /** Readable by its owner alone. */
  readonly isSecret: boolean;
}

/** @param variables the service's environment, secrets among them */
export function planService(
  role: Role,
  place: Place,
  variables: Readonly<Record<string, string>>,
): ServicePlan {
  switch (place.os) {
    case "linux":
      return linuxPlan(role, place, variables);
    case "macos":
      return macPlan(role, place, variables);
    case "windows":
      return windowsPlan(role, place, variables);
  }
}

/** What the service runs, without a shell. */
export function commandOf(role: Role, { deno, root }: Pick<Place, "deno" | "root">): readonly string[] {
  return [deno, "run", "-q", "--no-prompt", `-P=${role}`, join(root, role, "main.ts")];
}

function linuxPlan(role: Role, place: Place, variables: Readonly<Record<string, string>>): ServicePlan {
  const name = `lorafleet-${role}`;
  const unit = `${name}.service`;
  const settings = join(place.home, ".config/lorafleet", `${role}.env`);
  const systemctl = (...words: string[]) => ["systemctl", "--user", ...words];
  return {
    name,
    files: [
      { path: settings, text: environmentFile(variables), isSecret: true },
      {
        path: join(place.home, ".config/systemd/user", unit),
        text: systemdUnit({ role, command: commandOf(role, place), root: place.root, settings }),
        isSecret: false,
      },
    ],
    start: [systemctl("daemon-reload"), systemctl("enable", "--now", unit)],
    stop: [systemctl("disable", "--now", unit)],
    status: systemctl("status", "--no-pager", unit),
    log: `journalctl --user -u ${unit} -f`,
    remarks: [
      "It runs as you, without root.",
      "It ends when you log out unless lingering is on: sudo loginctl enable-linger $USER",
    ],
  };
}

function macPlan(role: Role, place: Place, variables: Readonly<Record<string, string>>): ServicePlan {
  const name = `org.lorafleet.${role}`;
  const path = join(place.home, "Library/LaunchAgents", `${name}.plist`);
  const log = join(place.home, "Library/Logs", `lorafleet-${role}.log`);
  const domain = `gui/${place.uid}`;
  const agent = { name, command: commandOf(role, place), root: place.root, variables, log };
  return {
    name,
    // launchd has no file of variables beside the agent.
    files: [{ path, text: launchAgent(agent), isSecret: true }],
    start: [["launchctl", "bootstrap", domain, path]],
    stop: [["launchctl", "bootout", `${domain}/${name}`]],
    status: ["launchctl", "print", `${domain}/${name}`],
    log: `tail -f ${log}`,
    remarks: [
      "It runs while you are logged in.",
      "A Mac that sleeps leaves the fleet: caffeinate keeps it awake",
    ],
  };
}

function windowsPlan(role: Role, place: Place, variables: Readonly<Record<string, string>>): ServicePlan {
  const name = `lorafleet-${role}`;
  const folder = windowsFolder(place.home);
  const path = `${folder}\\${role}.ps1`;
  const log = `${folder}\\${role}.log`;
  const run = `powershell.exe -NoProfile -ExecutionPolicy Bypass -WindowStyle Hidden -File "${path}"`;
  return {
    name,
    files: [{
      path,
      text: taskScript({ command: commandOf(role, place), root: place.root, variables, log }),
      isSecret: true,
    }],
    start: [
      ["schtasks", "/Create", "/F", "/TN", name, "/SC", "ONLOGON", "/RL", "LIMITED", "/TR", run],
      ["schtasks", "/Run", "/TN", name],
    ],
    stop: [["schtasks", "/End", "/TN", name], ["schtasks", "/Delete", "/F", "/TN", name]],
    status: ["schtasks", "/Query", "/V", "/FO", "LIST", "/TN", name],
    log: `Get-Content -Wait "${log}"`,
    remarks: [
      "It runs from your next log-on on, and now.",
      "Windows resets a GPU that computes for longer than two seconds without a pause: TdrDelay in the registry is that limit",
    ],
  };
}

/** systemd's EnvironmentFile: double quotes, in which backslash, quote, dollar and backtick are escaped. */
function environmentFile(variables: Readonly<Record<string, string>>): string {
  const lines = Object.entries(variables).map(([name, value]) =>
    `${name}="${value.replace(/[\\"$`]/g, (found) => `\\${found}`)}"\n`
  );
  return lines.join("");
}
