/** Which worker may upload which file of a checkpoint, and how large it has to be. */
import { ADAPTER_FILE_NAMES, STATE_FILE_NAME } from "../../shared/protocol/state/checkpoint_format.ts";
import { quote } from "../../shared/errors.ts";
import type { Layout } from "../planning/adapter_layout.ts";

/** PEFT's configuration: a kilobyte, and at most a list of modules for each of a thousand layers. */
const MAX_CONFIG_BYTES = 2 ** 20;
/** Name, type, shape and place in a safetensors header. */
const HEADER_BYTES_PER_TENSOR = 512;
const HEADER_BYTES = 4096;

/** A checkpoint that is being written now. */
export interface CheckpointAssignment {
  readonly step: number;
  /** The only worker that may upload. */
  readonly writer: string;
  readonly savesState: boolean;
  readonly layout: Layout;
  /** Whether the adapter's file has twice the parameters: a PiSSA job's, with its start. */
  readonly isPissa?: boolean;
}

export interface UploadAttempt {
  readonly worker: string;
  /** A string if what was sent is no number. */
  readonly step: number | string;
  readonly name: string;
  /** From the request; null without one. */
  readonly contentLength: number | null;
}

export type UploadDecision =
  | { readonly isAllowed: true; readonly minBytes: number; readonly maxBytes: number }
  | { readonly isAllowed: false; readonly status: 400 | 403 | 409 | 413; readonly reason: string };

/** @param assignment the checkpoint that is being written; null for none */
export function decideUpload(
  assignment: CheckpointAssignment | null,
  attempt: UploadAttempt,
): UploadDecision {
  const { worker, step, name, contentLength } = attempt;
  const refuse = (status: 400 | 403 | 409 | 413, reason: string): UploadDecision => (
    { isAllowed: false, status, reason }
  );
  if (typeof step === "string" || !Number.isSafeInteger(step) || step < 1) {
    return refuse(400, `${quote(step)} is not a step: they count from 1`);
  }
  if (assignment === null) {
    return refuse(409, `no checkpoint of step ${step} is taken: none is being written now`);
  }
  if (assignment.step !== step) {
    return refuse(
      409,
      `no checkpoint of step ${step} is taken: that of step ${assignment.step} is being written`,
    );
  }
  if (assignment.writer !== worker) {
    return refuse(
      403,
      `${worker} may not write the checkpoint of step ${step}: a different worker was asked to`,
    );
  }
  const bounds = boundsOf(assignment, name);
  if (bounds === null) {
    return refuse(
      400,
      `${quote(name)} is not a file of this checkpoint: these are ${filesOf(assignment).join(", ")}`,
    );
  }
  if (contentLength !== null && (contentLength > bounds.maxBytes || contentLength < bounds.minBytes)) {
    const { minBytes, maxBytes } = bounds;
    return refuse(
      413,
      `${quote(name)} has ${contentLength} bytes; this job's has ${minBytes} to ${maxBytes}`,
    );
  }
  return { isAllowed: true, ...bounds };
}

function filesOf({ savesState }: CheckpointAssignment): readonly string[] {
  return savesState ? [...ADAPTER_FILE_NAMES, STATE_FILE_NAME] : ADAPTER_FILE_NAMES;
}

/** 4 bytes a number, and a header. */
function boundsOf(
  assignment: CheckpointAssignment,
  name: string,
): { minBytes: number; maxBytes: number } | null {
  const { layout: { parameterCount, elementCount, tensorCount }, isPissa = false } = assignment;
  if (!filesOf(assignment).includes(name)) return null;
  if (name === "adapter_config.json") return { minBytes: 2, maxBytes: MAX_CONFIG_BYTES };
  const [dataBytes, tensors] = name === STATE_FILE_NAME
    ? [3 * 4 * elementCount, 3]
    : [4 * parameterCount * (isPissa ? 2 : 1), tensorCount];
  return { minBytes: dataBytes, maxBytes: dataBytes + HEADER_BYTES + HEADER_BYTES_PER_TENSOR * tensors };
}
