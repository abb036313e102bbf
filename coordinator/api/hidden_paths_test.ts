import { assertEquals } from "@std/assert";
import { parseJobRequest } from "../job_request/parse.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import { withWorld } from "../testing/app_fixture.ts";
import type { World } from "../testing/app_fixture.ts";
import { createPathHider } from "./hidden_paths.ts";

Deno.test("folders are stripped from paths in every spelling, longest first", () => {
  const hide = createPathHider([["the data folder", "/srv/data/"], ["the model roots", "/srv/data/models"], [
    "all",
    "/",
  ]]);
  for (
    const [text, hidden] of [
      ['cannot write "/srv/data/files/file-1": full', 'cannot write "files/file-1": full'],
      ["open '/srv/data/models/org/tiny/config.json'", "open 'org/tiny/config.json'"],
      ["below /srv/data/models, /srv/data", "below the model roots, the data folder"],
      ["/home/me/x and https://hub/srv", "/home/me/x and https://hub/srv"],
    ] as const
  ) assertEquals(hide(text), hidden);
});

/** Everything that a user can read, with what they ask for. */
async function bodies(world: World, jobIds: readonly string[]): Promise<[string, string][]> {
  const json = (body: unknown): RequestInit => ({
    method: "POST",
    body: JSON.stringify(body),
    headers: { "content-type": "application/json" },
  });
  const form = (name = "train.jsonl", text = "a") => {
    const body = new FormData();
    body.append("purpose", "fine-tune");
    body.append("file", new File([text], name));
    return { method: "POST", body };
  };
  const training_file = world.store.files({ after: null, limit: 1, purpose: "fine-tune" }).items[0]!.id;
  const models = [
    ...[
      "org/none",
      "none",
      "org",
      "../x",
      "/etc",
      "/etc/passwd",
      "org/link",
      `${world.folder}x/y`,
      "a/b/c",
      "org/broken",
    ],
    ...["org/unreadable", "ft:org/tiny::ftjob-none", "C:\\x", "org/tiny/../../files", "."],
  ];
  const asked: [string, RequestInit?][] = [
    ...models.map((model) =>
      ["/v1/fine_tuning/jobs", json({ model, training_file })] as [string, RequestInit]
    ),
    ...models.map((model) => [`/v1/models/${encodeURIComponent(model)}`] as [string]),
    ["/v1/files", form()],
    ["/v1/files", form("a/b")],
    ["/v1/uploads", json({ bytes: 1, filename: "a", mime_type: "x", purpose: "fine-tune" })],
    [`/v1/files/${training_file}/content`],
    [`/v1/files/${training_file}`],
    ["/v1/files"],
    ["/v1/models"],
    ["/readyz"],
    ...jobIds.flatMap((id) =>
      ["", "/events", "/checkpoints", "/artifacts", "/artifacts/adapter_config.json", "/artifacts/none"].map((
        path,
      ) => [`/v1/fine_tuning/jobs/${id}${path}`] as [string])
    ),
  ];
  const found: [string, string][] = [];
  for (const [path, init] of asked) {
    const response = await world.app.request(path, init);
    found.push([
      `${response.status} ${path} ${typeof init?.body === "string" ? init.body : ""}`,
      await response.text(),
    ]);
  }
  return found;
}

Deno.test("no response reveals the paths of models and files, even on failure", () =>
  withWorld({
    checkModel: async (spec, folder) => {
      if (spec.model === "org/unreadable") await Deno.readTextFile(`${folder}/none.json`);
      if (spec.model === "org/broken") {
        throw new LoraFleetError("invalid_model", `the folder ${folder} has no tokenizer.json`);
      }
      return { spec, warnings: [] };
    },
    prepare: async ({ trainingFilePath, model }) => {
      const text = await Deno.readTextFile(trainingFilePath);
      if (text === "defect") {
        await Deno.readTextFile(`${model.folder}/none.json`);
      }
      throw new LoraFleetError(
        "storage",
        `cannot read ${trainingFilePath} and ${model.folder}/tokenizer.json`,
      );
    },
  }, async (world) => {
    for (const name of ["link", "broken", "unreadable"]) {
      const folder = `${world.folder}/models/org/${name}`;
      if (name === "link") await Deno.symlink("/etc", folder);
      else {
        await Deno.mkdir(folder);
        await Deno.writeTextFile(`${folder}/config.json`, "{}");
      }
    }
    const jobIds: string[] = [];
    for (const text of ["defect", "a"]) {
      const training_file = (await world.upload(text)).id;
      const { id } = await world.jobs.create(parseJobRequest({ model: "org/tiny", training_file }));
      assertEquals((await world.finished(id)).status, "failed");
      jobIds.push(id);
    }
    // From now on nothing can be written, and what was written cannot be read.
    await Deno.remove(`${world.folder}/files`, { recursive: true });
    await Deno.writeTextFile(`${world.folder}/files`, "in the way");
    const found = await bodies(world, jobIds);
    const secret = world.folder.split("/").at(-1)!;
    assertEquals(found.filter(([asked, body]) => body.includes(secret) && !asked.includes(secret)), []);
    const statuses = new Set(found.map(([asked]) => asked.slice(0, 3)));
    for (const status of ["200", "400", "404", "500", "507"]) {
      assertEquals(statuses.has(status), true, `no ${status}`);
    }
    // The operator sees the paths.
    assertEquals(
      world.defects.some((defect) => defect.includes(`${world.folder}/files`)),
      true,
      world.defects.join("\n"),
    );
  }));
