/**
 * The one error that lorafleet throws on purpose: what was attempted, what is so, and what would be right.
 *
 * `code` is stable and machine-readable (the HTTP API returns it as `error.code`); `param` names the field, file
 * or argument at fault. Anything that is not a `LoraFleetError` is a defect of ours, not of the user's input.
 */
export class LoraFleetError extends Error {
  override readonly name = "LoraFleetError";
  readonly code: ErrorCode;
  readonly param: string | null;

  constructor(code: ErrorCode, message: string, options: { param?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.param = options.param ?? null;
  }
}

/** By what has to change to put it right. */
export const ERROR_CODES = [
  "usage", // a wrong command line: exit code 2
  "invalid_request", // a field of a job or an HTTP request
  "invalid_dataset", // a row or a file of a dataset
  "invalid_model", // config.json, tokenizer.json or a safetensors file
  "model_not_found",
  "not_found",
  "conflict", // the request is sound, the state does not allow it
  "unauthorized",
  "no_gpu",
  "does_not_fit", // the memory plan exceeds the device
  "missing_dependency", // nats-server, a Vulkan driver
  "port_in_use",
  "storage", // disk full, no permission
  "corrupt", // a checksum or a digest does not match
  "gpu_failure",
  "timeout",
  "aborted",
] as const;
export type ErrorCode = typeof ERROR_CODES[number];

/** Formats a value for an error message: JSON, cut to 80 characters, so that a hostile value cannot flood a log. */
export function quote(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length <= 80 ? text : `${text.slice(0, 77)}...`;
}

export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/** The error of an option or its variable. */
export function usage(option: string, message: string): LoraFleetError {
  return new LoraFleetError("usage", message, { param: option });
}

/** The error for a file whose content is refused; `param` is the path unless given. */
export function invalidFile(
  path: string,
  reason: string,
  options: { param?: string; cause?: unknown } = {},
): LoraFleetError {
  const message = `Reading ${quote(path)} failed: ${reason}`;
  return new LoraFleetError("invalid_model", message, { param: path, ...options });
}
