/**
 * Keeps secrets out of what people read: logs, events, error answers. Two nets, since each has holes: the exact values that a
 * process was given, and the forms that secrets have (a URL that lets workers in, bearer tokens, keys of NATS and of hubs).
 */

/** What stands in the place of a secret. */
const REDACTED = "[redacted]";

/** Shorter values are words that occur anywhere; no secret of ours may be so short. */
const SHORTEST_SECRET = 6;

/** Forms of secrets, each with what stays of it. */
const FORMS: readonly (readonly [RegExp, string])[] = [
  // The last part of a join URL lets a worker in; `<token>` stands for it in help.
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
  [
    /-----BEGIN [A-Z ]*(?:PRIVATE KEY|NKEY SEED|NATS USER JWT)-----[\s\S]*?(?:-----END [A-Z ]*-----|------END [A-Z ]*------|$)/g,
    REDACTED,
  ],
];

export interface Redactor {
  /** Values that must not be shown from now on; null and "" are passed over. */
  add(...secrets: readonly (string | null | undefined)[]): void;
  /** The text without any secret. */
  redact(text: string): string;
}

export function createRedactor(): Redactor {
  /** Longest first: a secret may be a part of another. */
  let values: readonly string[] = [];
  return {
    add(...secrets) {
      const given = secrets.filter((secret) =>
        typeof secret === "string" && secret.length >= SHORTEST_SECRET
      );
      const forms = given.flatMap((secret) => [secret!, encodeURIComponent(secret!), btoaOrSame(secret!)]);
      values = [...new Set([...values, ...forms])].sort((a, b) => b.length - a.length);
    },
    redact(text) {
      const withoutValues = values.reduce((rest, value) => rest.replaceAll(value, REDACTED), text);
      return redactForms(withoutValues);
    },
  };
}

/** Removes what has the form of a secret; for texts that leave the process where its secrets are not known. */
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
