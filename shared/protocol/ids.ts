/**
 * Names of workers, their incarnations, jobs and starts. All of them are single NATS tokens, so that a name from the
 * wire can stand in a subject, in a stream's name and in a file's name without escaping.
 */
import { createHash } from "node:crypto";
import { z } from "zod";
import { LoraFleetError, quote } from "../errors.ts";

const TOKEN = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/;

/** A name that can be one part of a NATS subject: no dot, space, `*` or `>`; at most 64 characters. */
export const tokenSchema = z.string().regex(TOKEN);

/** One worker process with one GPU; the same from its start to its end. */
export const workerIdSchema = tokenSchema;
/** One membership of a worker: a worker that was declared lost joins again under a new one. */
export const incarnationSchema = tokenSchema;
/** `ftjob-…`, as the job service makes them. */
export const jobIdSchema = z.string().regex(/^ftjob-[A-Za-z0-9_-]{1,57}$/);
/** SHA-256 in lower-case hexadecimal. */
export const sha256Schema = z.string().regex(/^[0-9a-f]{64}$/);

/** Throws a `LoraFleetError` with code `invalid_request` for a name that cannot be one part of a subject. */
export function assertToken(what: string, name: string): string {
  if (TOKEN.test(name)) return name;
  throw new LoraFleetError(
    "invalid_request",
    `${what} is ${
      quote(name)
    }; 1 to 64 letters, digits, "_" or "-" are needed, the first a letter or a digit`,
  );
}

/** Fills an array with random bytes. */
type RandomBytes = (length: number) => Uint8Array;

/** The system's secure generator. */
const secureBytes: RandomBytes = (length) => crypto.getRandomValues(new Uint8Array(length));

const ALPHABET = "0123456789abcdefghijklmnopqrstuv";

/** `<prefix>-` and 16 random characters: 80 bits, so that two of them are never the same by chance. */
function randomName(prefix: string, bytes: RandomBytes): string {
  return `${prefix}-${Array.from(bytes(16), (byte) => ALPHABET[byte & 31]).join("")}`;
}

/**
 * The id of the worker that has the secret part of a public key: 80 bits of its SHA-256. Nobody can choose it, so that nobody
 * else can have it, and nobody has to remember whose it is.
 */
export function workerIdOf(publicKey: string): string {
  return randomName(
    "w",
    (length) => new Uint8Array(createHash("sha256").update(publicKey).digest()).subarray(0, length),
  );
}
export const newIncarnation = (bytes: RandomBytes = secureBytes): string => randomName("i", bytes);
/** Names one start of a job's training, so that what is left of an earlier one is recognised. */
export const newStartId = (bytes: RandomBytes = secureBytes): string => randomName("s", bytes);
