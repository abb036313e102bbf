/**
 * Ids of workers, their incarnations, jobs and starts. Each is a single NATS token: safe in a subject, a stream's name
 * and a file's name without escaping.
 */
import { createHash } from "node:crypto";
import { z } from "zod";
import { LoraFleetError, quote } from "../errors.ts";

const TOKEN = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/;

export const tokenSchema = z.string().regex(TOKEN);

/** One worker process with one GPU, from its start to its end. */
export const workerIdSchema = tokenSchema;
/** One membership of a worker: after being declared lost it rejoins under a new one. */
export const incarnationSchema = tokenSchema;
/** `ftjob-…`, as the job service makes them. */
export const jobIdSchema = z.string().regex(/^ftjob-[A-Za-z0-9_-]{1,57}$/);
/** SHA-256 in lower-case hexadecimal. */
export const sha256Schema = z.string().regex(/^[0-9a-f]{64}$/);

/** Throws a `LoraFleetError` with code `invalid_request` unless `name` can be one part of a subject. */
export function assertToken(what: string, name: string): string {
  if (TOKEN.test(name)) return name;
  const needed = '1 to 64 letters, digits, "_" or "-" are needed, the first a letter or a digit';
  throw new LoraFleetError("invalid_request", `${what} is ${quote(name)}; ${needed}`);
}

type RandomBytes = (length: number) => Uint8Array;
const secureBytes: RandomBytes = (length) => crypto.getRandomValues(new Uint8Array(length));

const ALPHABET = "0123456789abcdefghijklmnopqrstuv";

/** `<prefix>-` and 16 random characters: 80 bits, so that no two are ever equal by chance. */
function randomName(prefix: string, bytes: RandomBytes): string {
  return `${prefix}-${Array.from(bytes(16), (byte) => ALPHABET[byte & 31]).join("")}`;
}

/** The id of the worker with this public key: 80 bits of the key's SHA-256, so that no worker can choose or share it. */
export function workerIdOf(publicKey: string): string {
  const hash = new Uint8Array(createHash("sha256").update(publicKey).digest());
  return randomName("w", (length) => hash.subarray(0, length));
}
export const newIncarnation = (bytes: RandomBytes = secureBytes): string => randomName("i", bytes);
/** Names one start of a job's training, so that leftovers of an earlier one are recognised. */
export const newStartId = (bytes: RandomBytes = secureBytes): string => randomName("s", bytes);
