/** Log lines, as text for people or as JSON for log collectors: time, level, message, and no secrets. */
import type { Clock } from "./clock.ts";
import { LoraFleetError, quote } from "./errors.ts";
import { createRedactor, type Redactor } from "./redact.ts";

/** `debug` is for developers of lorafleet alone. */
const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;
export type LogLevel = typeof LOG_LEVELS[number];
export const LOG_FORMATS = ["text", "json"] as const;
export type LogFormat = typeof LOG_FORMATS[number];

/** What a line is about, for a search in many of them; a line of text shows none of it. */
export interface LogSubject {
  readonly job?: string;
  readonly worker?: string;
}
export type Log = (level: LogLevel, message: string, about?: LogSubject) => void;

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
  readonly format?: LogFormat;
  readonly write: (line: string) => void;
}

/** The same log, whose lines are about this. */
export function logAbout(log: Log, subject: LogSubject): Log {
  return (level, message, about) => log(level, message, { ...subject, ...about });
}

/** Every line passes `secrets`; a message of a line of text keeps its line breaks, for tables. */
export function createLogger({ clock, level, format = "text", write }: LoggerOptions): Logger {
  const secrets = createRedactor();
  const minLevel = LOG_LEVELS.indexOf(level);
  return {
    secrets,
    log(level, message, about) {
      if (LOG_LEVELS.indexOf(level) < minLevel) return;
      const time = new Date(clock.now()).toISOString();
      // Redacted before it is quoted: a secret with a quotation mark looks different in JSON.
      const shown = secrets.redact(message);
      write(
        format === "text"
          ? `${time} ${level.padEnd(5)} ${shown}`
          : JSON.stringify({ time, level, message: shown, ...about }),
      );
    },
    print: (text) => write(secrets.redact(text)),
  };
}

/** The level of `LORAFLEET_LOG_LEVEL`, `info` if unset. Throws a `LoraFleetError` with code `usage`. */
export function parseLogLevel(text: string | undefined): LogLevel {
  return oneOf("LORAFLEET_LOG_LEVEL", text, LOG_LEVELS, "info");
}

/** The format of `LORAFLEET_LOG_FORMAT`, `text` if unset. Throws a `LoraFleetError` with code `usage`. */
export function parseLogFormat(text: string | undefined): LogFormat {
  return oneOf("LORAFLEET_LOG_FORMAT", text, LOG_FORMATS, "text");
}

function oneOf<T extends string>(name: string, text: string | undefined, all: readonly T[], unset: T): T {
  if (text === undefined || text === "") return unset;
  const known = all.find((known) => known === text.toLowerCase());
  if (known !== undefined) return known;
  const message = `${name} is ${quote(text)}; one of ${all.join(", ")} is needed`;
  throw new LoraFleetError("usage", message, { param: name });
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

/**
 * Logs to standard error as `LORAFLEET_LOG_LEVEL` and `LORAFLEET_LOG_FORMAT` say; exits with code 2 if there is no such level
 * or format.
 */
export function processLogger(
  clock: Pick<Clock, "now">,
  env: (name: string) => string | undefined,
  exit: (code: number) => never,
): Logger {
  const write = (line: string) => console.error(line);
  try {
    const level = parseLogLevel(env("LORAFLEET_LOG_LEVEL"));
    return createLogger({ clock, level, format: parseLogFormat(env("LORAFLEET_LOG_FORMAT")), write });
  } catch (thrown) {
    write(detailOf(thrown));
    return exit(2);
  }
}
