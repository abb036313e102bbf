import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { join } from "@std/path";
import { LoraFleetError } from "../../shared/errors.ts";
import { install, uninstall } from "./apply.ts";
import { explain } from "./explain.ts";
import { parseServiceOptions } from "./options.ts";
import { type Place, planService } from "./plan.ts";

const JOIN = "http://c.example:8787/join/0123456789abcdef";
const LINUX: Place = {
  os: "linux",
  home: "/home/me",
  uid: 1000,
  deno: "/usr/bin/deno",
  root: "/srv/lora fleet",
};
const MAC: Place = { ...LINUX, os: "macos", home: "/Users/me", uid: 501 };
const WINDOWS: Place = { ...LINUX, os: "windows", home: "C:\\Users\\me", deno: "C:\\deno.exe" };
/** Characters that each format must escape. */
const TRICKY = `a"b\\c$d%e&f<g'h`;
const VARIABLES = { LORAFLEET_JOIN: JOIN, LORAFLEET_NAME: TRICKY };

/** Sections of a unit, as systemd reads them. */
function unitOf(text: string): Readonly<Record<string, Readonly<Record<string, string>>>> {
  const sections: Record<string, Record<string, string>> = {};
  let section: Record<string, string> = {};
  for (const line of text.split("\n").filter((line) => line !== "")) {
    const name = /^\[(\w+)\]$/.exec(line)?.[1];
    if (name !== undefined) sections[name] = section = {};
    else {
      const [, key, value] = /^([A-Z]\w+)=(.+)$/.exec(line)!;
      section[key!] = value!;
    }
  }
  return sections;
}

Deno.test("Linux: a user's unit that systemd reads, its secrets in a file of their own", () => {
  const { files, start, stop } = planService("worker", LINUX, VARIABLES);
  const [settings, unit] = files;
  assertEquals([settings!.path, settings!.isSecret], ["/home/me/.config/lorafleet/worker.env", true]);
  assertEquals(settings!.text, `LORAFLEET_JOIN="${JOIN}"\nLORAFLEET_NAME="a\\"b\\\\c\\$d%e&f<g'h"\n`);
  const { Service, Install } = unitOf(unit!.text);
  assertEquals(
    Service!["ExecStart"],
    '/usr/bin/deno run -q --no-prompt -P=worker "/srv/lora fleet/worker/main.ts"',
  );
  assertEquals(Service!["EnvironmentFile"], settings!.path);
  assertEquals([Service!["Restart"], Service!["RestartPreventExitStatus"]], ["always", "2"]);
  assertEquals(Install!["WantedBy"], "default.target");
  assert(!unit!.text.includes(JOIN));
  assertEquals(start.at(-1), ["systemctl", "--user", "enable", "--now", "lorafleet-worker.service"]);
  assertEquals(stop, [["systemctl", "--user", "disable", "--now", "lorafleet-worker.service"]]);
});

Deno.test("macOS: an agent whose XML holds every character", () => {
  const { files: [agent], start } = planService("coordinator", MAC, VARIABLES);
  assertEquals(agent!.path, "/Users/me/Library/LaunchAgents/org.lorafleet.coordinator.plist");
  assert(agent!.isSecret);
  assert(agent!.text.includes(`<string>a"b\\c$d%e&amp;f&lt;g'h</string>`), agent!.text);
  assertMatch(agent!.text, /<string>-P=coordinator<\/string>/);
  const tags = [...agent!.text.matchAll(/<(\/?)(\w+)(?: [^>]*[^?/])?>/g)];
  assertEquals(tags.filter(([, end]) => end === "/").length, tags.filter(([, end]) => end === "").length);
  assertEquals(start, [["launchctl", "bootstrap", "gui/501", agent!.path]]);
});

Deno.test("Windows: a task at log-on whose script quotes verbatim", () => {
  const { files: [script], start } = planService("worker", WINDOWS, VARIABLES);
  assertEquals(script!.path, "C:\\Users\\me\\AppData\\Local\\lorafleet\\worker.ps1");
  assert(script!.text.includes(`$env:LORAFLEET_NAME = 'a"b\\c$d%e&f<g''h'\r\n`), script!.text);
  assertMatch(script!.text, /& 'C:\\deno\.exe' 'run' .*'-P=worker'/);
  assertEquals(start[0]!.slice(0, 5), ["schtasks", "/Create", "/F", "/TN", "lorafleet-worker"]);
});

Deno.test("the explanation shows every file and command, and no secret", () => {
  for (const place of [LINUX, MAC, WINDOWS]) {
    const plan = planService("worker", place, VARIABLES);
    const text = explain(plan, [JOIN]);
    for (const { path } of plan.files) assert(text.includes(path), path);
    for (const command of plan.start) assert(text.includes(command.join(" ")), text);
    assert(!text.includes("0123456789abcdef"), text);
  }
});

Deno.test("installing writes the files and starts; a failure says which command; uninstalling leaves nothing", async () => {
  const home = await Deno.makeTempDir();
  const plan = planService("worker", { ...LINUX, home }, VARIABLES);
  const ran: string[] = [];
  await install(plan, (command) => Promise.resolve(ran.push(command.join(" ")) && 0));
  assertEquals(ran, plan.start.map((command) => command.join(" ")));
  const settings = join(home, ".config/lorafleet/worker.env");
  assertEquals(await Deno.readTextFile(settings), plan.files[0]!.text);
  assertEquals((await Deno.stat(settings)).mode! & 0o777, 0o600);

  const error = await assertRejects(() => install(plan, () => Promise.resolve(1)), LoraFleetError);
  assertMatch(error.message, /"systemctl --user daemon-reload" ended with 1; the files are written/);

  await uninstall(plan, () => Promise.resolve(5));
  for (const { path } of plan.files) await assertRejects(() => Deno.stat(path), Deno.errors.NotFound);
  await uninstall(plan, () => Promise.resolve(5));
  await Deno.remove(home, { recursive: true });
});

Deno.test("the command line: what is wrong is named with what would be right", () => {
  const options = parseServiceOptions([
    "install",
    "worker",
    "--join",
    JOIN,
    "--set",
    "HF_TOKEN=a=b",
    "--yes",
  ]);
  assertEquals(options, {
    ...{ action: "install", role: "worker", isConfirmed: true },
    variables: { LORAFLEET_JOIN: JOIN, HF_TOKEN: "a=b" },
  });
  assertEquals(parseServiceOptions(["--help"]), null);
  const wrong: readonly (readonly [readonly string[], RegExp])[] = [
    [["start", "worker"], /"start worker": one of install, uninstall, status, show/],
    [["install", "workers"], /worker or coordinator is needed/],
    [["install", "worker", "--join", "c.example"], /--join is "c\.example"/],
    [["install", "coordinator", "--join", JOIN], /--join is for workers/],
    [["install", "worker", "--set", "HF TOKEN=x"], /--set is "HF TOKEN=x"/],
    [["install", "worker", "--set", "A=b\nC=d"], /on one line/],
  ];
  for (const [args, message] of wrong) {
    assertMatch(assertThrows(() => parseServiceOptions(args), LoraFleetError).message, message);
  }
});
