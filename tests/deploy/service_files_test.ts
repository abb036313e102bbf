/** What `deno task service` writes, by the programs that read it. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { join } from "@std/path";
import { type Place, planService } from "../../deploy/service/plan.ts";
import type { Role } from "../../deploy/service/role.ts";

const ROLES: readonly Role[] = ["worker", "coordinator"];
/** Characters that each format must escape. */
const TRICKY = `a"b\\c$d%e&f<g'h`;
const VARIABLES = { LORAFLEET_NAME: TRICKY };
const PLACE: Place = {
  os: "linux",
  home: "/home/me",
  uid: 1000,
  deno: Deno.execPath(),
  root: "/srv/lora fleet",
};

/** Standard output and error together; null where there is no such program. */
function said(
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): string | null {
  try {
    const { stdout, stderr } = new Deno.Command(command, { args: [...args], env, stdin: "null" })
      .outputSync();
    return new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  } catch (thrown) {
    if (thrown instanceof Deno.errors.NotFound) return null;
    throw thrown;
  }
}

Deno.test({
  name: "systemd has nothing to say about the units [ignored without systemd-analyze]",
  ignore: said("systemd-analyze", ["--version"]) === null,
  async fn() {
    const folder = await Deno.makeTempDir();
    const verify = async (name: string, unit: string) => {
      await Deno.writeTextFile(join(folder, name), unit);
      const args = ["verify", "--user", "--man=no", join(folder, name)];
      return said("systemd-analyze", args, { XDG_RUNTIME_DIR: folder })!.trim();
    };
    for (const role of ROLES) {
      const { files } = planService(role, PLACE, VARIABLES);
      const { path, text } = files.find(({ path }) => path.endsWith(".service"))!;
      const name = path.split("/").at(-1)!;
      assertEquals(await verify(name, text), "");
      const misspelled = text.replace("Restart=", "Restrat=");
      assertMatch(await verify(name, misspelled), /Unknown key.* 'Restrat' in section \[Service\]/);
    }
    await Deno.remove(folder, { recursive: true });
  },
});

const READ_PLIST = "import json, plistlib, sys; print(json.dumps(plistlib.load(open(sys.argv[1], 'rb'))))";

Deno.test({
  name: "the agents are property lists, whose values come out as they went in [ignored without python3]",
  ignore: said("python3", ["-c", "import plistlib"]) !== "",
  async fn() {
    const folder = await Deno.makeTempDir();
    const path = join(folder, "agent.plist");
    for (const role of ROLES) {
      const place: Place = { ...PLACE, os: "macos", home: "/Users/me", root: `/srv/${TRICKY}` };
      const { files: [agent] } = planService(role, place, VARIABLES);
      await Deno.writeTextFile(path, agent!.text);
      const read = JSON.parse(said("python3", ["-c", READ_PLIST, path])!);
      assertEquals(read.Label, `org.lorafleet.${role}`);
      assertEquals([read.WorkingDirectory, read.EnvironmentVariables], [place.root, VARIABLES]);
      assertEquals([read.ProgramArguments[0], read.ProgramArguments.at(-1)], [
        place.deno,
        join(place.root, role, "main.ts"),
      ]);
      assertEquals([read.RunAtLoad, read.KeepAlive, typeof read.ThrottleInterval], [true, true, "number"]);
    }
    await Deno.writeTextFile(path, "<plist><dict><key>a</dict></plist>");
    assert(!said("python3", ["-c", READ_PLIST, path])!.startsWith("{"), "plistlib reads what is none");
    await Deno.remove(folder, { recursive: true });
  },
});
