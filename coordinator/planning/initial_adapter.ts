/**
 * Training on from an earlier job's adapter: its tensors are the state of step 0, with moments of zero, in the form in which workers
 * load a state (shared/protocol/state/state_frame.ts). Only the coordinator holds that state until the first worker has loaded it.
 */
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";
import { readSafetensorsHeader } from "../../shared/model/safetensors_file.ts";
import { digestOfWords } from "../../shared/protocol/state/state_digest.ts";
import { halvedTensors, readHalf } from "../storage/pissa_result.ts";
import { readWords as readFileWords } from "../storage/state_file.ts";
import { sha256OfFile } from "../storage/verified_file.ts";
import type { AdapterLayout } from "./adapter_layout.ts";

/** The state that a job begins with instead of the fresh adapter that its seed makes. */
export interface InitialState {
  /** Of adapter and moments, as workers compute it (shared/protocol/state/state_digest.ts). */
  readonly digest: string;
  /** The step of an earlier job after which this one goes on; left out: 0. */
  readonly step?: number;
  /** Of that step's commit, encoded; left out: unknown. */
  readonly maxAbs?: string;
  /** 32-bit words of adapter, first moment and second moment, end to end; fewer at their end. */
  readWords(offset: number, count: number): Promise<Int32Array>;
}

/** A tensor's place in the flat array, and how its words are read from the file. Between them is padding. */
interface Stretch {
  readonly offset: number;
  readonly size: number;
  read(from: number, count: number): Promise<Int32Array>;
}

/**
 * Opens an `adapter_model.safetensors`. Throws a `LoraFleetError`: `corrupt` if it does not have the recorded `sha256`,
 * `invalid_model` if it does not have this layout, `storage`.
 * @param isPissa the file holds the start beside the adapter, and training goes on from the adapter, on the same residual
 */
export async function openInitialAdapter(
  path: string,
  sha256: string,
  layout: AdapterLayout,
  isPissa = false,
): Promise<InitialState> {
  const found = await sha256OfFile(path).catch((cause) => {
    const message = `cannot read the adapter to train on from: ${messageOf(cause)}`;
    throw new LoraFleetError("storage", message, { cause });
  });
  if (found !== sha256) {
    const message = `the adapter to train on from has SHA-256 ${found}, but ${sha256} was recorded`;
    throw new LoraFleetError("corrupt", message, { param: "model" });
  }
  const stretches = await (isPissa ? trainedStretchesOf : stretchesOf)(path, layout);
  const total = 3 * layout.elementCount;
  const readWords: InitialState["readWords"] = async (offset, count) => {
    const end = Math.min(offset + count, total);
    const words = new Int32Array(Math.max(0, end - offset));
    for (const { offset: start, size, read } of stretches) {
      const [from, to] = [Math.max(offset, start), Math.min(end, start + size)];
      if (from >= to) continue;
      const part = await read(from - start, to - from);
      if (part.length < to - from) throw misfit("it has been cut since it was opened");
      words.set(part, from - offset);
    }
    return words;
  };
  return { digest: await digestOfWords(layout.elementCount, readWords), readWords };
}

async function stretchesOf(path: string, layout: AdapterLayout): Promise<readonly Stretch[]> {
  const { tensors } = await readSafetensorsHeader(path);
  if (tensors.size !== layout.tensors.length) {
    throw misfit(`it has ${tensors.size} tensors, this job's has ${layout.tensors.length}`);
  }
  return layout.tensors.map(({ name, offset, size }) => {
    const tensor = tensors.get(name);
    if (tensor?.dtype !== "F32" || tensor.end - tensor.start !== 4 * size) {
      throw misfit(`it has no tensor ${quote(name)} of ${4 * size} bytes of F32`);
    }
    const position = tensor.start / 4;
    return { offset, size, read: (from, count) => readFileWords(path, position + from, count) };
  });
}

/** The trained half of a PiSSA job's result. */
async function trainedStretchesOf(path: string, layout: AdapterLayout): Promise<readonly Stretch[]> {
  const halves = halvedTensors(await readSafetensorsHeader(path), layout.tensors);
  if (typeof halves === "string") throw misfit(halves);
  return halves.map((half, index) => ({
    ...{ offset: layout.tensors[index]!.offset, size: half.size },
    read: (from, count) => readHalf(path, half, "trained", from, count),
  }));
}

function misfit(why: string): LoraFleetError {
  const message = `the adapter to train on from does not fit the base model as it is now: ${why}`;
  return new LoraFleetError("invalid_model", message, { param: "model" });
}
