import { assertEquals, assertRejects } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { LAYOUT_FILE, layoutOf, migrateLayout, newestLayout } from "./layout.ts";

async function withFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("a folder without a version has the first one, and gets the newest", () =>
  withFolder(async (folder) => {
    assertEquals(await layoutOf(folder), 1);
    await migrateLayout(folder);
    assertEquals(await Deno.readTextFile(`${folder}/${LAYOUT_FILE}`), `{"layout":${newestLayout()}}\n`);
  }));

Deno.test("migrations run in order, once each; one that fails is begun again", () =>
  withFolder(async (folder) => {
    const done: string[] = [];
    let isBroken = true;
    const migrations = [
      () => Promise.resolve(void done.push("1 to 2")),
      () => {
        done.push("2 to 3");
        return isBroken ? Promise.reject(new Error("the machine lost power")) : Promise.resolve();
      },
    ];
    await assertRejects(() => migrateLayout(folder, migrations), Error, "lost power");
    assertEquals(await layoutOf(folder, migrations), 2);
    isBroken = false;
    await migrateLayout(folder, migrations);
    await migrateLayout(folder, migrations);
    assertEquals(done, ["1 to 2", "2 to 3", "2 to 3"]);
    assertEquals(await layoutOf(folder, migrations), 3);
  }));

Deno.test("a newer layout is refused, and so is a file that says nothing", () =>
  withFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/${LAYOUT_FILE}`, '{"layout":99}');
    await assertRejects(
      () => migrateLayout(folder),
      LoraFleetError,
      "it has version 99, and this lorafleet reads",
    );
    await Deno.writeTextFile(`${folder}/${LAYOUT_FILE}`, "");
    await assertRejects(
      () => migrateLayout(folder),
      LoraFleetError,
      'it is "", and {"layout": 1} is expected',
    );
  }));
