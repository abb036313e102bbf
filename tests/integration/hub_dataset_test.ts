/** A job on a dataset of the hub, with the coordinator as a process. */
import { assertEquals, assertMatch } from "@std/assert";
import { dirname, fromFileUrl, join } from "@std/path";
import { startHub } from "../hub/hub.ts";
import {
  jobOf,
  messagesOf,
  startCoordinatorChild,
  submitJob,
  until,
  withFolder,
} from "./coordinator_child.ts";

const root = dirname(dirname(dirname(fromFileUrl(import.meta.url))));
const CARD =
  "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: data/*.jsonl\n" +
  "  - split: test\n    path: test.csv\n---\n# Rows\n";

Deno.test("a job trains on a slice of a hub's dataset, at the commit that it was created on", () =>
  withFolder(async (folder) => {
    await using hub = await startHub();
    const lines = (await Deno.readTextFile(join(root, "deploy/demo/assets/train.jsonl"))).trim().split("\n");
    await hub.add("dataset", "org/rows", {
      "README.md": CARD,
      "data/a.jsonl": `${lines.slice(0, 40).join("\n")}\n`,
      "data/b.jsonl": `${lines.slice(40, 60).join("\n")}\n`,
      "test.csv": "prompt,completion\na,b\n",
    });
    const commit = hub.repo("dataset", "org/rows").resolve("main")!;
    const env = { HF_ENDPOINT: hub.endpoint, HF_HUB_CACHE: join(folder, "hub"), HF_HOME: folder };
    await using coordinator = startCoordinatorChild(join(folder, "data"), [], env);
    await coordinator.joinUrl();
    const api = coordinator.api();
    const submit = (dataset: Record<string, unknown>) =>
      submitJob(api, { max_steps: 4 }, {}, {
        training_file: undefined,
        dataset: { path: "org/rows", max_seq_length: 64, ...dataset },
      });
    const id = await submit({ split: "train[:50%]" });
    // What is committed afterwards is not this job's.
    await hub.repo("dataset", "org/rows").add({ "data/a.jsonl": "no rows" });
    await until("the job's queue", async () => (await jobOf(api, id)).status !== "validating_files");
    const job = await jobOf(api, id) as unknown as Record<string, unknown>;
    assertEquals([job["error"], job["training_file"]], [null, "hf://datasets/org/rows"]);
    assertEquals((job["dataset"] as Record<string, unknown>)["revision"], commit);
    const messages = await messagesOf(api, id);
    assertMatch(messages[0]!, new RegExp(`: base on org/rows at commit ${commit}\\.$`));
    assertMatch(messages.find((message) => message.includes("examples"))!, /^30 examples in /);
    assertEquals(hub.asked(/resolve-cache.*test\.csv/), [], "only the split's files are downloaded");

    const refusal = (dataset: Record<string, unknown>) =>
      submit(dataset).then(() => "", (thrown) => thrown.message);
    assertMatch(
      await refusal({ split: "dev" }),
      /no split \\"dev\\" .* it has \\"train\\", \\"test\\".*dataset\.split/,
    );
    assertMatch(
      await refusal({ name: "fr" }),
      /no configuration \\"fr\\"; it has \\"default\\".*dataset\.name/,
    );
    assertMatch(await refusal({ path: "org/none" }), /no dataset \\"org\/none\\".*dataset\.path/);
    assertMatch(await refusal({ revision: "gone" }), /has no revision \\"gone\\"/);
  }));
