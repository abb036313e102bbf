import { assertEquals, assertRejects } from "@std/assert";
import { startHub, STRANGER_TOKEN, WRITER_TOKEN } from "../../tests/hub/hub.ts";
import { LoraFleetError } from "../errors.ts";
import { assertMayPush } from "./push_rights.ts";

Deno.test("a push into a foreign account, with a token that only reads or with none is refused; a hub that is away is not asked twice", async () => {
  const settings = { offline: false, cacheFolder: "/none" };
  await using hub = await startHub(null);
  const ask = (repo: string, token: string) =>
    assertMayPush(repo, { ...settings, endpoint: hub.endpoint, token });
  for (const repo of ["org/tuned", "Tester/tuned", "tuned"]) await ask(repo, WRITER_TOKEN);
  const cases = [
    [
      "orq/tuned",
      WRITER_TOKEN,
      "hub_model_id",
      'may not write to "orq/tuned"; it may to "tester/tuned", "org/tuned"',
    ],
    ["stranger/tuned", STRANGER_TOKEN, "HF_TOKEN", 'of "stranger" may only read'],
    ["org/tuned", "hf_none", "HF_TOKEN", "is no token of"],
  ] as const;
  for (const [repo, token, param, message] of cases) {
    const error = await assertRejects(() => ask(repo, token), LoraFleetError, message);
    assertEquals(error.param, param);
  }
  hub.faults.add({ on: /whoami/, kind: "status", status: 503 });
  await ask("orq/tuned", WRITER_TOKEN);
});
