/** A coordinator in this process with the demo's base model, the real checks and the real preparation of data. */
import { fromFileUrl, join } from "@std/path";
import { withWorld, type World } from "../../coordinator/testing/app_fixture.ts";
import { checkModelForJob } from "../../coordinator/base_models/model_check.ts";
import { openPreparer } from "../../coordinator/planning/preparer.ts";
import { runHere } from "../../coordinator/planning/preparation/preparation_fixture.ts";
import { systemClock } from "../../shared/clock.ts";

const DEMO_MODEL = fromFileUrl(new URL("../../deploy/demo/assets/base", import.meta.url));

/** A world with a copy of the demo's base model as "base" and an uploaded dataset. */
export async function withBase(
  dataset: string,
  body: (world: World, folder: string, fileId: string) => Promise<void>,
): Promise<void> {
  const prepareHere = (folder: string) => openPreparer(folder, systemClock, runHere);
  await withWorld({ openPreparer: prepareHere, checkModel: checkModelForJob }, async (world) => {
    const folder = join(world.folder, "models/base");
    await Deno.mkdir(folder);
    for await (const { name } of Deno.readDir(DEMO_MODEL)) {
      await Deno.copyFile(`${DEMO_MODEL}/${name}`, `${folder}/${name}`);
    }
    const { id } = await world.upload(dataset);
    await body(world, folder, id);
  });
}
