/** Log lines for the terminal: time, level, message, and no secrets. */
import type { Clock } from "./clock.ts";
import { LoraFleetError, quote } from "./errors.ts";
import { createRedactor, type Redactor } from "./redact.ts";

/** `debug` is for developers of lorafleet alone. */
const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;
export type LogLevel = typeof LOG_LEVELS[number];
export type Log = (level: LogLevel, message: string) => void;

export interface Logger {
  readonly log: Log;
  /** Values that no line may show. */
  readonly secrets: Redactor;
  /** A line without time and level, such as a usage error. */
  readonly print: (text: string) => void;
}

interface LoggerOptions {
  readonly clock: Pick<Clock, "now">;
  /** Lower ones are not written. */
  readonly level: LogLevel;
  readonly write: (line: string) => void;
}

/** Every line passes `secrets`; a message keeps its line breaks, for tables. */
export function createLogger({ clock, level, write }: LoggerOptions): Logger {
  const secrets = createRedactor();
  const minLevel = LOG_LEVELS.indexOf(level);
  return {
    secrets,
    log(level, message) {
      if (LOG_LEVELS.indexOf(level) < minLevel) return;
      write(secrets.redact(`${new Date(clock.now()).toISOString()} ${level.padEnd(5)} ${message}`));
    },
    print: (text) => write(secrets.redact(text)),
  };
}

/** The level of `LORAFLEET_LOG_LEVEL`, `info` if unset. Throws a `LoraFleetError` with code `usage`. */
export function parseLogLevel(text: string | undefined): LogLevel {
  if (text === undefined || text === "") return "info";
  const level = LOG_LEVELS.find((known) => known === text.toLowerCase());
  if (level !== undefined) return level;
  throw new LoraFleetError(
    "usage",
    `LORAFLEET_LOG_LEVEL is ${quote(text)}; one of ${LOG_LEVELS.join(", ")} is needed`,
    { param: "LORAFLEET_LOG_LEVEL" },
  );
}

/** An error of ours by its message, any other by its stack, which a bug report needs. */
export function detailOf(thrown: unknown): string {
  if (thrown instanceof LoraFleetError) return thrown.message;
  return thrown instanceof Error ? thrown.stack ?? thrown.message : String(thrown);
}

/** Logs uncaught errors, without secrets, and exits with code 1. */
export function catchUncaught({ log }: Logger, exit: (code: number) => void): void {
  const end = (event: Event, thrown: unknown) => {
    event.preventDefault();
    log("error", detailOf(thrown));
    exit(1);
  };
  globalThis.addEventListener("error", (event) => end(event, event.error ?? event.message));
  globalThis.addEventListener("unhandledrejection", (event) => end(event, event.reason));
}

/** Logs to standard error at the level of `LORAFLEET_LOG_LEVEL`; exits with code 2 if there is no such level. */
export function processLogger(
  clock: Pick<Clock, "now">,
  level: string | undefined,
  exit: (code: number) => never,
): Logger {
  const write = (line: string) => console.error(line);
  try {
    return createLogger({ clock, level: parseLogLevel(level), write });
  } catch (thrown) {
    write(detailOf(thrown));
    return exit(2);
  }
}
