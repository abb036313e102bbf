import { assertEquals } from "@std/assert";
import { fromFileUrl } from "@std/path";

const fileOf = (name: string) => fromFileUrl(new URL(name, import.meta.url));

/** What a shell's parser says of a script, without running it; null: there is no such shell. */
function complaintOf(command: string, args: string[]): string | null {
  try {
    const { success, stdout, stderr } = new Deno.Command(command, { args }).outputSync();
    const said = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
    return success ? said.trim() : said.trim() || "it ends with an error";
  } catch (thrown) {
    if (thrown instanceof Deno.errors.NotFound) return null;
    throw thrown;
  }
}

const hasShell = complaintOf("sh", ["-c", ":"]) !== null;

Deno.test({
  name: "the installer for Linux and macOS is a script that sh parses [ignored without sh]",
  ignore: !hasShell,
  fn: () => {
    assertEquals(complaintOf("sh", ["-n", fileOf("install.sh")]), "");
    const broken = complaintOf("sh", ["-n", "-c", "if true; then"]);
    assertEquals(broken === "", false, "sh finds no fault in half an if");
  },
});
