import { assertEquals, assertRejects } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { readTlsTrust } from "./tls_trust.ts";

Deno.test("by default a worker trusts the system's authorities", async () => {
  assertEquals(await readTlsTrust(null), { fetch, ca: null });
});

Deno.test("a missing file, or one without a certificate, is named with the option", async () => {
  const path = await Deno.makeTempFile();
  await Deno.writeTextFile(path, "nothing");
  for (const bad of [path, `${path}.none`]) {
    const error = await assertRejects(() => readTlsTrust(bad), LoraFleetError, `--tls-ca "${bad}"`);
    assertEquals([error.code, error.param], ["usage", "tls-ca"]);
  }
  await Deno.remove(path);
});
