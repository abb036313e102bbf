import { assertEquals } from "@std/assert";
import { aptInstall, haveAptLists, rootPrefix, runCommand } from "./apt.ts";

function recorder(answers: readonly boolean[]) {
  const lines: string[] = [];
  let next = 0;
  const run = (command: string, args: readonly string[]) => {
    lines.push([command, ...args].join(" "));
    return Promise.resolve(answers[next++] ?? false);
  };
  return { lines, run };
}

const install = "env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends a b";
const update = "env DEBIAN_FRONTEND=noninteractive apt-get -q update";

Deno.test("package lists are fetched only if missing or stale", async () => {
  const fresh = recorder([true]);
  assertEquals(await aptInstall(["a", "b"], [], true, fresh.run), true);
  assertEquals(fresh.lines, [install]);

  const missing = recorder([true, true]);
  assertEquals(await aptInstall(["a", "b"], ["sudo", "-n"], false, missing.run), true);
  assertEquals(missing.lines, [`sudo -n ${update}`, `sudo -n ${install}`]);

  const stale = recorder([false, true, false]);
  assertEquals(await aptInstall(["a", "b"], [], true, stale.run), false);
  assertEquals(stale.lines, [install, update, install]);
});

Deno.test("root needs no sudo; sudo counts only without a password", async () => {
  const root = recorder([]);
  assertEquals(await rootPrefix(0, root.run), []);
  assertEquals(root.lines, []);
  assertEquals(await rootPrefix(1000, recorder([true]).run), ["sudo", "-n"]);
  assertEquals(await rootPrefix(1000, recorder([false]).run), null);
  assertEquals(await rootPrefix(null, recorder([false]).run), null);
});

Deno.test("neither an empty nor a missing folder has lists", () => {
  const folder = Deno.makeTempDirSync();
  try {
    assertEquals(haveAptLists(`${folder}/none`), false);
    Deno.writeTextFileSync(`${folder}/lock`, "");
    assertEquals(haveAptLists(folder), false);
    Deno.writeTextFileSync(
      `${folder}/mirror.example_debian_dists_stable_main_binary-amd64_Packages.lz4`,
      "",
    );
    assertEquals(haveAptLists(folder), true);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});

Deno.test("a missing command fails without throwing", async () => {
  assertEquals(await runCommand("lorafleet-no-such-command", [], false), false);
});
