import { assertEquals } from "@std/assert";
import { parseJobRequest } from "../job_request/parse.ts";
import type { HubDataset, HubDatasets } from "../datasets/hub_dataset.ts";
import { withWorld } from "../testing/app_fixture.ts";
import { validationFilesOf } from "./job_data.ts";

Deno.test("the rows to evaluate: an upload, another split of the hub's dataset, or the training files", () =>
  withWorld({}, async ({ files, upload }) => {
    const uploaded = await upload("rows");
    const asked: HubDataset[] = [];
    const datasets: HubDatasets = {
      check: () => Promise.reject(new Error("not asked for")),
      fetch: (dataset) => {
        asked.push(dataset);
        const file = { path: "/cache/test.jsonl", name: "test.jsonl", sha256: null, split: "test" };
        return Promise.resolve({ files: [file], size: 1, sha256: "s" });
      },
    };
    const filesFor = async (fields: Record<string, unknown>) => {
      const { spec, validationFile } = parseJobRequest({ model: "m", ...fields });
      return await validationFilesOf({ files, datasets }, { spec, validationFile });
    };
    const hub = { path: "org/rows", split: "train[:90%]", eval_split: "test" };
    assertEquals((await filesFor({ dataset: hub }))?.map(({ name }) => name), ["test.jsonl"]);
    assertEquals(asked.map(({ path, split }) => [path, split]), [["org/rows", "test"]]);
    const local = { training_file: uploaded.id };
    const [file] = await filesFor({ ...local, validation_file: uploaded.id }) ?? [];
    assertEquals([file?.name, file?.sha256], [uploaded.filename, uploaded.sha256]);
    assertEquals(
      await filesFor({ ...local, dataset: { eval_split: "train[90%:]", split: "train[:90%]" } }),
      null,
    );
    const off = { ...local, validation_file: uploaded.id, training: { eval_strategy: "no" } };
    assertEquals(await filesFor(off), null);
    assertEquals(asked.length, 1);
  }));
