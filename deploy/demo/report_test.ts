import { assertEquals, assertRejects } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { checkOutFolder, type Report, writeResults } from "./report.ts";
import { sha256Hex } from "../client/result_files.ts";

const score = { eval_loss: 1, exact_match: 0.5, whitespace_tolerant_match: 0.5, prompt_count: 2 };
const report: Report = {
  workers: 2,
  steps: 1,
  trained_tokens: 10,
  gradient_bytes_sent: 20,
  wall_seconds: 3,
  adapter_sha256: "00",
  base: score,
  tuned: score,
};
const files = new Map([["adapter_model.safetensors", Uint8Array.of(1)], [
  "adapter_config.json",
  Uint8Array.of(2),
]]);
const names = (folder: string) => [...Deno.readDirSync(folder)].map((entry) => entry.name).sort();

async function inTempFolder(test: (folder: string) => Promise<void>) {
  const folder = await Deno.makeTempDir();
  try {
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("results are written atomically and replace earlier ones", async () => {
  await inTempFolder(async (folder) => {
    const out = `${folder}/deep/out`;
    await writeResults(out, files, { ...report, steps: 7 });
    await writeResults(out, files, report);
    assertEquals(names(out), ["adapter_config.json", "adapter_model.safetensors", "report.json"]);
    assertEquals(JSON.parse(await Deno.readTextFile(`${out}/report.json`)), report);
    assertEquals(names(`${folder}/deep`), ["out"]);
  });
});

Deno.test("a folder with other files is refused and left untouched", async () => {
  await inTempFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/thesis.tex`, "x");
    await assertRejects(() => checkOutFolder(folder), LoraFleetError, '"thesis.tex"');
    await assertRejects(() => writeResults(folder, files, report), LoraFleetError, '"thesis.tex"');
    assertEquals(names(folder), ["thesis.tex"]);
    await assertRejects(() => checkOutFolder(`${folder}/thesis.tex`), LoraFleetError, "cannot be used");
  });
});

Deno.test("a failed write leaves nothing behind", async () => {
  await inTempFolder(async (folder) => {
    const out = `${folder}/out`;
    await writeResults(out, files, report);
    const broken = new Map([["no/such/folder", Uint8Array.of(1)]]);
    await assertRejects(() => writeResults(out, broken, report), LoraFleetError, "cannot write");
    assertEquals(names(folder), ["out"]);
    assertEquals(names(out).length, 3);
  });
});

Deno.test("the SHA-256 of no bytes", async () => {
  assertEquals(
    await sha256Hex(new Uint8Array()),
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
  );
});
