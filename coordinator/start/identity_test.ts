import { assertEquals, assertMatch, assertNotEquals, assertRejects } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { loadIdentity, saveIdentity } from "./identity.ts";

Deno.test("an identity is created once, kept private, and not overwritten if damaged", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const data = `${folder}/new/data`;
    const made = await loadIdentity(data);
    assertEquals(await loadIdentity(data), made);
    assertEquals((await Deno.stat(`${data}/coordinator.json`)).mode! & 0o777, 0o600);
    await saveIdentity(data, { ...made, natsPort: 4333 });
    assertEquals((await loadIdentity(data)).natsPort, 4333);
    assertNotEquals((await loadIdentity(`${folder}/other`)).joinToken, made.joinToken);
    const { natsKeys: _keys, ...older } = made;
    await saveIdentity(data, { ...made, natsPort: 4333 });
    await Deno.writeTextFile(
      `${data}/coordinator.json`,
      JSON.stringify({ ...older, natsWorkerPassword: "x" }),
    );
    const upgraded = await loadIdentity(data);
    assertEquals([upgraded.joinToken, upgraded.natsKeys === made.natsKeys], [made.joinToken, false]);
    assertMatch(upgraded.natsKeys.fleet, /^SA/);
    for (const broken of ["", "{}", '{"joinToken":1}']) {
      await Deno.writeTextFile(`${data}/coordinator.json`, broken);
      assertEquals(
        (await assertRejects(() => loadIdentity(data), LoraFleetError, "coordinator.json")).code,
        "storage",
      );
      assertEquals(await Deno.readTextFile(`${data}/coordinator.json`), broken);
    }
    await Deno.writeTextFile(`${folder}/file`, "");
    assertEquals((await assertRejects(() => loadIdentity(`${folder}/file`), LoraFleetError)).code, "storage");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
