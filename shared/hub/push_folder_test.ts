import { assertEquals, assertRejects } from "@std/assert";
import { createHash } from "node:crypto";
import { LoraFleetError } from "../errors.ts";
import { bytesOf } from "../../tests/hub/content.ts";
import { rateLimit } from "../../tests/hub/faults.ts";
import { type Hub, startHub, STRANGER_TOKEN, WRITER_TOKEN } from "../../tests/hub/hub.ts";
import { textOf } from "../../tests/hub/metadata.ts";
import type { HubProgress } from "./download_repo.ts";
import { FileBlob } from "./file_blob.ts";
import { type Pushed, pushFolder } from "./push_folder.ts";
import type { PushTarget } from "./push_target.ts";

const WEIGHTS = new Uint8Array(700_000).map((_, index) => (index * 7919) >> 3);
const PUT = /^PUT \/cdn\//;

interface World {
  readonly hub: Hub;
  readonly patience: { firstRetryMs: number; tries: number; stallMs: number };
  readonly folder: string;
  readonly progress: HubProgress[];
  push(target?: Partial<PushTarget>, token?: string | null, signal?: AbortSignal): Promise<Pushed>;
}

async function withHub(
  body: (world: World) => Promise<void>,
  partBytes = 2 ** 30,
  isXet = false,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  await Deno.mkdir(`${folder}/sub`);
  await Deno.writeFile(`${folder}/adapter_model.safetensors`, WEIGHTS);
  await Deno.writeFile(`${folder}/sub/other.safetensors`, WEIGHTS.subarray(5));
  await Deno.writeTextFile(`${folder}/README.md`, "---\nlicense: mit\n---\n# Tuned\n");
  await Deno.writeTextFile(`${folder}/adapter_config.json`, '{"r": 8}');
  await Deno.writeTextFile(`${folder}/.hidden`, "not pushed");
  await using hub = await startHub(null, { partBytes, pageSize: 2, isXet });
  const progress: HubProgress[] = [];
  const patience = { firstRetryMs: 1, tries: 3, stallMs: 10_000 };
  const push: World["push"] = (target = {}, token = WRITER_TOKEN, signal) =>
    pushFolder(
      folder,
      { repo: "org/tuned", isPrivate: true, ...target },
      {
        hub: {
          ...{ endpoint: hub.endpoint, token, cacheFolder: "/nowhere", offline: false },
          patience,
        },
        title: "Upload the adapter",
      },
      (step) => progress.push(step),
      signal,
    );
  try {
    await body({ hub, patience, folder, progress, push });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const weightsOf = async (hub: Hub, repo = "org/tuned") =>
  await bytesOf(hub.repo("model", repo).tree().get("adapter_model.safetensors")!.content);

Deno.test("a push makes a private repository with the folder's files, in one commit", () =>
  withHub(async ({ hub, push, progress }) => {
    const pushed = await push();
    const repo = hub.repo("model", "org/tuned");
    assertEquals(pushed, {
      ...{
        repo: "org/tuned",
        branch: "main",
        isNew: true,
        isPrivate: true,
        url: `${hub.endpoint}/org/tuned`,
      },
      commit: repo.resolve("main")!,
      files: ["README.md", "adapter_config.json", "adapter_model.safetensors", "sub/other.safetensors"],
    });
    assertEquals([repo.isPrivate, repo.commits.size], [true, 2]);
    assertEquals([...repo.tree().keys()].sort(), pushed.files);
    assertEquals(await weightsOf(hub), WEIGHTS);
    assertEquals(await textOf(repo, "adapter_config.json"), '{"r": 8}');
    const total = progress.at(-1)!.totalBytes;
    assertEquals([progress[0]!.doneBytes, progress.at(-1)!.doneBytes], [0, total]);
    assertEquals(progress.length > 4, true);
  }));

Deno.test("pushing the same again sends nothing and makes no commit; a changed file is sent alone", () =>
  withHub(async ({ hub, folder, push }) => {
    const { commit } = await push();
    hub.requests.length = 0;
    const again = await push();
    assertEquals([again.commit, again.files, again.isNew], [commit, [], false]);
    assertEquals(hub.asked(/^PUT|\/commit\/|preupload/), []);
    await Deno.writeTextFile(`${folder}/adapter_config.json`, '{"r": 16}');
    const changed = await push();
    assertEquals([changed.files, hub.asked(PUT)], [["adapter_config.json"], []]);
    assertEquals(await weightsOf(hub), WEIGHTS);
  }));

Deno.test("an upload that ends in the middle is sent again, and what arrived before is not", () =>
  withHub(async ({ hub, push }) => {
    hub.faults.add({ on: /^PUT \/cdn\/upload/, after: 1, kind: "break", bytes: 100_000 });
    await push();
    assertEquals(await weightsOf(hub), WEIGHTS);
    // Two objects, one of them twice.
    assertEquals(hub.asked(PUT).length, 3);
    assertEquals(hub.repo("model", "org/tuned").commits.size, 2, "half a push is no commit");
  }));

Deno.test("large objects go in parts", () =>
  withHub(async ({ hub, push }) => {
    await push();
    assertEquals(hub.asked(/^PUT \/cdn\/part\//).length, 14);
    assertEquals(await weightsOf(hub), WEIGHTS);
  }, 100_000));

Deno.test("a push that is stopped goes on where it was: stored objects are not sent again", () =>
  withHub(async ({ hub, push }) => {
    const stopping = new AbortController();
    const stop = new LoraFleetError("aborted", "the coordinator stops");
    hub.faults.add({ on: /\/commit\//, kind: "status", status: 503, times: 99 });
    await assertRejects(() => push(), LoraFleetError, 'cannot push to "org/tuned"');
    hub.faults.clear();
    assertEquals([hub.asked(PUT).length, hub.repo("model", "org/tuned").commits.size], [2, 1]);
    hub.faults.add({ on: /preupload/, kind: "slow", pauseMs: 1 });
    await push();
    assertEquals(hub.asked(PUT).length, 2);
    stopping.abort(stop);
    assertEquals(await assertRejects(() => push({}, WRITER_TOKEN, stopping.signal)), stop);
  }));

Deno.test("an answer to the commit that is lost does not make a second one", () =>
  withHub(async ({ hub, push }) => {
    hub.faults.add(rateLimit(/preupload/, 0), { on: /\/commit\//, kind: "lost" });
    const { commit } = await push();
    assertEquals(hub.repo("model", "org/tuned").resolve("main"), commit);
    assertEquals(hub.repo("model", "org/tuned").commits.size, 2);
  }));

Deno.test("a branch, the token's own account, and a public repository that is there", () =>
  withHub(async ({ hub, push }) => {
    const own = await push({ repo: "mine", isPrivate: false, branch: "v1" });
    assertEquals([own.repo, own.branch, own.isPrivate], ["tester/mine", "v1", false]);
    const repo = hub.repo("model", "tester/mine");
    assertEquals([repo.tree().size, repo.tree("v1").size], [0, 4]);
    const again = await push({ repo: "tester/mine", isPrivate: true });
    assertEquals([again.isNew, again.isPrivate], [false, false], "a repository that is there stays as it is");
  }));

Deno.test("no token, a token without rights, a name that is none, a storage at a private address", () =>
  withHub(async ({ hub, push }) => {
    const cases: [() => Promise<unknown>, string, string][] = [
      [() => push({}, null), "needs a token with write access: set HF_TOKEN", "unauthorized"],
      [() => push({}, STRANGER_TOKEN), `HF_TOKEN may not write to "org/tuned"`, "unauthorized"],
      [() => push({ repo: "else/x" }), "You don't have the rights", "unauthorized"],
      [() => push({ repo: "a/b/c" }), 'hub_model_id is "a/b/c"', "invalid_request"],
      [() => push({ branch: "a..b" }), 'hub_revision is "a..b"', "invalid_request"],
    ];
    for (const [work, part, code] of cases) {
      assertEquals((await assertRejects(work, LoraFleetError, part)).code, code);
    }
    assertEquals(hub.asked(PUT), []);
  }));

Deno.test("a storage that takes nothing any more is given up", () =>
  withHub(async ({ hub, push, patience }) => {
    await push();
    hub.state.objects.clear();
    await hub.repo("model", "org/tuned").add({
      "adapter_model.safetensors": "other",
      "sub/other.safetensors": "other",
    });
    patience.stallMs = 250;
    hub.faults.add({ on: PUT, kind: "stall", bytes: 1000, times: 99 });
    const error = await assertRejects(() => push(), LoraFleetError, "has taken and sent nothing for 1 s");
    assertEquals(error.code, "timeout");
  }));

Deno.test("a file's blob has its bytes, in slices too", async () => {
  const path = await Deno.makeTempFile();
  await Deno.writeFile(path, WEIGHTS);
  const blob = await FileBlob.open(path);
  let read = 0;
  const slice = blob.slice(300_000, 650_000).slice(10, -10).counted((bytes) => read += bytes);
  assertEquals(await slice.bytes(), WEIGHTS.slice(300_010, 649_990));
  assertEquals([slice.size, read], [349_980, 349_980]);
  const hash = createHash("sha256");
  for await (const chunk of blob.stream()) hash.update(chunk);
  assertEquals(hash.digest("hex"), createHash("sha256").update(WEIGHTS).digest("hex"));
  await Deno.remove(path);
});

Deno.test("a token that may make no repository pushes to one that is there", () =>
  withHub(async ({ hub, push }) => {
    await push({ isPrivate: false });
    const noCreation = { on: /^POST \/api\/repos\/create/, kind: "status", status: 403 } as const;
    hub.faults.add(noCreation, noCreation);
    const { isNew, isPrivate, files } = await push();
    assertEquals([isNew, isPrivate, files], [false, false, []]);
    const error = await assertRejects(() => push({ repo: "org/absent" }), LoraFleetError);
    assertEquals([error.code, error.param], ["unauthorized", "HF_TOKEN"]);
  }));

Deno.test("a hub that offers xet gets the large files over LFS, and takes them", () =>
  withHub(
    async ({ hub, push }) => {
      // A client that asked for xet would be sent to a storage that is not there.
      const { files } = await push();
      assertEquals(files.includes("adapter_model.safetensors"), true);
      assertEquals(await weightsOf(hub), WEIGHTS);
      assertEquals([hub.asked(PUT).length, hub.asked(/xet/).length], [2, 0]);
      // Nor is anything sent twice.
      assertEquals((await push()).files, []);
    },
    undefined,
    true,
  ));
