/** The permission sets of deno.json: what each process is not allowed, tried in a process of its own. */
import { assertEquals } from "@std/assert";
import { dirname, fromFileUrl, join } from "@std/path";

const root = dirname(dirname(dirname(fromFileUrl(import.meta.url))));

/** What a program tries; each name with what it needs. */
const PROBES = {
  run: "await new Deno.Command('true').output()",
  connect: "await Deno.connect({ hostname: '127.0.0.1', port: 9 })",
  ffi: "Deno.dlopen('/nowhere.so', {})",
  environment: "Deno.env.toObject()",
  secret: "Deno.env.get('AWS_SECRET_ACCESS_KEY')",
  system: "Deno.osRelease()",
} as const;

async function deniedWith(permissions: string): Promise<string[]> {
  const folder = await Deno.makeTempDir();
  try {
    const program = Object.entries(PROBES).map(([name, code]) =>
      `try { ${code} } catch (e) { if (e instanceof Deno.errors.NotCapable) console.log("${name}"); }`
    );
    await Deno.writeTextFile(`${folder}/probe.ts`, program.join("\n"));
    const { stdout, stderr, success } = await new Deno.Command(Deno.execPath(), {
      args: [
        ...["run", "-q", "--no-prompt", "--no-check", "--config", join(root, "deno.json")],
        ...[`-P=${permissions}`, `${folder}/probe.ts`],
      ],
      env: { NO_COLOR: "1" },
    }).output();
    assertEquals(success, true, new TextDecoder().decode(stderr));
    return new TextDecoder().decode(stdout).split("\n").filter((line) => line !== "");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("no process may more than it has to", async () => {
  assertEquals(await deniedWith("coordinator"), ["ffi", "environment", "secret", "system"]);
  assertEquals(await deniedWith("worker"), ["run", "ffi", "environment", "secret", "system"]);
  assertEquals(await deniedWith("evaluate"), ["run", "connect", "ffi", "environment", "secret", "system"]);
});
