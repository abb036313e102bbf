/**
 * Keeps secrets out of logs, events and error answers. Two nets, since each has holes: the exact values that a process was
 * given, and the forms of secrets (join URLs, bearer tokens, keys of NATS and of hubs).
 */

const REDACTED = "[redacted]";

/** Shorter values occur anywhere in texts; no secret of ours may be so short. */
const MIN_SECRET_LENGTH = 6;

/** Forms of secrets, each with its replacement. */
const FORMS: readonly (readonly [RegExp, string])[] = [
  // The last part of a join URL admits a worker; help writes `<token>` for it.
  [/(\/join\/)(?!\[redacted\]|<token>)[^\s/"'`?#)\]}>,;]+/g, `$1${REDACTED}`],
  [/\b(Bearer|Basic)\s+(?=[\w.~+/=-]*[\dA-Z=._-])[\w.~+/=-]{6,}/g, `$1 ${REDACTED}`],
  // User and password of a URL, also without a user or without a password.
  [/(\b[a-z][a-z\d+.-]*:\/\/)[^\s/@"'`]+@/gi, `$1${REDACTED}@`],
  // Signed URLs of hubs and clouds.
  [
    /([?&](?:[\w-]*(?:token|signature|credential|secret|password)|api[-_]?key|policy|key-pair-id|sig)=)[^&\s"'`)]+/gi,
    `$1${REDACTED}`,
  ],
  [/\beyJ[\w-]{6,}\.[\w-]+(?:\.[\w-]*)?/g, REDACTED],
  // Seeds of NKeys: S, the kind of key, and 56 characters of base32.
  [/\bS[AUONCXP][A-Z2-7]{56}\b/g, REDACTED],
  [/\bhf_[A-Za-z\d]{8,}/g, REDACTED],
  [/\bsk-[\w-]{8,}/g, REDACTED],
  // API keys of users (coordinator/access/api_keys.ts).
  [/\blfkey-[A-Za-z\d]{8,}/g, REDACTED],
  [/\brpa_[A-Za-z\d]{8,}/g, REDACTED],
  [
    /-----BEGIN [A-Z ]*(?:PRIVATE KEY|NKEY SEED|NATS USER JWT)-----[\s\S]*?(?:-----END [A-Z ]*-----|------END [A-Z ]*------|$)/g,
    REDACTED,
  ],
];

export interface Redactor {
  /** Values to hide from now on; null and "" are ignored. */
  add(...secrets: readonly (string | null | undefined)[]): void;
  redact(text: string): string;
}

export function createRedactor(): Redactor {
  /** Longest first: one secret may contain a different one. */
  let values: readonly string[] = [];
  return {
    add(...secrets) {
      const given = secrets.filter((secret) =>
        typeof secret === "string" && secret.length >= MIN_SECRET_LENGTH
      );
      const forms = given.flatMap((secret) => [secret!, encodeURIComponent(secret!), btoaOrSame(secret!)]);
      values = [...new Set([...values, ...forms])].sort((a, b) => b.length - a.length);
    },
    redact(text) {
      return redactForms(values.reduce((rest, value) => rest.replaceAll(value, REDACTED), text));
    },
  };
}

/** Removes everything in the form of a secret, for code that does not know the process's secrets. */
export function redactForms(text: string): string {
  return FORMS.reduce((rest, [form, replacement]) => rest.replace(form, replacement), text);
}

/** As the header of basic authentication has it. */
function btoaOrSame(secret: string): string {
  try {
    return btoa(secret);
  } catch {
    return secret;
  }
}
