/** The one way in which a process writes lines for the person at its terminal: time, level, message, and no secret. */
import type { Clock } from "./clock.ts";
import { LoraFleetError, quote } from "./errors.ts";
import { createRedactor, type Redactor } from "./redact.ts";

/** `debug`: what a developer of lorafleet wants to know, and nobody else. */
const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;
export type LogLevel = typeof LOG_LEVELS[number];
export type Log = (level: LogLevel, message: string) => void;

export interface Logger {
  readonly log: Log;
  /** Values that no line may show. */
  readonly secrets: Redactor;
  /** A line without time and level, such as what is wrong with the command line. */
  readonly print: (text: string) => void;
}

interface LoggerOptions {
  readonly clock: Pick<Clock, "now">;
  /** Lower ones are not written. */
  readonly level: LogLevel;
  readonly write: (line: string) => void;
}

/** Every line goes through `secrets`; line breaks of a message stay, so that a plan of memory is a table. */
export function createLogger({ clock, level, write }: LoggerOptions): Logger {
  const secrets = createRedactor();
  const least = LOG_LEVELS.indexOf(level);
  return {
    secrets,
    log(level, message) {
      if (LOG_LEVELS.indexOf(level) < least) return;
      write(secrets.redact(`${new Date(clock.now()).toISOString()} ${level.padEnd(5)} ${message}`));
    },
    print: (text) => write(secrets.redact(text)),
  };
}

/**
 * The level of `LORAFLEET_LOG_LEVEL`; `info` where it is unset.
 * @throws LoraFleetError `usage`
 */
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

/** What a person can read of what was thrown: the message of an error of ours, else the stack, which a bug report needs. */
export function detailOf(thrown: unknown): string {
  if (thrown instanceof LoraFleetError) return thrown.message;
  return thrown instanceof Error ? thrown.stack ?? thrown.message : String(thrown);
}

/** Has whatever nobody caught written without secrets, too; the process then ends with exit code 1. */
export function catchUncaught({ log }: Logger, exit: (code: number) => void): void {
  globalThis.addEventListener("error", (event) => {
    event.preventDefault();
    log("error", detailOf(event.error ?? event.message));
    exit(1);
  });
  globalThis.addEventListener("unhandledrejection", (event) => {
    event.preventDefault();
    log("error", detailOf(event.reason));
    exit(1);
  });
}

/** A logger on standard error at the level of `LORAFLEET_LOG_LEVEL`; a level that there is not ends the process: exit code 2. */
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
