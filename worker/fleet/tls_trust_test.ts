import { assertEquals, assertRejects } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { readTlsTrust } from "./tls_trust.ts";

Deno.test("without an authority of its own a worker trusts those that its system knows", async () => {
  assertEquals(await readTlsTrust(null), { fetch, ca: null });
});

Deno.test("a file that is not there, or holds no certificate, is named with the option", async () => {
  const path = await Deno.makeTempFile();
  await Deno.writeTextFile(path, "nothing");
  for (const bad of [path, `${path}.none`]) {
    const error = await assertRejects(() => readTlsTrust(bad), LoraFleetError, `--tls-ca "${bad}"`);
    assertEquals([error.code, error.param], ["usage", "tls-ca"]);
  }
  await Deno.remove(path);
});
